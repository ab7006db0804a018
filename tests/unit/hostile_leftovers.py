"""What commands left beside a study, edited or cut: ledger, confirmation, evaluations, reproductions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from hostile import READ, REFUSED, Case, Place, Words, pipe, put

Damage = Callable[[Path], object]


def _case(place: Place, damage: Damage, command: str) -> Words:
    study = place.make_study()
    damage(study)
    return *command.split(), "--study", "study"


def file(name: str, content: bytes | str) -> Damage:
    return lambda study: put(study / name, content)


DEEP = "[" * 100_000
ROWS: list[tuple[str, Damage, str, tuple[str, ...], str]] = [
    # name, damage, command, words of the line or the output, how it ends
    ("other training images", file("provenance.json", '{"data_fingerprint": "00", "launches": [{}]}'),
     "reproduce", ("images",), REFUSED),
    ("a damaged ledger", file("test_ledger.json", "{"), "evaluate", ("test_ledger.json",), REFUSED),
    ("a damaged ledger before a training", file("test_ledger.json", "[]"), "evaluate --retrain",
     ("test_ledger.json",), REFUSED),
    ("a ledger that is a pipe", lambda s: pipe(s / "test_ledger.json"), "evaluate",
     ("test_ledger.json",), REFUSED),
    ("a confirmation of another study", file("confirmation.json", '{"winner": 99}'),
     "evaluate --retrain", ("confirmation.json", "confirm again"), REFUSED),
    ("a confirmation that is cut", file("confirmation.json", '{"winner":'), "evaluate --retrain",
     ("confirmation.json",), REFUSED),
    ("a trial that there is not", lambda s: s, "reproduce --trial 99", ("99",), REFUSED),
    ("evaluation.json that is cut", file("evaluation.json", '{"mAP": 0.'), "report", ("written",), READ),
    ("evaluation.json nested deep", file("evaluation.json", DEEP), "report", ("written",), READ),
    ("evaluation.json with a NaN", file("evaluation.json", '{"mAP": NaN}'), "report", ("written",), READ),
    ("confirmation.json of nothing", file("confirmation.json", "{}"), "report", ("written",), READ),
    ("retrained.json that is a pipe", lambda s: pipe(s / "retrained.json"), "report", ("written",), READ),
    ("reproduction.json of numbers", file("reproduction.json", "[1, 2]"), "report", ("written",), READ),
]  # fmt: skip

CASES = [
    Case(
        "files beside a study",
        f"{name} ({command.split()[0]})",
        functools.partial(_case, damage=damage, command=command),
        ends,
        naming,
    )
    for name, damage, command, naming, ends in ROWS
]
