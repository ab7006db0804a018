"""When a launch connects to Ray and decodes the images, and for how many trials it has workers start."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from written_study import Trial, make_study

from sa_study.report.terminal.launch_display import LaunchDisplay
from sa_study.study.config import StudyConfig
from sa_study.tuning.launch import launch, prepare
from sa_study.tuning.launch.prepare import StudyChanges

TRIALS = [Trial(), Trial("PRUNED", curve=(0.1, 0.2)), Trial("RUNNING", curve=(0.1,))]


class Connected(Exception):
    """Ray would have started."""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    """That of a study with two ended trials of five, whose images and backbones are not looked for."""
    folder = make_study(tmp_path / "begun", TRIALS)
    monkeypatch.setattr(
        launch, "find_images", lambda *_, **__: SimpleNamespace(decode=lambda progress: {0: 0})
    )
    monkeypatch.setattr(launch, "load_backbones", lambda *_: {})
    monkeypatch.setattr(launch, "differences", lambda *_: [])
    monkeypatch.setattr(StudyConfig, "require_unchanged", lambda *_: None)  # its first launch is made up
    return StudyConfig.read(folder.config)


@pytest.fixture
def display(config: StudyConfig) -> LaunchDisplay:
    return LaunchDisplay(Console(file=io.StringIO()), config)


@pytest.mark.parametrize(("how", "trials"), [("launch", 5), ("resume", 3)])
def test_workers_start_for_the_trials_that_have_not_ended(
    how: str,
    trials: int,
    config: StudyConfig,
    display: LaunchDisplay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def connect(address: str | None, workers: object) -> None:
        asked.append((address, workers))
        raise Connected

    monkeypatch.setattr(prepare, "first_workers", lambda config, left: left)
    monkeypatch.setattr(prepare, "connect", connect)
    with pytest.raises(Connected):
        if how == "launch":
            launch.launch(tmp_path / "new", config, display)
        else:
            launch.resume(tmp_path / "begun", StudyChanges(), display)
    assert asked == [(None, trials)] and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("address", "order"),
    [
        (None, ["starting Ray", "connected", "decoding images", "preparing the trials"]),
        ("auto", ["decoding images", "preparing the trials", "starting Ray", "connected"]),
    ],
)
def test_workers_start_while_images_are_decoded_and_a_cluster_is_joined_after_it(
    address: str | None,
    order: list[str],
    config: StudyConfig,
    display: LaunchDisplay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def look() -> None:
        seen.append(display.panel().phase[0])  # type: ignore[index]

    @contextmanager
    def connect(*_: Any) -> Iterator[None]:
        look()
        seen.append("connected")
        yield

    def decode(progress: Any) -> dict[int, str]:
        for done in (1, 2):
            progress(done, 2)
            look()
        return {0: "images"}

    monkeypatch.setattr(prepare, "connect", connect)
    images: Any = SimpleNamespace(decode=decode)
    with prepare.connect_and_decode(dataclasses.replace(config, address=address), images, 5, display) as (
        _,
        data,
    ):
        decoded: Any = data
        assert decoded == {0: "images"}
    assert seen == order
