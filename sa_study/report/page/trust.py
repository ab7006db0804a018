"""What `confirm`, `ablate`, `evaluate --retrain`, `reproduce` and the test ledger left in a study's folder.

Their files may have been edited, or be of another version: what cannot be shown whole is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.report.page.text import short
from sa_study.report.terminal.repeats import (
    TextTable,
    cell_rows,
    confirmation_rows,
    curse_line,
    effect_rows,
    points,
)
from sa_study.report.text import interval, percent
from sa_study.study.folder import StudyFolder
from sa_study.study.test_ledger import LedgerSummary, ledger_summary
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import read_json

_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class Difference:
    """A difference with its interval, in points.

    Attributes:
        label: What is compared with the baseline, or which setting changes.
        mean: The difference.
        low: The lower end.
        high: The upper end.
    """

    label: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class TrustSection:
    """Findings of one command as a table with sentences around it.

    Attributes:
        tables: Its tables.
        differences: Rows of its forest plot.
        lines: Sentences.
    """

    tables: tuple[TextTable, ...] = ()
    differences: tuple[Difference, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """The test mAP of a retrained choice.

    Attributes:
        name: Name of the choice.
        seeds: Number of seeds.
        mean: Mean over the seeds.
        std: Standard deviation over the seeds.
    """

    name: str
    seeds: int
    mean: float
    std: float


@dataclass(frozen=True)
class Trust:
    """All that tells how far a study's figures can be trusted.

    Attributes:
        confirmation: What `confirm` found; None where it was not run, as below.
        lead: What is left of the study winner's lead over the baseline; None where that is not known.
        ablation: What `ablate` found.
        retrained: The final answer.
        reproduced: What `reproduce` found, the latest first.
        summaries: The test mAP of each retrained choice.
        seen: How often the test set was evaluated; None where the ledger is damaged.
    """

    confirmation: TrustSection | None = None
    lead: Difference | None = None
    ablation: TrustSection | None = None
    retrained: TrustSection | None = None
    reproduced: TrustSection | None = None
    summaries: tuple[Summary, ...] = ()
    seen: LedgerSummary | None = field(default_factory=LedgerSummary)

    @property
    def seen_line(self) -> str:
        """How often the test set was seen, safe to show; empty before the first time."""
        if self.seen is None:
            return "Nothing tells how often the test set was seen: its ledger is damaged."
        return short(self.seen.sentence)


_Build = Callable[[Mapping[str, Any]], TrustSection]


def read_trust(folder: StudyFolder, notices: list[str]) -> Trust:
    """Reads what the commands that check a study have left in its folder.

    Args:
        folder: The study's folder.
        notices: Gets a line about each file that is left out.
    """

    def section(path: Path, build: _Build) -> tuple[TrustSection | None, Mapping[str, Any]]:
        try:
            content = read_json(path)
            return build(content), content
        except FileNotFoundError:
            return None, {}
        except (OSError, *_DAMAGED):
            notices.append(f"{short(path.name)} is left out: it is damaged or of another version")
            return None, {}

    confirmation, content = section(folder.confirmation, _confirmation)
    try:
        ledger: LedgerSummary | None = ledger_summary(folder)
    except StudyFolderError:
        notices.append(f"{folder.ledger.name} is damaged: nothing tells how often the test set was seen")
        ledger = None
    retrained, final = section(folder.retrained, _retrained)
    winner = (content.get("curse") or {}).get("trial")
    differences = confirmation.differences if confirmation else ()
    return Trust(
        confirmation=confirmation,
        lead=next((one for one in differences if one.label == f"trial {winner}"), None),
        ablation=section(folder.ablation, _ablation)[0],
        retrained=retrained,
        reproduced=section(folder.reproduction, _reproduced)[0],
        summaries=tuple(map(_summary, final.get("configurations", ()))),
        seen=ledger,
    )


def _confirmation(found: Mapping[str, Any]) -> TrustSection:
    metric = found["metric"]
    if metric not in names.STUDY_METRICS or not isinstance(found["verdict"], str) or "winner" not in found:
        raise ValueError(metric)
    if not all(isinstance(row["trial"], int) for row in found["configurations"]):
        raise TypeError("trial")
    rows = [row for row in found["configurations"] if row["difference"]]
    differences = tuple(_difference(row["name"], row["difference"][metric]) for row in rows)
    figures = names.STUDY_METRICS
    runs = TextTable(
        "Single runs, validation, per cent",
        ("", "seed", "fold", *map(names.heading, figures)),
        [
            (row["name"], str(one["seed"]), str(one["fold"]), *(_rate(one[name]) for name in figures))
            for row in found["configurations"]
            for one in row["scores"]
        ],
    )
    lines = [found["verdict"], *([curse_line(found)] if found["curse"] else [])]
    return TrustSection((confirmation_rows(found), runs), differences, tuple(map(short, lines)))


def _ablation(found: Mapping[str, Any]) -> TrustSection:
    metric = found["metric"]
    differences = tuple(
        _difference(f"{effect['factor']}: {effect['from']} → {effect['to']}", effect["difference"][metric])
        for effect in found["effects"]
        if effect["difference"]
    )
    runs = found["runs"]
    line = (
        f"{int(runs['ended'])} of {int(runs['asked'])} runs have ended, {int(runs['failed'])} of them failed."
    )
    return TrustSection((effect_rows(found), cell_rows(found)), differences, (line,))


def _retrained(found: Mapping[str, Any]) -> TrustSection:
    rows, figures = [], names.STUDY_METRICS
    for choice in found["configurations"]:
        _summary(choice)
        for seed, one in zip(choice["seeds"], choice["evaluations"], strict=True):
            rows.append((f"{choice['name']}, seed {seed}", *(_with_interval(one, name) for name in figures)))
        means = (choice["summary"][name] for name in figures)
        rows.append(
            (
                f"{choice['name']}, mean ± std of {len(choice['seeds'])}",
                *(f"{_rate(mean['mean'])} ± {_rate(mean['std'])}" for mean in means),
            )
        )
    if difference := found["difference"]:
        rows.append(("best − baseline, points", *(points(difference[name]) for name in figures)))
    over = (
        ", of the difference over seeds too"
        if min(len(c["seeds"]) for c in found["configurations"]) > 1
        else ""
    )
    notes = [f"In brackets 95 % intervals over identities{over}; the difference is paired by query."]
    if reason := found.get("not_compared"):
        notes.append(f"No difference is stated: {short(reason)}.")
    title = "Trained on all training identities, test set, per cent"
    table = TextTable(title, ("", *map(names.heading, figures)), rows, tuple(notes))
    return TrustSection((table,), (), (short(found["reason"]).capitalize() + ".",))


def _reproduced(found: Mapping[str, Any]) -> TrustSection:
    lines = []
    reruns: Any = found["reproductions"]
    if not isinstance(reruns, list):
        raise TypeError(reruns)
    for one in reversed(reruns):
        differs = "; ".join(map(str, one["differs"])) or "nothing else differed"
        lines.append(
            f"{one['time']}: trial {int(one['trial'])} was rerun over {int(one['epochs'])} epochs: "
            f"{one['result']} (best {names.heading(one['metric'])} {_rate(one['recorded'])} recorded, "
            f"{_rate(one['rerun'])} rerun; {differs})."
        )
    return TrustSection((), (), tuple(short(line) for line in lines))


def _summary(choice: Mapping[str, Any]) -> Summary:
    mean, std = (float(choice["summary"][names.MAP][name]) for name in ("mean", "std"))
    if not 0 <= mean <= 1 or not 0 <= std <= 1:
        raise ValueError(choice)
    return Summary(short(choice["name"], 80), len(choice["seeds"]), mean, std)


def _with_interval(found: Mapping[str, Any], name: str) -> str:
    ends: Sequence[float] | None = (found.get("intervals") or {}).get(name)
    return _rate(found[name]) + (f" ({interval(*ends)})" if ends else "")


def _rate(value: Any) -> str:
    if value is None:
        return "–"
    rate = float(value)
    if not 0 <= rate <= 1:
        raise ValueError(value)
    return percent(rate)


def _difference(label: Any, found: Mapping[str, Any]) -> Difference:
    mean, low, high = (100 * float(found[name]) for name in ("mean", "low", "high"))
    if not all(map(math.isfinite, (mean, low, high))) or not low <= mean <= high:
        raise ValueError(found)
    return Difference(short(label, 80), mean, low, high)
