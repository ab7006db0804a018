"""What is not as it was at a launch: the code, the versions and the machine that a figure depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sa_study.provenance import code_of, is_launch

NOT_RECORDED = "not recorded"
_LONGEST = 120
_MOST = 40
"""Lines; more than that no launch of this program differs in."""

_MACHINE = {"cpu": "CPU", "instruction_set": "CPU instruction set"}


@dataclass(frozen=True)
class Change:
    """Something that differs between then and now, or of which it is not known.

    Attributes:
        line: What, in words.
        decides: Whether equal figures cannot be asked for because of it.
    """

    line: str
    decides: bool = True


def changes_since(
    launches: Mapping[int, object], now: Mapping[str, Any], *, on_gpu: bool, gpu_now: bool
) -> list[Change]:
    """What differs between launches and now, each line once.

    Args:
        launches: What `provenance.json` tells of each launch, by its number; anyone can have edited it.
        now: What `describe_run` tells.
        on_gpu: Whether trials had a GPU then.
        gpu_now: Whether there is one for the trial now.
    """
    of_lines: dict[Change, list[int]] = {}
    for number, launch in launches.items():
        for change in _changes(launch, now, on_gpu, gpu_now):
            of_lines.setdefault(change, []).append(number)
    found = [
        Change(f"{change.line}{_of(numbers, len(launches))}", change.decides)
        for change, numbers in of_lines.items()
    ]
    return found if len(found) <= _MOST else [*found[:_MOST], Change(f"and {len(found) - _MOST} more")]


def _of(numbers: Sequence[int], launches: int) -> str:
    """Which launches a line is about; nothing where it is about all."""
    if len(numbers) == launches:
        return ""
    return f" (launch {', '.join(map(str, numbers))})"


def _changes(launch: object, now: Mapping[str, Any], on_gpu: bool, gpu_now: bool) -> Iterator[Change]:
    if not isinstance(launch, Mapping) or not is_launch(launch):
        yield Change(f"what the study ran with: {NOT_RECORDED}")
        return
    before, hardware = launch.get("packages", {}), launch.get("hardware", {})
    for name in {**before, **now["packages"]}:
        yield from _change(name, before.get(name, "not there"), now["packages"].get(name, "not there"))
    yield from _change("python", launch.get("python"), now["python"])
    yield from _code(launch, now)
    for key, name in _MACHINE.items():
        yield from _change(name, hardware.get(key), now["hardware"][key])
    yield from _change("platform", hardware.get("platform"), now["hardware"]["platform"], decides=False)
    if on_gpu or gpu_now:
        were = _gpus(hardware.get("gpus")) if on_gpu else "the CPU"
        are = _gpus(now["hardware"]["gpus"]) if gpu_now else "the CPU"
        yield from _change("device", were, are)


def _code(launch: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """The program's own files decide; where they were not recorded, the commit does if clean."""
    was, is_now = code_of(launch), code_of(now)
    if launch.get("sources") is not None:
        same = launch["sources"] == now["sources"]
        if was != is_now:
            alike = ", with the same program files" if same else ""
            yield Change(f"code was {_short(was)}, is {is_now} now{alike}", not same)
        elif not same:
            yield Change(f"code was {_short(was)} then too, with other changes")
        return
    yield from _change("code", was, is_now)
    if was == is_now and not (now["git"] and not now["git"]["dirty"]):
        yield Change(f"code: {is_now} then and now; whether the same changes: {NOT_RECORDED}")


def _change(name: object, was: object, is_now: object, *, decides: bool = True) -> Iterator[Change]:
    if was is None:
        yield Change(f"{_short(name)}: {NOT_RECORDED}, is {_short(is_now)} now", decides)
    elif was != is_now:
        yield Change(f"{_short(name)} was {_short(was)}, is {_short(is_now)} now", decides)


def _gpus(gpus: object) -> str | None:
    """The machine's GPUs in words; None where they are not known."""
    if not isinstance(gpus, list):
        return None
    return ", ".join(sorted({_short(gpu) for gpu in gpus})) or "a GPU"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
