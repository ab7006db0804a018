"""YAML files and `--set`: what is written is read again, and what is wrong gets one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from refusals import refusal

from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import parse_assignments, read_yaml, write_yaml
from sa_study.utils.errors import ConfigError


def test_yaml_keeps_order_below_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    write_yaml(path, {"b": 1, "a": 2}, "first\nsecond")
    assert path.read_text() == "# first\n# second\nb: 1\na: 2\n"
    assert yaml.safe_load(path.read_text()) == {"b": 1, "a": 2}


def test_settings_survive_yaml(tmp_path: Path) -> None:
    settings = Settings(lr=1e-5, attention="none", step_epochs=3)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings.to_dict()))
    assert Settings.from_mapping(read_yaml(path)) == settings


def test_assignments() -> None:
    values = parse_assignments(["depth=18", "lr=1e-2", "attention=none", "deep_supervision=false"])
    assert values == {"depth": 18, "lr": 0.01, "attention": "none", "deep_supervision": False}


WRONG = ["depth", "=18", "depht=18", "depth=", "depth=[18", "depth=17", "lr=fast", "lr=2020-13-45"]


@pytest.mark.parametrize(
    "text", [*WRONG, "lr=" + 400 * "9", "epochs=" + 5000 * "9"], ids=lambda text: text[:9]
)
def test_a_wrong_assignment_is_quoted(text: str) -> None:
    assert refusal(ConfigError, parse_assignments, [text]).startswith(f"--set {text}: ")


MISREAD = ["010", "-010", "+07", "00", "0_17", "010.5", "00.1", "1:30", "-1:30", "1:30.5", "12:3"]


@pytest.mark.parametrize("number", MISREAD)
def test_a_number_that_yaml_reads_otherwise_than_people_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "file.yaml"
    for key in ("batch_size", "lr"):
        with pytest.raises(ConfigError, match=re.escape(f"--set {key}={number}: line 1: {number} ")):
            parse_assignments([f"{key}={number}"])
        rule = f"{{type: categorical, choices: [1, {number}]}}"
        for text in (f"{key}: {number}", f"a: 1\nsearch: {{{key}: {rule}}}", f"trials: {number}"):
            path.write_text(text)
            said = refusal(ConfigError, read_yaml, path)
            assert f"{number} " in said and str(path) in said


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("16", 16), ("0x10", 16), ("0b100", 4), ("1_000", 1000), ("+7", 7)]
)
def test_whole_numbers_mean_what_they_say(text: str, value: int) -> None:
    assert parse_assignments([f"seed={text}"]) == {"seed": value}


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), (".5", 0.5), ("08", 8.0), ("1e-3", 0.001), ("1.5e+1", 15.0), ("5", 5.0)]
)
def test_fractions_mean_what_they_say(text: str, value: float) -> None:
    assert parse_assignments([f"lr={text}"]) == {"lr": value}


def test_no_other_notation_becomes_another_number() -> None:
    for text in ("0o10", "08", "1e1", "01:30"):
        with pytest.raises(ConfigError, match=f"batch_size: '{text}' is not valid"):
            parse_assignments([f"batch_size={text}"])


NO_MAPPING = [b"- 1\n- 2\n", b"a: [1\n", b"\xff\xfe\x00", b"just text", b"lr: 2020-13-45\n"]


@pytest.mark.parametrize(
    "content", [*NO_MAPPING, b"lr: " + 5000 * b"9"], ids=lambda content: str(content[:9])
)
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    assert str(path) in refusal(ConfigError, read_yaml, path)


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"lr: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]\n")
    with pytest.raises(ConfigError, match=r"evil\.yaml"):
        read_yaml(path)
    assert not (tmp_path / "ran").exists()
