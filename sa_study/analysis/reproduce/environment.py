"""What differs between a trial's launches and now, and might explain that its figures differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sa_study.analysis.reproduce.original import NOT_RECORDED, OriginalTrial
from sa_study.metrics import names
from sa_study.provenance import code_of, is_launch
from sa_study.study.result_files import is_number
from sa_study.tuning.launch.pretrained import recorded_fingerprint

_MAX_CHARACTERS = 120
_MAX_LINES = 40
"""More lines than that only an edited record gives."""


@dataclass(frozen=True)
class EnvironmentChange:
    """Something that differs between then and now, or might.

    Attributes:
        line: What, in words.
        explains: Whether figures may differ because of it.
    """

    line: str
    explains: bool = True


def environment_changes(
    original: OriginalTrial, now: Mapping[str, Any], device: str, backbone_fingerprint: str
) -> list[EnvironmentChange]:
    """Lists all that differs between a trial's launches and its rerun.

    Args:
        original: The trial.
        now: What `describe_run` returns.
        device: The type of the rerun's device.
        backbone_fingerprint: That of the pretrained backbone that the rerun starts from; empty for none.
    """
    changes = launch_changes(original.launches, now, gpu_then=original.on_gpu, gpu_now=device != "cpu")
    unread = [EnvironmentChange(line, explains=False) for line in original.unread]
    return [*trial_changes(original, device, backbone_fingerprint), *unread, *changes]


def trial_changes(original: OriginalTrial, device: str, backbone_fingerprint: str) -> list[EnvironmentChange]:
    """What is particular to the trial and keeps a rerun from being equal, or might."""
    settings, lines = original.settings, []
    epochs = [row.values for row in original.rows if row.epoch]
    accumulated = {value for row in epochs if is_number(value := row.get(names.ACCUMULATE))}
    if len(accumulated | {settings.accumulate}) > 1:
        lines.append(
            f"accumulate changed while the trial ran and is {settings.accumulate} now: it cannot be bit-equal"
        )
    if not settings.threads:
        lines.append(f"threads: left to PyTorch then, so {NOT_RECORDED}")
    if original.on_gpu and device != "cpu":
        lines.append("a GPU adds some sums in varying order: it need not be bit-equal")
    hosts = sorted({str(row.get("hostname"))[:60] for row in epochs})
    if len(hosts) > 1 or original.study.config.address:
        lines.append(f"ran on {', '.join(hosts) or 'a node'} of a cluster, whose CPU is {NOT_RECORDED}")
    return [*map(EnvironmentChange, lines), *_backbone_changes(original, backbone_fingerprint)]


def launch_changes(
    launches: Mapping[int, object], now: Mapping[str, Any], *, gpu_then: bool, gpu_now: bool
) -> list[EnvironmentChange]:
    """Differences between the recorded launches and the present environment, each once.

    Args:
        launches: The entry of each launch in `provenance.json`, by its number; anyone can have edited it.
        now: What `describe_run` returns.
        gpu_then: Whether trials had a GPU then.
        gpu_now: Whether the rerun has one.
    """
    launches_of: dict[EnvironmentChange, list[int]] = {}
    for number, launch in launches.items():
        for change in _launch_changes(launch, now, gpu_then, gpu_now):
            launches_of.setdefault(change, []).append(number)
    found = []
    for change, numbers in launches_of.items():
        of_launches = "" if len(numbers) == len(launches) else f" (launch {', '.join(map(str, numbers))})"
        found.append(EnvironmentChange(change.line + of_launches, change.explains))
    more = len(found) - _MAX_LINES
    return found if more <= 0 else [*found[:_MAX_LINES], EnvironmentChange(f"and {more} more")]


def _backbone_changes(original: OriginalTrial, fingerprint: str) -> Iterator[EnvironmentChange]:
    """Whether the trial began with the same pretrained weights; later launches resumed from checkpoints."""
    backbone, name = original.settings.backbone, original.settings.pretrained
    if name == "none":
        return
    first = sorted(original.launches)[:1] if original.rows else original.launches
    recorded = {recorded_fingerprint(original.launches[launch], backbone, name) for launch in first}
    if not recorded or None in recorded:
        # ImageNet's are checked against the hash in their file's name when they are downloaded.
        yield EnvironmentChange(f"pretrained: what {name} held then: {NOT_RECORDED}", name != "imagenet")
    elif others := sorted(f"{other:.12}" for other in recorded if other and other != fingerprint):
        yield EnvironmentChange(
            f"pretrained: {name} held other weights then ({', '.join(others)}, {fingerprint:.12} now)"
        )


def _launch_changes(
    launch: object, now: Mapping[str, Any], gpu_then: bool, gpu_now: bool
) -> Iterator[EnvironmentChange]:
    if not isinstance(launch, Mapping) or not is_launch(launch):
        yield EnvironmentChange(f"what the study ran with: {NOT_RECORDED}")
        return
    packages = launch.get("packages", {}), now["packages"]
    pairs = {
        name: [of_one.get(name, "not there") for of_one in packages]
        for name in {**packages[0], **packages[1]}
    }
    then, today = _machine(launch, gpu_then), _machine(now, gpu_now)
    for name, (was, is_now) in (pairs | {name: [then[name], today[name]] for name in then}).items():
        if was != is_now:
            before = f": {NOT_RECORDED}" if was is None else f" was {_short(was)}"
            line = f"{_short(name)}{before}, is {_short(is_now)} now"
            yield EnvironmentChange(line, explains=name != "platform")
    yield from _code_changes(launch, now)


def _machine(launch: Mapping[str, Any], gpu: bool) -> dict[str, Any]:
    """Python and the machine of a launch; None for what is not known."""
    hardware = launch.get("hardware", {})
    return {
        "python": launch.get("python"),
        "CPU": hardware.get("cpu"),
        "CPU instruction set": hardware.get("instruction_set"),
        "platform": hardware.get("platform"),
        "device": _gpus(hardware.get("gpus")) if gpu else "the CPU",
    }


def _code_changes(launch: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[EnvironmentChange]:
    """The hash of the program's own files decides; where it was not recorded, a clean commit does."""
    was, is_now = code_of(launch), code_of(now)
    if launch.get("sources") is None:
        if was != is_now:
            yield EnvironmentChange(f"code was {_short(was)}, is {is_now} now")
        elif not now["git"] or now["git"]["dirty"]:
            yield EnvironmentChange(f"code: {is_now} then and now; whether the same changes: {NOT_RECORDED}")
        return
    same_files = launch["sources"] == now["sources"]
    if was != is_now:
        files = ", with the same program files" if same_files else ""
        yield EnvironmentChange(f"code was {_short(was)}, is {is_now} now{files}", not same_files)
    elif not same_files:
        yield EnvironmentChange(f"code was {_short(was)} then too, with other changes")


def _gpus(gpus: object) -> str | None:
    """The machine's GPUs in words; None where they are not known."""
    if not isinstance(gpus, list):
        return None
    return ", ".join(sorted(set(map(_short, gpus)))) or "a GPU"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
