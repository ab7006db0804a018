"""What studies of real images found at the same number of epochs, one study a line.

Usage: python benchmarks/market_search.py STUDY ... [--json FILE]

The studies are made before, with both samplers and some seeds, half an hour each on a CPU core:

    python run_study.py tune --data-dir Market-1501-v15.09.15 --study runs/multifidelity-0 --space small \
        --sampler multifidelity --seed 0 --trials 40 --epoch-budget 60 --max-concurrent 1 --cpus-per-trial 1

The baseline is trained with the same seed in all of them.
"""

from __future__ import annotations

from pathlib import Path

import harness

from sa_study.study.summary import StudySummary

COLUMNS = (
    "sampler",
    "seed",
    "epochs",
    "trials",
    "completed",
    "stopped early",
    "best mAP",
    "over the baseline",
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
    return (space.sampler, seed, study.cost.epochs, *counts, f"{score:.1f}", f"{score - baseline:+.1f}")


def main() -> None:
    parser = harness.argument_parser(__doc__, "market_search")
    parser.add_argument("studies", type=Path, nargs="+", metavar="STUDY", help="folder of a study")
    options = parser.parse_args()
    title = "validation mAP, per cent, after the same number of epochs"
    harness.finish(
        {},
        options.json,
        harness.table(title, COLUMNS, sorted(map(row, options.studies), key=str)),
    )


if __name__ == "__main__":
    main()
