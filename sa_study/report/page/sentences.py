"""What the page says of a study: which trial won, and how far that and each number can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from sa_study.analysis.search_model import SearchModel
from sa_study.metrics import names
from sa_study.metrics.protocol import PROTOCOL, protocol_notes
from sa_study.report.page.page_study import PageStudy, RetrainedScore
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import interval, percent, settings_text, short
from sa_study.report.verdict import (
    epoch_noise,
    headline,
    judge,
    lead_by_chance,
    test_gain,
    validation_lead,
    why_no_test_gain,
)
from sa_study.study.trial_summary import TrialSummary

_MAX_CLOSE_DIFFERENCE = 0.01
"""Scores that are at most this much below the winner's are called close."""


@dataclass(frozen=True)
class Verdict:
    """The top of the page: who won, whether that can be trusted (see `Judgement`), and for what reasons."""

    headline: str
    judgement: str
    tone: str
    reasons: tuple[str, ...]


def study_verdict(study: PageStudy) -> Verdict:
    """Who won, and whether that can be trusted."""
    winner, judgement = study.winner, judge(study)
    reasons = _counts(study)
    if winner is not None:
        reasons += [*_runners_up(study, winner), *_noise(study), *_seeds(study), _tested(study)]
    return Verdict(headline(study), short(judgement.text), judgement.tone, tuple(reasons))


def _counts(study: PageStudy) -> list[str]:
    verbs = {
        "COMPLETE": "ran their whole schedule",
        "PRUNED": "were stopped early",
        "FAIL": "failed",
        "RUNNING": "have not ended",
        "WAITING": "have not started",
    }
    said = [f"{count} {verbs[state]}" for state, count in study.states.items()]
    started = len(study.trials) - study.states.get("WAITING", 0)
    total = f"{started} of {study.config.goal} trials have started"
    return [f"{total}: {', '.join(said)}." if said else f"{total}."]


def _runners_up(study: PageStudy, winner: TrialSummary) -> list[str]:
    others = [
        trial
        for trial in study.complete
        if trial.number != winner.number and study.same_identities(trial, winner)
    ]
    if not others and len(study.complete) > 1:
        return ["Every other complete trial was scored on other identities than the winner."]
    if not others:
        return ["No other trial is complete, so the winner can only be compared with stopped ones."]
    score, best = winner.score or 0.0, others[0]
    behind = 100 * (score - (best.score or 0.0))
    close = sum(score - (trial.score or 0.0) <= _MAX_CLOSE_DIFFERENCE for trial in others)
    name = "the baseline" if best.baseline else f"trial {best.number}"
    text = f"The runner-up, {name}, is {behind:.1f} points behind"
    if not close:
        return [f"{text}; no other complete trial comes within one point."]
    verb = "trial lies" if close == 1 else "trials lie"
    return [f"{text}; {close} {verb} within one point of the winner, and may be as good."]


def _noise(study: PageStudy) -> list[str]:
    noise, chance, lead = epoch_noise(study), lead_by_chance(study), validation_lead(study)
    if noise is None or chance is None:
        return ["How far scores move by chance is not known: too few late epochs were recorded."]
    text = (
        f"Late in the schedule a score moves by {100 * noise:.1f} points from one epoch to the next "
        f"(median). The best of {len(study.complete)} equally good trials would lead by about "
        f"{100 * chance:.1f} by chance"
    )
    if not lead:  # not known, or the baseline won
        return [f"{text}."]
    return [f"{text}; the winner leads the baseline by {100 * lead:.1f}."]


def _seeds(study: PageStudy) -> list[str]:
    if "seed" in study.config.space.search or study.confirmation is not None:
        return []
    seed = short(study.value(study.trials[0], "seed"))
    return [
        f"Every trial ran with one seed only (seed {seed}); how much another would change was not measured."
    ]


def _tested(study: PageStudy) -> str:
    if "best" not in study.evaluations:
        if study.trust.scores:
            return f"{_final(study)} {study.trust.ledger_line}".rstrip()
        seen = study.trust.ledger_line or "The test set has not been opened."
        return (
            "These are validation figures on held-out training identities, and the best of many is somewhat "
            f"optimistic. {seen}"
        )
    if not study.evaluates_winner:
        return "The test figures here are of an earlier winner: run evaluate again."
    gain, reason = test_gain(study), why_no_test_gain(study)
    seen = "".join(f" {line}" for line in (_final(study), study.trust.ledger_line) if line)
    if reason:
        return f"No difference to the baseline on the test set is stated: {short(reason)}.{seen}"
    if gain is None:
        return (
            f"The test set was opened for the winner; evaluate --baseline adds the baseline’s figures.{seen}"
        )
    metric = names.heading(names.MAP)
    compared = f"the winner’s {metric} differs from the baseline’s by {100 * gain.mean:+.1f} points"
    if gain.low is not None and gain.high is not None:
        compared += f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, paired by query)"
    return f"On the test set, which the search never saw, {compared}.{seen}"


def _final(study: PageStudy) -> str:
    """The retrained test figures, which weigh more than a single evaluation; empty where there are none."""
    said = [
        f"{one.name} {percent(one.mean)} %"
        + (f" ± {percent(one.std)} over {one.seeds} seeds" if one.seeds > 1 else " (one seed)")
        for one in study.trust.scores
    ]
    figure = names.heading(names.MAP, names.TEST)
    return f"Retrained on all training identities, {figure}: {', '.join(said)}." if said else ""


def run_state(study: PageStudy) -> str:
    """Whether the study runs, in a few words."""
    if study.driver:
        return f"running ({short(study.driver)})"
    if study.ended >= study.config.goal:
        return "finished"
    return "not running; “resume” continues it"


def trust_table(study: PageStudy) -> TextTable:
    """The study's main numbers with their intervals, what these cover, and what flatters a number."""
    rows = _validation(study)
    best = "the winner" if study.evaluates_winner else "an earlier winner"
    for name, label in (("best", best), ("baseline", "the baseline")):
        if name in study.evaluations:
            rows.append(_test_row(study, name, label))
    rows += [_retrained_row(study, score) for score in study.trust.scores]
    headings = ("number", "value", "95 % interval", "the interval covers", "what biases it")
    title = "The study’s main numbers"
    notes = protocol_notes({PROTOCOL: study.protocol})
    return TextTable(title, (*headings, "what would tell more"), rows, notes, words=(0, 3, 4, 5))


def score_interval(trial: TrialSummary | None, figure: str) -> str:
    """The interval of a trial's figure as text; empty where none was recorded."""
    ends = trial.interval_of(figure) if trial else None
    return interval(*ends) if ends else ""


def _validation(study: PageStudy) -> list[tuple[str, ...]]:
    best, metric, confirmed_lead = study.winner, study.config.metric, study.trust.lead
    if best is None or best.score is None:
        return []
    # A confirmation of other trials tells nothing of this one.
    confirmed = study.confirmation and best.number in study.confirmation.trials
    more = "see the confirmation below" if confirmed else "confirm"
    rows: list[tuple[str, ...]] = [
        (
            f"{names.heading(metric, names.VALIDATION)} of trial {best.number}",
            f"{percent(best.score)} %",
            score_interval(best, metric) or "not recorded",
            "other identities",
            f"the best of {len(study.complete)} complete trials, and of its {best.record.epoch} epochs",
            more,
        )
    ]
    if not best.baseline and (study_lead := validation_lead(study)) is not None:
        rows.append(
            (
                f"lead of trial {best.number} in the study",
                f"{100 * study_lead:+.1f} points",
                "not computed",
                "nothing: one seed each",
                "the trial was chosen for it",
                more,
            )
        )
    if confirmed_lead:
        rows.append(
            (
                f"lead of {confirmed_lead.label}, confirmed",
                f"{confirmed_lead.mean:+.1f} points",
                f"{confirmed_lead.low:+.1f} to {confirmed_lead.high:+.1f}",
                "other identities and other seeds",
                "best of its epochs, as is the baseline’s",
                "more --seeds, more --folds",
            )
        )
    return rows


def _test_row(study: PageStudy, name: str, label: str) -> tuple[str, ...]:
    found = study.evaluations[name]
    ends = (found.get("intervals") or {}).get(names.MAP)
    return (
        f"{names.heading(names.MAP, names.TEST)} of {label}",
        f"{percent(found[names.MAP])} %",
        interval(*ends) if ends else "not recorded: evaluate again",
        "other identities; one seed",
        _ledger_bias(study),
        "evaluate --retrain --seeds 3" if study.trust.retrained is None else "final answer below",
    )


def _retrained_row(study: PageStudy, score: RetrainedScore) -> tuple[str, ...]:
    several = score.seeds > 1
    return (
        f"{names.heading(names.MAP, names.TEST)} of {score.name}, retrained",
        f"{percent(score.mean)}{f' ± {percent(score.std)}' if several else ''} %",
        "not computed over seeds" if several else "see the final answer",
        f"other seeds ({score.seeds} were run)" if several else "other identities; one seed",
        _ledger_bias(study),
        "evaluate --retrain with more --seeds",
    )


def _ledger_bias(study: PageStudy) -> str:
    """What biases a test figure: how often the test set was evaluated."""
    ledger = study.trust.ledger
    if ledger is None:
        return "unknown: the ledger is damaged"
    return "none known: test set seen once" if ledger.count < 2 else f"test set seen {ledger.count} times"


def search_model_lines(study: PageStudy, model: SearchModel) -> list[str]:
    """What a model of the learning curves expects, and how its predictions of held-out trials held."""
    best, held_out = model.optimum, model.check
    trust = "the surface means nothing"
    if held_out.correlation >= 0.3:
        trust = "a good guide" if held_out.correlation > 0.6 else "a hint only"
    return [
        f"Predicted optimum: {short(settings_text(best.settings))}. The {names.heading(study.config.metric)} "
        f"expected there is {percent(best.median)} % (95 % interval {interval(best.low, best.high)} %).",
        f"Predictions of {held_out.trials} trials that were held out from the fit: their rank correlation "
        f"with the scores is {held_out.correlation:.2f} ({trust}), and {held_out.covered} of the scores lie "
        "in their 95 % interval. A stopped trial’s score is its last, raised by what others gained later.",
    ]
