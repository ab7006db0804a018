"""What today's recipe is worth on real images: an ablation of its parts, and a study that may combine them.

Usage: python benchmarks/market_recipe.py ABLATION STUDY [--json FILE]

Both are made before, on two CPU cores within an hour and a half:

    python run_study.py ablate --one-at-a-time --data-dir Market-1501-v15.09.15 --study runs/recipe \
        --space recipe_small --seeds 3
    python run_study.py tune --data-dir Market-1501-v15.09.15 --study runs/modern_small --space modern_small \
        --epoch-budget 160
    python run_study.py confirm --study runs/modern_small --top 1 --seeds 5

The tables are those of `ablate` and `confirm`.
"""

from __future__ import annotations

from pathlib import Path

import harness

from sa_study.report.terminal.repeats import confirmation_table, curse_line, effects_table
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import settings_text
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.utils.files import read_json


def as_table(shown: TextTable, *more: str) -> harness.Table:
    """A table of the program as one of the benchmarks', with sentences below."""
    return harness.table(shown.title, shown.headings, shown.rows, " ".join((*shown.notes, *more)).rstrip("."))


def main() -> None:
    parser = harness.argument_parser(__doc__, "market_recipe")
    parser.add_argument("ablation", type=Path, metavar="ABLATION", help="folder of `ablate`")
    parser.add_argument("study", type=Path, metavar="STUDY", help="folder of a study that `confirm` has had")
    options = parser.parse_args()
    effects = read_json(StudyFolder(options.ablation).ablation)
    confirmed = read_json(StudyFolder(options.study).confirmation)
    study = StudySummary.read(options.study)
    assert study.winner and study.cost
    searched = f"{len(study.trials)} trials, {study.cost.epochs} epochs"
    winner = f"After {searched}: trial {study.winner.number} ({settings_text(study.winner.params)})."
    harness.finish(
        {"effects": effects["effects"], "confirmation": confirmed},
        options.json,
        as_table(effects_table(effects)),
        as_table(confirmation_table(confirmed), curse_line(confirmed), winner),
    )


if __name__ == "__main__":
    main()
