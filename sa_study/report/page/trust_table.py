"""How far each number on the page can be trusted, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from sa_study.metrics import names
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.trust import Difference, Summary
from sa_study.report.text import interval, percent
from sa_study.report.verdict import validation_lead
from sa_study.study.trial_summary import TrialSummary


@dataclass(frozen=True)
class TrustRow:
    """A number of the study, with its interval, what that covers, and what flatters the number.

    Attributes:
        name: What the number is.
        value: The number.
        interval: Its 95 % interval, or why there is none.
        covers: The variation that the interval covers.
        bias: What makes it look better than it is.
        better: What would tell more.
    """

    name: str
    value: str
    interval: str
    covers: str
    bias: str
    better: str


_NOT_RECORDED = "not recorded"


def trust_rows(study: PageStudy) -> list[TrustRow]:
    """A row for each of the study's main numbers."""
    rows = [*_validation(study), *_lead(study)]
    best = "the winner" if study.evaluates_winner else "an earlier winner"
    for name, label in (("best", best), ("baseline", "the baseline")):
        if name in study.evaluations:
            rows.append(_test(study, name, label))
    return [*rows, *(_final(study, summary) for summary in study.trust.summaries)]


def score_interval(trial: TrialSummary | None, figure: str) -> str:
    """The interval of a trial's figure as text; empty where none was recorded."""
    ends = trial.interval_of(figure) if trial else None
    return interval(*ends) if ends else ""


def _validation(study: PageStudy) -> list[TrustRow]:
    best, metric = study.winner, study.config.metric
    if best is None or best.score is None:
        return []
    return [
        TrustRow(
            f"{names.heading(metric, names.VALIDATION)} of trial {best.number}",
            f"{percent(best.score)} %",
            score_interval(best, metric) or _NOT_RECORDED,
            "other identities",
            f"the best of {len(study.complete)} complete trials, and of its {best.record.epoch} epochs",
            _more(study, best),
        )
    ]


def _more(study: PageStudy, trial: TrialSummary) -> str:
    """A confirmation of other trials tells nothing of this one."""
    confirmed = study.confirmation and trial.number in study.confirmation.trials
    return "see the confirmation below" if confirmed else "confirm"


def _lead(study: PageStudy) -> list[TrustRow]:
    best, trust = study.winner, study.trust
    rows = []
    if best and not best.baseline and (lead := validation_lead(study)) is not None:
        rows.append(
            TrustRow(
                f"lead of trial {best.number} in the study",
                f"{100 * lead:+.1f} points",
                "not computed",
                "nothing: one seed each",
                "the trial was chosen for it",
                _more(study, best),
            )
        )
    if trust.lead:
        rows.append(
            TrustRow(
                f"lead of {trust.lead.label}, confirmed",
                f"{trust.lead.mean:+.1f} points",
                _points(trust.lead),
                "other identities and other seeds",
                "best of its epochs, as is the baseline’s",
                "more --seeds, more --folds",
            )
        )
    return rows


def _test(study: PageStudy, name: str, label: str) -> TrustRow:
    found = study.evaluations[name]
    ends = (found.get("intervals") or {}).get(names.MAP)
    return TrustRow(
        f"{names.heading(names.MAP, names.TEST)} of {label}",
        f"{percent(found[names.MAP])} %",
        interval(*ends) if ends else "not recorded: evaluate again",
        "other identities; one seed",
        _looks(study),
        "evaluate --retrain --seeds 3" if study.trust.retrained is None else "final answer below",
    )


def _final(study: PageStudy, summary: Summary) -> TrustRow:
    several = summary.seeds > 1
    return TrustRow(
        f"{names.heading(names.MAP, names.TEST)} of {summary.name}, retrained",
        f"{percent(summary.mean)} ± {percent(summary.std)} %" if several else f"{percent(summary.mean)} %",
        "not computed over seeds" if several else "see the final answer",
        f"other seeds ({summary.seeds} were run)" if several else "other identities; one seed",
        _looks(study),
        "evaluate --retrain with more --seeds",
    )


def _looks(study: PageStudy) -> str:
    """The row on how often the test set was evaluated."""
    seen = study.trust.seen
    if seen is None:
        return "unknown: the ledger is damaged"
    return "none known: test set seen once" if seen.count < 2 else f"test set seen {seen.count} times"


def _points(difference: Difference) -> str:
    return f"{difference.low:+.1f} to {difference.high:+.1f}"
