"""TensorBoard's HParams table: its columns, and a trial's row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from sa_study.metrics import names
from sa_study.settings.space import Parameter

STATE = "state"
_ENDS = ("COMPLETE", "PRUNED", "FAIL")
_NAMES = {names.EPOCH: "best epoch", names.RANK1: "rank-1", names.RANK5: "rank-5", names.RANK10: "rank-10"}


def plain(value: Any) -> Any:
    """A value as Python's own number, text or truth value; NumPy's and PyTorch's scalars become these."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float | str) else str(value)


def columns(search: Mapping[str, Parameter]) -> Summary:
    """The table's columns: the searched settings with ranges, the trial's end, the best epoch's figures.

    It belongs into the runs' common folder, once: without it TensorBoard guesses the columns.
    """
    settings = [_column(name, parameter) for name, parameter in search.items()]
    end = api_pb2.HParamInfo(name=STATE, type=api_pb2.DATA_TYPE_STRING, domain_discrete=_values(_ENDS))
    figures = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=f"best/{name}"),
            display_name=_NAMES.get(name, name),
            dataset_type=api_pb2.DATASET_VALIDATION,
        )
        for name in (names.MAP, names.RANK1, names.RANK5, names.RANK10, names.EPOCH)
    ]
    experiment = api_pb2.Experiment(hparam_infos=[*settings, end], metric_infos=figures)
    return _summary(metadata.EXPERIMENT_TAG, experiment=experiment)


def session_start(settings: Mapping[str, Any]) -> Summary:
    """A trial's settings.

    Args:
        settings: By name; numbers, truth values and texts, also NumPy's. None is left out.
    """
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in settings.items():
        if value is not None:
            start.hparams[name].CopyFrom(_value(plain(value)))
    return _summary(metadata.SESSION_START_INFO_TAG, session_start_info=start)


def session_end(*, failed: bool) -> Summary:
    """That a trial has ended, and whether it failed."""
    status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
    return _summary(
        metadata.SESSION_END_INFO_TAG, session_end_info=plugin_data_pb2.SessionEndInfo(status=status)
    )


def _column(name: str, parameter: Parameter) -> Any:
    if parameter.kind != "categorical":
        bounds = api_pb2.Interval(min_value=parameter.low, max_value=parameter.high)
        return api_pb2.HParamInfo(name=name, type=api_pb2.DATA_TYPE_FLOAT64, domain_interval=bounds)
    values = [plain(choice) for choice in parameter.choices]
    if all(isinstance(value, bool) for value in values):
        kind = api_pb2.DATA_TYPE_BOOL
    elif any(isinstance(value, str) for value in values):
        kind = api_pb2.DATA_TYPE_STRING
    else:
        kind = api_pb2.DATA_TYPE_FLOAT64
    return api_pb2.HParamInfo(name=name, type=kind, domain_discrete=_values(values))


def _values(values: Any) -> Any:
    return struct_pb2.ListValue(values=[_value(value) for value in values])


def _value(value: Any) -> Any:
    if isinstance(value, bool):  # before the numbers, of which Python takes it for one
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    return struct_pb2.Value(number_value=value)


def _summary(tag: str, **content: Any) -> Summary:
    data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString())
    kept = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=tag, metadata=kept, tensor=metadata.NULL_TENSOR)])
