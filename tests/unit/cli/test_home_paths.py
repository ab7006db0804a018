"""A `~` that no shell has replaced: in quotes, after `=`, in a file, or in Python."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import torch
import typer
from command_line import CommandLine

from sa_study import ReidDataset, SANet, load_weights
from sa_study.cli import app
from sa_study.data.check import check_dataset
from sa_study.model.weights import read_weights
from sa_study.settings.run import Settings
from sa_study.settings.space_file import load_space
from sa_study.settings.yaml_files import parse_assignments
from sa_study.study.config import StudyConfig
from sa_study.utils.errors import ConfigError, StudyError, StudyFolderError
from sa_study.utils.files import expand_home

UNKNOWN = "~nobody-of-this-name/x"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, which is not the working folder."""
    folder, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(elsewhere)
    return folder


def commands(group: typer.Typer) -> Iterator[Callable[..., Any]]:
    for command in group.registered_commands:
        assert command.callback
        yield command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance
        yield from commands(inner.typer_instance)


def path_parameters() -> Iterator[tuple[str, Any]]:
    """Name and Typer's description of every parameter of the command line that takes a path."""
    for command in commands(app):
        for name, hint in get_type_hints(command, include_extras=True).items():
            if get_origin(hint) is not Annotated:
                continue
            kind, info = get_args(hint)
            kinds = {kind, *get_args(kind)}
            if kinds & {Path, list[Path]} or name == "storage_path":
                yield f"{command.__name__} {name}", info


@pytest.mark.parametrize("info", [pytest.param(info, id=name) for name, info in path_parameters()])
def test_every_option_and_argument_takes_it(home: Path, info: Any) -> None:
    assert Path(info.parser("~/some/place")) == home / "some" / "place"
    for plain in ("some/place", "/some/place", "./~place"):
        assert Path(info.parser(plain)) in (Path(plain), Path(plain).absolute())
    with pytest.raises(typer.BadParameter, match=f"^{UNKNOWN}: no home folder"):
        info.parser(UNKNOWN)


def test_all_commands_with_paths_are_covered() -> None:
    names = [name for name, _ in path_parameters()]
    assert len(names) > 40 and "tune storage_path" in names and "train config" in names
    assert {"data_dir", "study", "out", "weights", "space", "root"} <= {name.split()[1] for name in names}


def test_the_command_line(tool: CommandLine, home: Path, make_market: Callable[..., Path]) -> None:
    shutil.move(make_market(), home / "market")
    code, error = tool("data", "check", "~/market")
    assert code == 0, error
    tool.refuses("data", "check", UNKNOWN, naming=["DIR", UNKNOWN, "in full"])
    planned = ("plan", "--data-dir", "~/market", "--storage-path", UNKNOWN)
    tool.refuses(*planned, naming=["--storage-path", UNKNOWN])
    tool.refuses("evaluate", "--weights", UNKNOWN, "--data-dir", "~/market", naming=["--weights", UNKNOWN])
    words = ("tune", "--data-dir", "~/market", "--study", "s", "--set", f"pretrained={UNKNOWN}")
    tool.refuses(*words, naming=["--set", "pretrained", UNKNOWN])


def test_python(home: Path, make_market: Callable[..., Path]) -> None:
    shutil.move(make_market(), home / "market")
    assert ReidDataset("~/market").root == home / "market"
    assert ReidDataset(Path("~/market")).root == home / "market"
    assert check_dataset(Path("~/market")).ok
    net = SANet(depth=18, num_features=8)
    torch.save(net.state_dict(), home / "weights.pt")
    assert load_weights(net, "~/weights.pt").unused == ()
    backbone = {name: value for name, value in net.base.state_dict().items()}
    torch.save(backbone, home / "backbone.pth")
    SANet(depth=18, num_features=8, pretrained="~/backbone.pth")
    for use in (ReidDataset, read_weights, lambda path: SANet(depth=18, pretrained=path)):
        with pytest.raises(StudyError, match=UNKNOWN):
            use(UNKNOWN)


def test_settings_and_files(home: Path) -> None:
    place = str(home / "backbone.pth")
    assert parse_assignments(["pretrained=~/backbone.pth"]) == {"pretrained": place}
    assert Settings(pretrained="~/backbone.pth").pretrained == place
    with pytest.raises(ConfigError, match=f"^pretrained: {UNKNOWN}"):
        Settings(pretrained=UNKNOWN)
    space = home / "space.yaml"
    space.write_text("fixed: {pretrained: ~/backbone.pth}\ntrials: 1\n")
    assert load_space(Path("~/space.yaml")).fixed == {"pretrained": place}


def test_a_study_whose_description_was_edited(home: Path) -> None:
    file = home / "study.yaml"
    config = StudyConfig(data_dir=Path("/data"), space=load_space(Path("paper")), trials=1)
    config.write(file)
    text = file.read_text().replace("data_dir: /data", "data_dir: ~/data")
    file.write_text(text.replace("storage_path: null", "storage_path: ~/trials"))
    read = StudyConfig.read(file)
    assert read.data_dir == home / "data" and read.storage_path == str(home / "trials")
    file.write_text(text.replace("~/data", UNKNOWN))
    with pytest.raises(StudyFolderError, match=UNKNOWN):
        StudyConfig.read(file)


def test_only_a_leading_one_counts(home: Path) -> None:
    assert expand_home("a/~/b") == Path("a/~/b")
    assert expand_home("./~b") == Path("~b")
    assert expand_home("~") == home
