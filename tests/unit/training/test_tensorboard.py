"""TensorBoard's files, read back by TensorBoard's own code: curves, HParams, layout, images."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups, plugin_data_pb2

from sa_study.metrics import names
from sa_study.settings.space import Parameter
from sa_study.training.tensorboard import TensorBoardLogger, write_images

SEARCH = {
    "lr": Parameter("float", 0.01, 0.3, log=True),
    "epochs": Parameter("int", 4, 6),
    "attention": Parameter("categorical", choices=("mean", "none")),
    "attention_stage4": Parameter("categorical", choices=(True, False), when={"attention": ("mean",)}),
    "batch_size": Parameter("categorical", choices=(16, 32)),
}
BEST = {names.EPOCH: 2.0, names.MAP: 0.54, names.RANK1: 0.6, names.RANK5: 0.8, names.RANK10: 0.9}


def figures(epoch: Any, value: Any = 0.5) -> dict[str, Any]:
    return {
        names.EPOCH: epoch,
        names.PROGRESS: 25.0 * int(epoch),
        names.LOSS: value,
        "loss/part1": value,
        "loss/global": value,
        names.TRAIN_ACCURACY: value,
        names.LR: value,
        names.IMAGES_PER_SECOND: value,
        names.SECONDS: value,
        names.LATENCY: value,
        **dict.fromkeys(names.RANKING, value),
        "time_total_s": 3.0,
    }


def read(folder: Path, run: str = "") -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard" / run)).Reload()


def hparams(events: EventAccumulator, tag: str) -> Any:
    content = events.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_the_tags_are_tidy(tmp_path: Path) -> None:
    writer = TensorBoardLogger(tmp_path)
    writer.log_epoch(figures(1))
    writer.close({"lr": 0.1}, {}, "FAIL")
    assert set(read(tmp_path).Tags()["scalars"]) == {
        "val/mAP",
        "val/rank1",
        "val/rank5",
        "val/rank10",
        "train/loss",
        "train/loss/part1",
        "train/loss/global",
        "train/accuracy",
        "train/lr",
        "speed/images_per_second",
        "speed/seconds",
        "speed/milliseconds_per_image",
        "progress",
    }
    assert names.tag_of("time_total_s") is None


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, torch.tensor])
def test_any_kind_of_number_is_a_point(tmp_path: Path, kind: Any) -> None:
    writer = TensorBoardLogger(tmp_path)
    writer.log_epoch(figures(np.int64(1), kind(0.25)))
    writer.log_epoch(figures(np.int64(2), kind(0.5)))
    writer.close({}, BEST, "COMPLETE")
    assert [(event.step, event.value) for event in read(tmp_path).Scalars("val/mAP")] == [(1, 0.25), (2, 0.5)]


def test_an_epoch_that_is_run_again_takes_the_place_of_what_came_after(tmp_path: Path) -> None:
    for first, values in ((1, (0.1, 0.2, 0.3)), (3, (0.4, 0.5))):
        writer = TensorBoardLogger(tmp_path, "", first)
        for epoch, value in enumerate(values, start=first):
            writer.log_epoch(figures(epoch, value))
        time.sleep(1)  # TensorBoard reads files in the order of their names, which have the second
    events = read(tmp_path).Scalars("val/mAP")
    shown: list[Any] = [(event.step, pytest.approx(event.value)) for event in events]
    assert shown == [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5)]


@pytest.mark.parametrize(
    ("state", "best", "status"),
    [
        ("COMPLETE", BEST, api_pb2.STATUS_SUCCESS),
        ("PRUNED", BEST, api_pb2.STATUS_SUCCESS),
        ("FAIL", BEST, api_pb2.STATUS_FAILURE),
        ("FAIL", {}, api_pb2.STATUS_FAILURE),
    ],
)
def test_every_end_is_a_line_of_hparams(
    tmp_path: Path, state: str, best: Mapping[str, float], status: int
) -> None:
    TensorBoardLogger(tmp_path).close({"lr": 0.1}, best, state)
    events = read(tmp_path)
    start = hparams(events, "session_start_info").session_start_info.hparams
    assert start["state"].string_value == state and start["lr"].number_value == 0.1
    assert hparams(events, "session_end_info").session_end_info.status == status
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("best/")]
    shown: Any = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}
    assert shown == {f"best/{name}": [(2, pytest.approx(value))] for name, value in best.items()}


def test_settings_of_every_kind_keep_it(tmp_path: Path) -> None:
    settings = {
        "lr": np.float64(0.1),
        "epochs": np.int64(5),
        "rate": np.float32(0.5),
        "on": np.bool_(True),
        "off": False,
        "name": "<b>mean</b>",
        "one": torch.tensor(3),
        "list": [1, 2],
        "nothing": None,
    }
    TensorBoardLogger(tmp_path).close(settings, BEST, "COMPLETE")
    start = hparams(read(tmp_path), "session_start_info").session_start_info.hparams
    found = {name: value_of(value) for name, value in start.items()}
    assert found == {
        "lr": 0.1,
        "epochs": 5,
        "rate": 0.5,
        "on": True,
        "off": False,
        "name": "<b>mean</b>",
        "one": 3,
        "list": "[1, 2]",
        "state": "COMPLETE",
    }
    assert found["on"] is True and found["off"] is False, "not 1 and 0"


def test_the_overview_has_hparams_columns_and_a_layout(tmp_path: Path) -> None:
    TensorBoardLogger.start_study(tmp_path, {})
    TensorBoardLogger.start_study(tmp_path, SEARCH)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1, "what the launch before wrote is replaced"
    events = read(tmp_path)
    experiment = hparams(events, "experiment").experiment
    columns = {info.name: info for info in experiment.hparam_infos}
    assert list(columns) == [*SEARCH, "state"]
    assert columns["lr"].domain_interval.min_value == 0.01
    assert columns["attention_stage4"].type == api_pb2.DATA_TYPE_BOOL
    assert columns["attention"].type == api_pb2.DATA_TYPE_STRING
    assert list(columns["batch_size"].domain_discrete) == [16, 32]
    assert list(columns["state"].domain_discrete) == ["COMPLETE", "FAIL", "PRUNED"]
    tags = [info.name.tag for info in experiment.metric_infos]
    assert tags == ["best/mAP", "best/rank1", "best/rank5", "best/rank10", "best/epoch"]
    tensor = events.Tensors("custom_scalars__config__")[0].tensor_proto
    layout = layout_pb2.Layout.FromString(tensor.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for group in layout.category for chart in group.chart}
    assert charts["mAP of all trials"] == ["^val/mAP$"] and charts["body parts"] == [r"^train/loss/part\d+$"]


def test_tensorboards_table_has_every_trial(tmp_path: Path) -> None:
    """What the HParams tab asks of its server, with failed trials before those that have figures."""
    TensorBoardLogger.start_study(tmp_path, SEARCH)
    ends: list[tuple[str, Mapping[str, float]]] = [("FAIL", {}), ("PRUNED", BEST), ("COMPLETE", BEST)]
    for number, (state, best) in enumerate(ends):
        settings = {"lr": 0.1, "epochs": 4 + number, "attention": "mean", "attention_stage4": number > 1}
        TensorBoardLogger(tmp_path, f"trial_{number:04d}").close(settings, best, state)
    groups = session_groups(tmp_path / "tensorboard")
    rows = [{name: value_of(value) for name, value in group.hparams.items()} for group in groups]
    assert [row["state"] for row in rows] == ["FAIL", "PRUNED", "COMPLETE"]
    assert [row["attention_stage4"] for row in rows] == [False, False, True]
    shown = [{found.name.tag: found.value for found in group.metric_values} for group in groups]
    assert shown[0] == {} and all(row["best/mAP"] == pytest.approx(0.54) for row in shown[1:])


def session_groups(folder: Path) -> list[Any]:
    """The rows of the HParams tab, by the code that answers the tab's request."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    board = TBContext(data_provider=MultiplexerDataProvider(runs, str(folder)))
    columns = [*SEARCH, "state"]
    statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=statuses,
        col_params=[api_pb2.ColParams(hparam=name) for name in columns],
        slice_size=100,
    )
    handler = list_session_groups.Handler(RequestContext(), backend_context.Context(board), "", request)
    return sorted(handler.run().session_groups, key=lambda group: str(group.sessions[0].name))


def value_of(value: Any) -> Any:
    return getattr(value, value.WhichOneof("kind"))


def test_images_come_back_and_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    TensorBoardLogger(tmp_path).log_epoch(figures(1))
    picture = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    write_images(tmp_path / "tensorboard", {"samples/old": 255 - picture}, step=7)
    images = {"samples/gallery": picture, "attention/stage1": picture[:, ::-1]}
    write_images(tmp_path / "tensorboard", images, step=7)
    events = read(tmp_path, "pictures")
    assert set(events.Tags()["images"]) == {"samples/gallery", "attention/stage1"}
    [found] = events.Images("samples/gallery")
    assert found.step == 7 and (found.height, found.width) == (6, 4)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.encoded_image_string))), picture)
    assert len(read(tmp_path).Scalars("val/mAP")) == 1
