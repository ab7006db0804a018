"""Disk space: the expected sizes of files against real files, and the check that the disks hold a study."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_space import SMALL_RESNET, small_space

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData, load_training_data
from sa_study.model.backbones import BACKBONES
from sa_study.settings.run import Settings
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.training.checkpoint import save_checkpoint
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.disk_space import (
    file_sizes,
    largest_files,
    measure_disks,
    name_full_disk,
    require_disk_space,
)
from sa_study.tuning.launch.local_ray import SESSION_BYTES, Session
from sa_study.utils.errors import RunFailed, StudyFolderError
from sa_study.utils.files import format_bytes

TWO_SLOTS = Slots(1, 0, 2)


def study(place: Path, trials: int = 40, **options: Any) -> tuple[StudyFolder, StudyConfig]:
    searched = small_space(fixed=SMALL_RESNET, search={"lr": {"type": "float", "low": 0.01, "high": 0.3}})
    config = StudyConfig(data_dir=place, space=searched, trials=trials, **options)
    return StudyFolder(place / "runs" / "study"), config


@pytest.fixture
def data(make_market: Callable[..., Path]) -> TrainingData:
    return load_training_data(ReidDataset(make_market()), Settings(**SMALL_RESNET))


class TestFileSizes:
    """The expected sizes of checkpoints, against real ones."""

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"backbone": "resnet50", "num_features": 512},
            {"parts": 1, "deep_supervision": False},
            {"optimizer": "adam"},
            {"optimizer": "adamw", "ema_decay": 0.9},
        ],
    )
    def test_equal_those_of_real_checkpoints(
        self, data: TrainingData, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        settings = Settings(**{**SMALL_RESNET, **change})
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
        settings = Settings(**{**SMALL_RESNET, "pretrained": "/nowhere/weights.pth"})
        assert file_sizes(settings, 10) == file_sizes(Settings(**SMALL_RESNET), 10)

    def test_are_of_the_largest_network(self) -> None:
        fixed = {
            key: value for key, value in SMALL_RESNET.items() if key not in ("backbone", "parts", "height")
        }
        searched = small_space(
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
        largest = {"backbone": "resnet101", "parts": 4, "deep_supervision": True, "height": 128}
        assert largest_files(searched, 10) == file_sizes(Settings(**{**SMALL_RESNET, **largest}), 10)

    @pytest.mark.parametrize(
        ("key", "largest", "others"),
        [
            ("optimizer", "adamw", ["sgd"]),
            ("optimizer", "adam", ["sgd"]),
            ("ema_decay", 0.9, [0.0]),
            ("bn_neck", True, [False]),
            ("backbone", "resnet50", ["timm/small", "resnet18"]),
            ("backbone", "timm/large", ["resnet50", "timm/small"]),
        ],
    )
    def test_are_of_the_largest_value_wherever_it_stands(
        self, key: str, largest: Any, others: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """timm's backbones stand for others here, so that it need not be installed."""
        monkeypatch.setitem(BACKBONES, "timm/small", BACKBONES["narrow"])
        monkeypatch.setitem(BACKBONES, "timm/large", BACKBONES["resnet101"])
        fixed = {name: value for name, value in SMALL_RESNET.items() if name != key}
        expected = file_sizes(Settings(**{**fixed, key: largest}), 10)
        for other in others:
            assert file_sizes(Settings(**{**fixed, key: other}), 10)[0] < expected[0]
        for choices in ([largest, *others], [*others, largest]):
            rule = {"type": "categorical", "choices": choices}
            searched = small_space(fixed=fixed, search={key: rule}, baseline={key: others[-1]})
            assert largest_files(searched, 10) == expected


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1.5e6, "2 MB"), (2.34e9, "2.3 GB"), (1.2e13, "12,000.0 GB")]
)
def test_bytes_in_words(count: float, text: str) -> None:
    assert format_bytes(count) == text


class TestRoom:
    """The check that the disks hold a study and its temporary files."""

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
        one, weights = file_sizes(Settings(**SMALL_RESNET), data.num_classes)
        for trials, running in ((40, 2), (1, 1)):
            (found,) = measure_disks(*study(tmp_path), data, TWO_SLOTS, trials, None)
            assert found.checkpoint == one and found.need == (2 * trials + running) * one + 2 * weights

    def test_counts_what_is_temporary(self, tmp_path: Path, data: TrainingData, disk: Path) -> None:
        one, weights = file_sizes(Settings(**SMALL_RESNET), data.num_classes)
        kept = (2 * 40 + 2) * one + 2 * weights
        session, shared = SESSION_BYTES, data.store.images.nbytes + weights
        assert shared > 2**20, "the objects do not fit in the memory"

        def needs(rays: Path) -> list[tuple[int, Path | None]]:
            found = measure_disks(*study(tmp_path), data, TWO_SLOTS, 40, Session(rays / "ray_1"))
            return [(one.need, one.folder) for one in found]

        assert needs(disk) == [(kept, tmp_path), (session + shared, disk)]
        assert needs(tmp_path) == [(kept + session + shared, tmp_path)], "one disk, one sum"

    def test_objects_that_memory_holds_need_no_disk(
        self, tmp_path: Path, data: TrainingData, disk: Path, memory: dict[str, float]
    ) -> None:
        memory["object_store_memory"] = 2.0**28
        session = Session(disk / "ray_1")
        _, found = measure_disks(*study(tmp_path), data, TWO_SLOTS, 40, session)
        assert found.need == SESSION_BYTES
        memory["object_store_memory"] = 2.0**60  # more than the shared memory: Ray takes a file
        _, found = measure_disks(*study(tmp_path), data, TWO_SLOTS, 40, session)
        assert found.need > SESSION_BYTES + data.store.images.nbytes

    def test_looks_where_the_trials_will_be(self, tmp_path: Path, data: TrainingData) -> None:
        (tmp_path / "shared disk").mkdir()
        for storage, place in (
            (None, tmp_path),
            (str(tmp_path / "shared disk" / "new" / "newer"), tmp_path / "shared disk"),
            (f"file://{tmp_path}/shared%20disk/new", tmp_path / "shared disk"),
            ("s3://bucket/study", None),
        ):
            (found,) = measure_disks(*study(tmp_path, storage_path=storage), data, TWO_SLOTS, 1, None)
            assert found.folder == place and (found.free is None) == (place is None)

    def test_refuses_a_disk_that_is_too_small(self, disk: Path, data: TrainingData) -> None:
        folder, config = study(disk)
        with pytest.raises(StudyFolderError) as error:
            require_disk_space(measure_disks(folder, config, data, TWO_SLOTS, 40, None))
        for words in (str(disk), "7.6 GB", "92 MB", "1.1 GB", "--trials", "--storage-path", "make room"):
            assert words in str(error.value)
        assert not list(disk.iterdir())

    def test_refuses_a_small_disk_of_temporary_files_by_its_name(
        self, tmp_path: Path, data: TrainingData, make_disk: Callable[[str, int], Path]
    ) -> None:
        small, other = make_disk("small", 9), make_disk("other", 1024)
        folder, config = study(tmp_path)
        with pytest.raises(StudyFolderError, match=f"^{small}: temporary files need .* TMPDIR") as error:
            require_disk_space(measure_disks(folder, config, data, TWO_SLOTS, 1, Session(small / "ray_1")))
        assert str(folder.root) not in str(error.value)
        require_disk_space(measure_disks(folder, config, data, TWO_SLOTS, 1, Session(other / "ray_1")))

    def test_takes_one_that_is_large_enough(self, disk: Path, data: TrainingData) -> None:
        folder, config = study(disk)
        require_disk_space(measure_disks(folder, config, data, TWO_SLOTS, 1, None))

    def test_does_not_judge_an_object_store(self, disk: Path, data: TrainingData) -> None:
        folder, config = study(disk, storage_path="s3://bucket/study")
        require_disk_space(measure_disks(folder, config, data, TWO_SLOTS, 10**6, None))

    def test_a_full_disk_is_named_though_a_librarys_error_names_no_file(
        self, tmp_path: Path, make_disk: Callable[[str, int], Path]
    ) -> None:
        """Really filled; an error that names its file, and one of another kind, stay what they are."""
        small = make_disk("small", 1)
        session = Session(small / "ray_1")
        with (
            pytest.raises(RunFailed, match=rf"no room for a file in {small} on .*resume --study {tmp_path}'"),
            name_full_disk(tmp_path, session),
            (small / "filler").open("wb", buffering=0) as file,
        ):
            while file.write(bytes(65536)):
                pass
        for error in (OSError(errno.ENOSPC, "full", "named"), OSError(errno.EIO, "broken")):
            with pytest.raises(OSError, match=str(error.strerror)), name_full_disk(tmp_path, session):
                raise error
