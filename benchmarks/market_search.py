"""What studies of real images found at the same number of epochs, one study a line.

Usage: python benchmarks/market_search.py STUDY ... [--json FILE]

The studies are made before, with both samplers and some seeds, half an hour each on a CPU core:

    python run_study.py tune --data-dir Market-1501-v15.09.15 --study runs/multifidelity-0 --space small \
        --sampler multifidelity --seed 0 --trials 40 --epoch-budget 60 --max-concurrent 1 --cpus-per-trial 1

The baseline is trained with the same seed in all of them. Of a study that `evaluate` has had, the table has
the winner's figures on the test set as well.
"""

from __future__ import annotations

from pathlib import Path

import harness

from sa_study.metrics import names
from sa_study.study.summary import StudySummary

COLUMNS = (
    *("sampler", "seed", "epochs", "trials", "completed", "stopped early", "best mAP", "over the baseline"),
    *("test rank-1", "test mAP", "its interval"),
)


def row(root: Path) -> tuple[object, ...]:
    """What a study cost and found; scores in per cent."""
    study = StudySummary.read(root)
    if not (study.winner and study.baseline and study.cost):
        raise SystemExit(f"{root}: has no complete trial yet")
    score, baseline = (100 * (trial.score or 0.0) for trial in (study.winner, study.baseline))
    states = study.states
    counts = (len(study.trials), states.get("COMPLETE", 0), states.get("PRUNED", 0))
    space, seed = study.config.space, study.config.seed
    found = (space.sampler, seed, study.cost.epochs, *counts, f"{score:.1f}", f"{score - baseline:+.1f}")
    return (*found, *test_figures(study))


def test_figures(study: StudySummary) -> tuple[str, str, str]:
    """The winner's rank-1 and mAP on the test set, and the interval of this mAP; empty before `evaluate`."""
    if not (evaluation := study.evaluations.get("best")):
        return "", "", ""
    low, high = (100 * end for end in evaluation["intervals"][names.MAP])
    rank1, mean_ap = (f"{100 * evaluation[name]:.1f}" for name in (names.RANK1, names.MAP))
    return rank1, mean_ap, f"{low:.1f} to {high:.1f}"


def main() -> None:
    parser = harness.argument_parser(__doc__, "market_search")
    parser.add_argument("studies", type=Path, nargs="+", metavar="STUDY", help="folder of a study")
    options = parser.parse_args()
    title = "Validation and test figures in per cent, after the same number of epochs"
    harness.finish(
        {},
        options.json,
        harness.table(title, COLUMNS, sorted(map(row, options.studies), key=str)),
    )


if __name__ == "__main__":
    main()
