"""Made-up input of every kind: no crash, no hang, no wrong figure. Each run tries the same."""

from __future__ import annotations

import io
import math
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranking_reference import assert_figures, plain_figures

from sa_study.cli.options import parse_duration
from sa_study.data.layouts import MARKET
from sa_study.metrics.query_scores import QueryScores
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.model.weights import read_weights
from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import load_space, parse_space
from sa_study.settings.yaml_files import parse_assignments
from sa_study.study.config import StudyConfig
from sa_study.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sa_study.utils.errors import ConfigError, DataError, StudyFolderError, WeightsError

fuzz = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
NAMES = st.sampled_from([*Settings.__dataclass_fields__, "lrr", "", "seed ", "__class__"])
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, 1, 1e-3, 10**400, -1, math.nan, math.inf])
)
SCALARS = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.text(max_size=12), st.sampled_from(["mean", "none"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
PARAMETERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["float", "int", "categorical", "FLOAT", 3])},
    optional={
        "low": NUMBERS,
        "high": NUMBERS,
        "step": NUMBERS,
        "log": st.booleans() | VALUES,
        "choices": st.lists(SCALARS, max_size=4) | VALUES,
        "when": st.dictionaries(NAMES, st.lists(SCALARS, max_size=2) | SCALARS, max_size=2) | VALUES,
    },
)
SPACES = st.fixed_dictionaries(
    {},
    optional={
        "search": st.dictionaries(NAMES, PARAMETERS | VALUES, max_size=3) | VALUES,
        "fixed": st.dictionaries(NAMES, SCALARS, max_size=3) | VALUES,
        "baseline": st.dictionaries(NAMES, SCALARS, max_size=2) | VALUES,
        "sampler": st.sampled_from(["tpe", "grid", "best"]) | SCALARS,
        "scheduler": st.dictionaries(st.sampled_from(["name", "grace_period", "x"]), SCALARS) | VALUES,
        "trials": NUMBERS | VALUES,
        "more": VALUES,
    },
)


@fuzz
@given(SPACES)
def test_a_space_is_refused_in_a_line_or_reads_back_the_same(spec: dict[str, Any]) -> None:
    try:
        space = parse_space(spec, "space.yaml")
    except ConfigError as error:
        assert str(error).startswith("space.yaml: ") and len(str(error)) < 5000
    else:
        assert parse_space(space.to_dict(), "again") == space
        space.settings(space.baseline)


@fuzz
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | SPACES.map(yaml.safe_dump).map(str.encode)
)
def test_a_space_file_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "space.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(load_space(path), SearchSpace)
    except ConfigError as error:
        assert "space.yaml" in str(error)
    try:
        StudyConfig.read(path)
    except StudyFolderError as error:
        assert "space.yaml" in str(error)


@fuzz
@given(st.lists(st.tuples(NAMES, SCALARS).map(lambda pair: f"{pair[0]}={pair[1]}") | st.text(max_size=30)))
def test_assignments(texts: list[str]) -> None:
    try:
        values = parse_assignments(texts)
    except ConfigError as error:
        assert str(error).startswith("--set ")
    else:
        assert set(values) <= set(Settings.__dataclass_fields__)


@fuzz
@given(st.text(max_size=12) | st.from_regex(r"\A\d{0,4}h?\d{0,400}m?\d*s?\Z"))
def test_durations(text: str) -> None:
    try:
        assert parse_duration(text) > 0
    except ConfigError as error:
        assert "--time-budget" in str(error)


def plain_parse(name: str) -> tuple[int, int] | None:
    """A Market-1501 name by hand: digits or -1, `_c`, a camera from 1, what follows no digit."""
    if Path(name).suffix.lower() not in (".jpg", ".jpeg", ".png"):
        return None
    person, sign, rest = name.partition("_c")
    if not sign or not (person == "-1" or (person.isascii() and person.isdigit() and len(person) <= 18)):
        return None
    digits = ""
    for character in rest:
        if character not in "0123456789":
            break
        digits += character
    camera = digits.lstrip("0")
    return (int(person), int(camera) - 1) if 1 <= len(camera) <= 9 else None


ODD = st.sampled_from(
    ["-1", "0000", "0002", "12345", "_c", "c1", "s1_000451_03", "_", ".jpg", ".PNG", "٣", "\n", "/"]
)


@fuzz
@given(st.text(max_size=20) | st.lists(ODD | st.integers(0, 10**20).map(str), max_size=6).map("".join))
def test_the_file_name_parser_agrees_with_one_written_by_hand(name: str) -> None:
    assert MARKET.parse(name) == plain_parse(name)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[Any, ...]:
    """Few distinct distances make ties; pids from junk to distractors; perhaps one camera, or nothing."""
    queries, gallery = draw(st.integers(0, 4)), draw(st.integers(0, 7))
    special = draw(st.sampled_from([[], [], [math.inf], [-math.inf, math.inf], [math.nan]]))
    distance = st.sampled_from([0.0, 1.0, 1.5, -2.0, 3e38, 1e-45, *special])
    rows = draw(
        st.lists(st.lists(distance, min_size=gallery, max_size=gallery), min_size=queries, max_size=queries)
    )
    cameras = st.integers(0, draw(st.integers(0, 2)))

    def vector(size: int, values: st.SearchStrategy[int]) -> Any:
        return np.array(draw(st.lists(values, min_size=size, max_size=size)), np.int64)

    return (
        np.array(rows, np.float32).reshape(queries, gallery),
        vector(queries, st.integers(0, 3)),
        vector(gallery, st.integers(-1, 3)),
        vector(queries, cameras),
        vector(gallery, cameras),
    )


@settings(fuzz, max_examples=400)
@given(rankings())
def test_figures_are_the_plain_ones_or_refused_where_there_are_none(case: tuple[Any, ...]) -> None:
    distances, query_pids, gallery_pids, query_camids, gallery_camids = case
    matched = any(
        pid > 0 and ((gallery_pids == pid) & (gallery_camids != camid)).any()
        for pid, camid in zip(query_pids, query_camids, strict=True)
    )
    sound = gallery_pids.size and matched and not np.isnan(distances).any()
    if not sound:
        with pytest.raises(DataError):
            ranking_metrics(distances, query_pids, gallery_pids, query_camids, gallery_camids, topk=5)
        return
    found: RankingMetrics = ranking_metrics(
        distances, query_pids, gallery_pids, query_camids, gallery_camids, topk=5
    )
    assert_figures(
        found, plain_figures(distances, query_pids, gallery_pids, query_camids, gallery_camids, topk=5)
    )
    again = QueryScores.from_dict(found.queries.to_dict(), "here")
    assert again.of("mAP").mean() == pytest.approx(found.mAP)


@pytest.fixture(scope="module")
def whole() -> bytes:
    """A sound checkpoint's bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.pt"
        state = {"base.conv1.weight": torch.ones(4, 3), "instance0.weight": torch.zeros(5, 2)}
        save_checkpoint(path, Checkpoint(state, Settings().to_dict(), 5, 1, [{"epoch": 1.0, "mAP": 0.5}]))
        return path.read_bytes()


@settings(fuzz, max_examples=300)
@given(st.data())
def test_a_checkpoint_with_flipped_cut_or_swapped_bytes(
    whole: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.none() | st.integers(0, len(content)))
    path = tmp_path / "c.pt"
    path.write_bytes(bytes(content[:cut]))
    read_or_refuse(path)


@settings(fuzz, max_examples=100)
@given(st.data())
def test_a_checkpoint_whose_members_are_changed_or_exchanged(
    whole: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    """The checksums are right, so that the content itself is read."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    names = sorted(members)
    one, other = (data.draw(st.sampled_from(names)) for _ in range(2))
    members[one], members[other] = members[other], members[one]
    target = data.draw(st.sampled_from(names))
    changed = bytearray(members[target])
    if changed:
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    members[target] = bytes(changed)
    path = tmp_path / "c.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    read_or_refuse(path)


def read_or_refuse(path: Path) -> None:
    for read in (load_checkpoint, read_weights):
        try:
            read(path)
        except WeightsError as error:
            assert str(path) in str(error) and "\n" not in str(error)
