"""TensorBoard event files: one run a trial, tidy tags, and HParams with the best epoch's figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import (
    Discrete,
    HParam,
    Metric,
    RealInterval,
    hparams_config_pb,
    hparams_pb,
)
from torch.utils.tensorboard import SummaryWriter

from sa_study.metrics import names
from sa_study.settings.space import Parameter

_CHARTS = {
    "Validation": {
        f"{names.heading(name)} of all trials": f"^{names.tag_of(name)}$" for name in names.STUDY_METRICS
    },
    "Training loss": {
        "all branches, added up": r"^train/loss$",
        "body parts": r"^train/loss/part\d+$",
        "whole image": r"^train/loss/global$",
        "deep supervision": r"^train/loss/stage\d+$",
    },
    "Schedule and speed": {"learning rate": r"^train/lr$", "images a second": r"^speed/images_per_second$"},
}
"""Charts of TensorBoard's Custom Scalars tab, each with the tags it takes as a regular expression."""

FOLDER = "tensorboard"
"""Name of the folder of event files in a run's or a study's folder."""

_EVENT_FILES = "events.out.tfevents.*"


class TensorBoardLogger:
    """Writes a run's curves and its line in HParams; an `EpochLogger`, whose arguments it takes."""

    def __init__(self, folder: Path, run: str = "", first_epoch: int = 1):
        self._folder = str(folder / FOLDER / run)
        self._begin(first_epoch)

    @staticmethod
    def start_study(folder: Path, search: Mapping[str, Parameter]) -> None:
        """Writes HParams' columns and the layout of Custom Scalars; replaces what an earlier launch wrote."""
        layout = {
            group: {title: ["Multiline", [tags]] for title, tags in charts.items()}
            for group, charts in _CHARTS.items()
        }
        earlier = list((folder / FOLDER).glob(_EVENT_FILES))
        with SummaryWriter(str(folder / FOLDER)) as writer:
            writer._get_file_writer().add_summary(_columns(search))
            writer.add_custom_scalars(layout)
        for path in earlier:
            path.unlink()

    def _begin(self, epoch: int) -> None:
        # Of what was written from this epoch on, TensorBoard shows only what comes now.
        self._writer = SummaryWriter(self._folder, purge_step=epoch)
        self._next = epoch

    def log_epoch(self, figures: Mapping[str, Any]) -> None:
        """Writes an epoch's figures at its number; an epoch that was run again replaces its first run."""
        if (epoch := int(figures[names.EPOCH])) < self._next:
            self._writer.close()
            self._begin(epoch)
        self._next = epoch + 1
        for name, value in figures.items():
            if tag := names.tag_of(name):
                self._writer.add_scalar(tag, float(value), epoch)
        self._writer.flush()

    def close(self, settings: Mapping[str, Any], best: Mapping[str, float], state: str) -> None:
        """Writes the run's line in HParams and ends the files.

        PyTorch's own writer would show truth values as 0 and 1, and call every trial a success; and of the
        columns that it writes for each trial TensorBoard heeds the first trial's alone.
        """
        row = {name: _plain(value) for name, value in settings.items() if value is not None}
        end = SessionEndInfo(status=api_pb2.STATUS_FAILURE if state == "FAIL" else api_pb2.STATUS_SUCCESS)
        events = self._writer._get_file_writer()
        events.add_summary(hparams_pb({**row, "state": state}, trial_id="", start_time_secs=0))
        for name in (names.EPOCH, *names.RANKING):
            if name in best:
                self._writer.add_scalar(f"best/{name}", float(best[name]), int(best[names.EPOCH]))
        about = metadata.create_summary_metadata(HParamsPluginData(session_end_info=end))
        kept = {"tag": metadata.SESSION_END_INFO_TAG, "metadata": about, "tensor": metadata.NULL_TENSOR}
        events.add_summary(Summary(value=[Summary.Value(**kept)]))
        self._writer.close()


def write_images(folder: Path, images: Mapping[str, NDArray[np.uint8]], step: int = 0) -> None:
    """Writes pictures of a run, for TensorBoard's Images tab, as a run `pictures` inside it.

    Args:
        folder: The run's folder, e.g. that of a study's best trial; earlier pictures of it are replaced.
        images: By tag (`samples/gallery`; a slash groups): uint8, height × width × 3, RGB.
        step: Their place on the slider, e.g. the epoch of the weights.
    """
    target = folder / "pictures"
    earlier = list(target.glob(_EVENT_FILES))
    with SummaryWriter(str(target)) as writer:
        for tag, image in images.items():
            writer.add_image(tag, image, step, dataformats="HWC")
    for path in earlier:
        path.unlink()


def _columns(search: Mapping[str, Parameter]) -> Summary:
    """HParams' columns, which TensorBoard would else guess: settings, end, the best epoch's figures."""
    settings = [
        HParam(
            name,
            Discrete(map(_plain, parameter.choices))
            if parameter.choices
            else RealInterval(float(parameter.low), float(parameter.high)),
        )
        for name, parameter in search.items()
    ]
    state = HParam("state", Discrete(("COMPLETE", "PRUNED", "FAIL")))
    labels = {name: names.heading(name) for name in (names.MAP, *names.RANKING)}
    figures = [
        Metric(f"best/{name}", display_name=label, dataset_type=Metric.VALIDATION)
        for name, label in {**labels, names.EPOCH: "best epoch"}.items()
    ]
    return hparams_config_pb([*settings, state], figures)


def _plain(value: Any) -> Any:
    """A value as Python's own number, text or truth value; NumPy's and PyTorch's scalars become these."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float | str) else str(value)
