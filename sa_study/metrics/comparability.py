"""May the figures of two evaluations be subtracted? One answer for every place where two of them meet.

A difference says something of two networks only if both ranked the same queries against the same gallery, by
the same protocol, with features of the same precision. Page, terminal, exports, `compare` and
`evaluate --retrain` ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sa_study.metrics import names
from sa_study.metrics.protocol import protocol_note, recorded_protocol

FEATURE_PRECISION = "feature_precision"
"""The key under which an evaluation records the precision of its features."""

_PARTS = {"query": "queries", "gallery": "gallery"}
"""Parts of a test set, and the key under which an evaluation records how many images each has."""

_WITHOUT_MATCH = "queries_without_match"

_HELD_OUT = ("val_identities", "split_seed", "fold")
"""Settings that decide, with the training images, which identities validation scores are measured on."""


@dataclass(frozen=True)
class ScoredOn:
    """What a validation score is, and what it was measured on.

    Attributes:
        metric: The figure.
        images: Fingerprint of the training images, of which some are held out; empty if it is not recorded.
        protocol: Which gallery images count for a query; see `sa_study.metrics.protocol`.
        settings: The settings of the run.
    """

    metric: str
    images: str
    protocol: object
    settings: Mapping[str, Any]


def why_scores_not_comparable(first: ScoredOn, second: ScoredOn) -> str:
    """Tells why the difference of two runs' validation scores must not be stated.

    Returns:
        The reason, without a full stop; empty where the two can be compared.
    """
    if first.metric != second.metric:
        labels = " and ".join(names.heading(one.metric) for one in (first, second))
        return f"they are scored by different figures ({labels})"
    if not first.images or not second.images:
        return "which training images were used is not recorded for both"
    if first.images != second.images:
        return "they have different training images"
    if first.protocol != second.protocol:
        return _different_protocols(first.protocol, second.protocol)
    for name in _HELD_OUT:
        one, other = first.settings.get(name), second.settings.get(name)
        if one != other:
            return f"they were scored on different held-out identities ({name} is {one} and {other})"
    return _why_precisions_differ(*({"settings": one.settings} for one in (first, second)))


def why_not_comparable(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Tells why the difference of two evaluations, each the content of its file, must not be stated.

    Returns:
        The reason, without a full stop; empty where the two can be compared.
    """
    protocols = recorded_protocol(first), recorded_protocol(second)
    if protocols[0] != protocols[1]:
        return _different_protocols(*protocols)
    for part, counted in _PARTS.items():
        one, other = (ranked_images(evaluation).get(part) for evaluation in (first, second))
        if one is None or other is None:
            return f"which {part} images were ranked is not recorded for both; evaluate both again"
        if one != other:
            counts = " and ".join(_count(evaluation.get(counted)) for evaluation in (first, second))
            return f"they ranked different {part} images ({counts})"
    if any(first.get(name) != second.get(name) for name in (*_PARTS.values(), _WITHOUT_MATCH)):
        return f"they counted the same images differently ({_counts(first)}; {_counts(second)})"
    if reason := _why_precisions_differ(first, second):
        return reason
    # The identity of each query; None in a file that has no scores of single queries.
    identities = [_mapping(evaluation.get("per_query")).get("pid") for evaluation in (first, second)]
    if None not in identities and identities[0] != identities[1]:
        return "they did not rank the same queries"
    return ""


def ranked_images(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of the query and the gallery images that were ranked, as far as they are recorded."""
    data = _mapping(evaluation.get("data"))
    return {part: data[part] for part in _PARTS if isinstance(data.get(part), str) and data[part]}


def image_counts(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """How many images each evaluation ranked, and by which protocol where that is not Market-1501's.

    Each is named after its row; where all agree it is told once, without a name.
    """
    same = {(_counts(evaluation), *ranked_images(evaluation).values()) for evaluation in evaluations.values()}
    if len(same) == 1:
        return next(iter(same))[0]
    return "; ".join(f"{name}: {_counts(evaluation)}" for name, evaluation in evaluations.items())


def _counts(evaluation: Mapping[str, Any]) -> str:
    without = evaluation.get(_WITHOUT_MATCH)
    left_out = f" ({_count(without)} without a match, left out)" if without else ""
    queries, gallery = (_count(evaluation.get(name)) for name in _PARTS.values())
    note = protocol_note(recorded_protocol(evaluation))
    return f"{queries} queries{left_out}, {gallery} gallery images{f' ({note})' if note else ''}"


def _count(value: Any) -> str:
    """A count for a reader; a file that was changed by hand may have anything in its place."""
    return str(value) if type(value) is int else "?"


def _different_protocols(first: object, second: object) -> str:
    note = protocol_note(first) or protocol_note(second)
    return f"they counted matches by different protocols (one of them: {note})"


def _why_precisions_differ(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    precisions = [_precision(evaluation) for evaluation in (first, second)]
    if None in precisions or precisions[0] == precisions[1]:
        return ""
    return f"their features were computed in {precisions[0]} and in {precisions[1]}"


def _precision(evaluation: Mapping[str, Any]) -> str | None:
    """The precision of the features; None where it is not known.

    fp32 and tf32 are taken as one: where tf32 is asked for, a CPU computes in fp32.
    """
    found = evaluation.get(FEATURE_PRECISION)
    if found is None:  # written by an earlier version
        settings = _mapping(evaluation.get("settings"))
        found = settings.get("eval_precision", "same")
        found = settings.get("precision") if found == "same" else found
    if found == "auto" or not isinstance(found, str):
        return None
    return "fp32" if found == "tf32" else found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
