"""Plans: sizes on disk against real files, plays against arithmetic, the probe against its own figures."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData
from sa_study.settings.run import Settings
from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.settings.space_file import parse_space
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.training.checkpoint import save_checkpoint
from sa_study.training.run import load_training_data
from sa_study.training.trainer import Trainer
from sa_study.tuning.budget import Budget
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.disk_space import file_sizes, in_units, largest, measure_disks, require_room
from sa_study.tuning.launch.session import SESSION_SIZE, Session
from sa_study.tuning.plan.forecast import Play, Terms, play_often
from sa_study.tuning.plan.plan import Estimate, Forecast, MemoryNeed
from sa_study.tuning.plan.probe import probe
from sa_study.utils.errors import StudyFolderError

SMALL: dict[str, Any] = {
    "depth": 18,
    "pretrained": "none",
    "height": 32,
    "width": 16,
    "parts": 2,
    "batch_size": 8,
    "threads": 1,
    "device": "cpu",
}
NONE, ASHA = Scheduler("none"), Scheduler("asha")
TWO_SLOTS = Slots(1, 0, 2)


def space(**spec: Any) -> SearchSpace:
    return parse_space({"fixed": SMALL, **spec}, "test")


def study(place: Path, trials: int = 40, **options: Any) -> tuple[StudyFolder, StudyConfig]:
    searched = space(search={"lr": {"type": "float", "low": 0.01, "high": 0.3}})
    config = StudyConfig(data_dir=place, space=searched, trials=trials, **options)
    return StudyFolder(place / "runs" / "study"), config


@pytest.fixture
def data(make_market: Callable[..., Path]) -> TrainingData:
    return load_training_data(ReidDataset(make_market()), Settings(**SMALL))


class TestFileSizes:
    """What is expected of files, against files."""

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"depth": 50, "num_features": 512},
            {"parts": 1, "deep_supervision": False},
        ],
    )
    def test_equal_those_of_real_checkpoints(
        self, data: TrainingData, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        settings = Settings(**{**SMALL, **change})
        trainer = Trainer(settings, dataclasses.replace(data, train=data.train[:8], labels=data.labels[:8]))
        trainer.run_epoch()
        checkpoint = trainer.checkpoint()
        for name, one, size in zip(
            ("all.pt", "weights.pt"),
            (checkpoint, checkpoint.weights_only()),
            file_sizes(settings, data.num_classes),
            strict=True,
        ):
            save_checkpoint(tmp_path / name, one)
            assert size == pytest.approx((tmp_path / name).stat().st_size, rel=0.02)

    def test_need_no_weights_file(self) -> None:
        settings = Settings(**{**SMALL, "pretrained": "/nowhere/weights.pth"})
        assert file_sizes(settings, 10) == file_sizes(Settings(**SMALL), 10)

    def test_are_of_the_largest_network(self) -> None:
        fixed = {key: value for key, value in SMALL.items() if key not in ("depth", "parts", "height")}
        searched = space(
            fixed=fixed,
            search={
                "depth": {"type": "categorical", "choices": [34, 101, 18]},
                "parts": {"type": "int", "low": 1, "high": 4},
                "height": {"type": "int", "low": 64, "high": 128, "step": 64},
                "deep_supervision": {"type": "categorical", "choices": [True, False]},
                "lr": {"type": "float", "low": 0.1, "high": 0.2},
            },
            baseline={"depth": 18, "parts": 2, "height": 64, "deep_supervision": False},
        )
        found = largest(searched)
        assert (found.backbone, found.parts, found.deep_supervision, found.lr) == ("resnet101", 4, True, 0.1)


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1.5e6, "2 MB"), (2.34e9, "2.3 GB"), (1.2e13, "12,000.0 GB")]
)
def test_bytes_in_words(count: float, text: str) -> None:
    assert in_units(count) == text


class TestRoom:
    """The check that the disks hold a study and its temporary files."""

    @pytest.fixture
    def make_disk(self, tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
        made: list[Path] = []

        def make(name: str, megabytes: int) -> Path:
            place = tmp_path / name
            place.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}M", "tmpfs", str(place)]
            try:
                subprocess.run(mount, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("mounting is not permitted")
            made.append(place)
            return place

        yield make
        for place in made:
            subprocess.run(["umount", str(place)], check=True)

    @pytest.fixture
    def disk(self, make_disk: Callable[[str, int], Path]) -> Path:
        return make_disk("disk", 1024)

    @pytest.fixture(autouse=True)
    def memory(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
        """What a connected Ray says of itself: objects may take a megabyte of the memory."""
        known = {"object_store_memory": 2.0**20}
        monkeypatch.setattr("ray.cluster_resources", lambda: known)
        return known

    def test_counts_what_trials_keep(self, tmp_path: Path, data: TrainingData) -> None:
        one, weights = file_sizes(Settings(**SMALL), data.num_classes)
        for trials, running in ((40, 2), (1, 1)):
            (found,) = measure_disks(*study(tmp_path), data, TWO_SLOTS, trials, None)
            assert found.checkpoint == one and found.need == (2 * trials + running) * one + 2 * weights

    def test_counts_what_is_temporary(self, tmp_path: Path, data: TrainingData, disk: Path) -> None:
        one, weights = file_sizes(Settings(**SMALL), data.num_classes)
        kept = (2 * 40 + 2) * one + 2 * weights
        session, shared = SESSION_SIZE, data.store.images.nbytes + weights
        assert shared > 2**20, "the objects do not fit in the memory"

        def needs(checkpoints: Path) -> list[tuple[int, Path | None]]:
            folders = Session(disk / "ray_1", checkpoints / "checkpoints_1")
            found = measure_disks(*study(tmp_path), data, TWO_SLOTS, 40, folders)
            return [(one.need, one.place) for one in found]

        assert needs(disk) == [(kept, tmp_path), (2 * one + session + shared, disk)]
        assert needs(tmp_path) == [(kept + 2 * one, tmp_path), (session + shared, disk)], "one disk, one sum"

    def test_objects_that_memory_holds_need_no_disk(
        self, tmp_path: Path, data: TrainingData, disk: Path, memory: dict[str, float]
    ) -> None:
        memory["object_store_memory"] = 2.0**28
        folders = Session(disk / "ray_1", tmp_path / "checkpoints_1")
        _, found = measure_disks(*study(tmp_path), data, TWO_SLOTS, 40, folders)
        assert found.need == SESSION_SIZE
        memory["object_store_memory"] = 2.0**60  # more than the shared memory: Ray takes a file
        _, found = measure_disks(*study(tmp_path), data, TWO_SLOTS, 40, folders)
        assert found.need > SESSION_SIZE + data.store.images.nbytes

    def test_looks_where_the_trials_will_be(self, tmp_path: Path, data: TrainingData) -> None:
        (tmp_path / "shared disk").mkdir()
        for storage, place in (
            (None, tmp_path),
            (str(tmp_path / "shared disk" / "new" / "newer"), tmp_path / "shared disk"),
            (f"file://{tmp_path}/shared%20disk/new", tmp_path / "shared disk"),
            ("s3://bucket/study", None),
        ):
            (found,) = measure_disks(*study(tmp_path, storage_path=storage), data, TWO_SLOTS, 1, None)
            assert found.place == place and (found.free is None) == (place is None)

    def test_refuses_a_disk_that_is_too_small(self, disk: Path, data: TrainingData) -> None:
        folder, config = study(disk)
        with pytest.raises(StudyFolderError) as error:
            require_room(folder, config, data, TWO_SLOTS, 40, None)
        for words in (str(disk), "7.6 GB", "92 MB", "1.1 GB", "--trials", "--storage-path", "make room"):
            assert words in str(error.value)
        assert not list(disk.iterdir())

    def test_refuses_a_small_disk_of_temporary_files_by_its_name(
        self, tmp_path: Path, data: TrainingData, make_disk: Callable[[str, int], Path]
    ) -> None:
        """Also where Ray's own files are elsewhere."""
        small, other = make_disk("small", 60), make_disk("other", 1024)
        folder, config = study(tmp_path)
        for rays in (small, other):
            folders = Session(rays / "ray_1", small / "checkpoints_1")
            with pytest.raises(StudyFolderError, match=f"^{small}: temporary files need .* TMPDIR") as error:
                require_room(folder, config, data, TWO_SLOTS, 1, folders)
            assert "--max-concurrent" in str(error.value) and str(folder.root) not in str(error.value)
        require_room(folder, config, data, TWO_SLOTS, 1, Session(other / "ray_1", other / "checkpoints_1"))

    def test_takes_one_that_is_large_enough(self, disk: Path, data: TrainingData) -> None:
        folder, config = study(disk)
        require_room(folder, config, data, TWO_SLOTS, 1, None)

    def test_does_not_judge_an_object_store(self, disk: Path, data: TrainingData) -> None:
        folder, config = study(disk, storage_path="s3://bucket/study")
        require_room(folder, config, data, TWO_SLOTS, 10**6, None)


def terms(**values: Any) -> Terms:
    plain = {"trials": 5, "slots": 2, "gpus": 0.0, "first": 8.0, "start": 1.0, "between": 0.5}
    return Terms(**{"budget": Budget(), **plain, **values})


def ten_seconds(settings: Settings) -> float:
    return 10.0


class TestPlays:
    """Courses of a study, through its own stopping rule and tracker."""

    FOUR = space(
        fixed={**SMALL, "epochs": 4}, search={"lr": {"type": "float", "low": 0.01, "high": 0.3, "log": True}}
    )
    EPOCHS = space(
        search={
            "epochs": {"type": "int", "low": 40, "high": 120, "step": 20},
            "lr": {"type": "float", "low": 0.01, "high": 0.3},
        },
        baseline={"epochs": 100},
    )

    def test_without_stopping_are_waves_over_the_slots(self) -> None:
        a_trial = 4 * 10 + 3 * 0.5
        seconds = 8 + 3 * a_trial + 2 * 1
        assert set(play_often(self.FOUR, NONE, terms(), ten_seconds)) == {Play(5, 20, seconds, 0.0, "")}

    def test_more_slots_than_trials(self) -> None:
        plays = play_often(self.FOUR, NONE, terms(slots=9), ten_seconds)
        assert {play.seconds for play in plays} == {8 + 4 * 10 + 3 * 0.5}

    def test_draw_epochs_from_the_space(self) -> None:
        plays = play_often(self.EPOCHS, NONE, terms(trials=40), ten_seconds)
        mean = sum(play.epochs for play in plays) / len(plays)
        assert mean == pytest.approx(100 + 39 * 80, rel=0.03)
        assert len({play.epochs for play in plays}) > 10

    def test_of_a_finite_space_repeat_no_configuration(self) -> None:
        few = space(search={"epochs": {"type": "categorical", "choices": [1, 10, 100]}})
        plays = play_often(few, NONE, terms(trials=3), ten_seconds)
        assert {play.epochs for play in plays} == {111}
        assert {play.epochs for play in play_often(few, NONE, terms(trials=2), ten_seconds)} == {101, 110}

    def test_of_a_grid_have_each_of_its_configurations(self) -> None:
        grid = space(
            fixed=SMALL,
            search={"epochs": {"type": "categorical", "choices": [3, 5, 11]}},
            baseline={"epochs": 5},
            sampler="grid",
        )
        assert {play.epochs for play in play_often(grid, NONE, terms(trials=3), ten_seconds)} == {19}

    def test_of_one_fixed_configuration(self) -> None:
        plays = play_often(space(fixed={**SMALL, "epochs": 7}), ASHA, terms(trials=1), ten_seconds)
        assert {play.epochs for play in plays} == {7}

    def test_stop_about_two_of_three_at_the_first_rung(self) -> None:
        """Rungs at 10, 30 and 90 %, each passed by one of three: 10 + 20/3 + 60/9 + 10/27 % and a little."""
        plays = play_often(self.EPOCHS, ASHA, terms(trials=100), ten_seconds)
        whole = play_often(self.EPOCHS, NONE, terms(trials=100), ten_seconds)
        share = sum(play.epochs for play in plays) / sum(play.epochs for play in whole)
        assert 0.237 < share < 0.33

    def test_never_stop_the_baseline(self) -> None:
        plays = play_often(self.EPOCHS, Scheduler("asha", 10, 100), terms(trials=2, slots=1), ten_seconds)
        assert min(play.epochs for play in plays) >= 100

    @pytest.mark.parametrize(
        ("budget", "over", "epochs", "trials"),
        [
            (Budget(epochs=7), "the budget of 7 epochs is spent", 8, 2),
            (Budget(seconds=39), "the time budget is spent", 6, 0),
            (Budget(gpu_hours=60 / 3600), "the budget of 0.0166667 GPU-hours is spent", 13, 2),
        ],
    )
    def test_end_with_a_budget(self, budget: Budget, over: str, epochs: int, trials: int) -> None:
        (play,) = set(play_often(self.FOUR, NONE, terms(budget=budget, gpus=0.5), ten_seconds))
        assert (play.over, play.epochs, play.trials) == (over, epochs, trials)
        assert play.gpu_hours == pytest.approx(epochs * 10 * 0.5 / 3600)

    def test_a_budget_that_all_trials_keep_ends_nothing(self) -> None:
        (play,) = set(play_often(self.FOUR, NONE, terms(budget=Budget(epochs=20)), ten_seconds))
        assert play == Play(5, 20, play.seconds, 0.0, "")


def test_estimates() -> None:
    assert Estimate.of(list(range(11))) == Estimate(5, 1, 9)
    assert Estimate.of([3]) == Estimate(3, 3, 3)
    plays = [Play(4, 9, 5.0, 0.0, "spent"), Play(4, 9, 5.0, 0.0, "")]
    found = Forecast.of(plays, preparation=2.0)
    assert found.seconds.mean == 7 and found.epochs.mean == 9 and found.budgets == {"spent": 0.5}


@pytest.mark.parametrize(("slots", "usable", "fits"), [(1, 1200, True), (2, 1200, False), (1, 1199, False)])
def test_memory(monkeypatch: pytest.MonkeyPatch, slots: int, usable: int, fits: bool) -> None:
    """Trials and the driver have what the probe had; the images lie in the object store and in the driver."""
    monkeypatch.setattr("sa_study.tuning.plan.plan.peak_memory", lambda: 600)
    monkeypatch.setattr("sa_study.tuning.plan.plan.usable_memory", lambda: usable)
    need = MemoryNeed.after_probe(100, Slots(1, 0, slots), joined=False)
    assert need == MemoryNeed(500, 500 * (slots + 1) + 200, usable) and need.suffices is fits
    assert MemoryNeed.after_probe(100, Slots(1, 0, 99), joined=True).suffices, "not known"


class TestProbe:
    """A short measurement with the real engine."""

    def test_extrapolates_to_all_images(self, data: TrainingData) -> None:
        threads, told = torch.get_num_threads(), []
        settings = Settings(**SMALL)
        speed = probe(settings, data, lambda done, total: told.append(done))
        images = len(data.train) // 8 * 8
        validated = (len(data.query) + len(data.gallery)) * speed.latency / 1000
        assert speed.seconds == pytest.approx(images / speed.images_per_second + validated)
        assert speed.device == "cpu" and speed.images_per_second > 0 and speed.latency > 0
        assert torch.get_num_threads() == threads and told[-1] == 100 and told == sorted(told)

    def test_scales_by_arithmetic(self, data: TrainingData) -> None:
        settings = Settings(**SMALL)
        speed = probe(settings, data, lambda done, total: None)
        taller = dataclasses.replace(settings, height=64)
        assert speed.seconds_of(settings) == pytest.approx(speed.seconds)
        assert speed.seconds_of(taller) == pytest.approx(2 * speed.seconds)
        assert speed.seconds_of(dataclasses.replace(taller, width=32)) == pytest.approx(4 * speed.seconds)
        deeper = dataclasses.replace(settings, depth=50)
        assert 1.8 < speed.seconds_of(deeper) / speed.seconds < 2.4

    def test_needs_no_weights_file(self, data: TrainingData) -> None:
        probe(Settings(**{**SMALL, "pretrained": "/nowhere/weights.pth"}), data, lambda done, total: None)
