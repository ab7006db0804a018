"""`ablate`: run a grid of configurations with several seeds."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sa_study.cli.options import MAX_SEEDS, Json, Quiet, Study, StudyOptions, expand_options


@partial(
    expand_options,
    without=("trials", "sampler", "scheduler", "minimize", "seed", "patience", "track"),
    space=Path("ablation"),
)
def ablate(
    options: StudyOptions,
    study: Study,
    seeds: Annotated[int, typer.Option(help="Seeds per cell of the grid.", min=1, max=MAX_SEEDS)] = 3,
    one_at_a_time: Annotated[
        bool,
        typer.Option("--one-at-a-time", help="Change each setting alone, then all together, not in a grid."),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run the paper's ablation: every cell of a grid with several seeds, on the validation split.

    The grid is search_spaces/ablation.yaml, or --space. Resumes when called again, also with more seeds.
    """
    from sa_study.analysis.repeats.ablate import finish_ablation, prepare_ablation
    from sa_study.export.documents import ablation_markdown
    from sa_study.report.terminal.console import Output, phases
    from sa_study.report.terminal.launch import run_repeats_with_live_view, show_stop
    from sa_study.report.terminal.repeats import cells_table, effects_table
    from sa_study.utils.files import write_text

    ablation, repeats = prepare_ablation(study, options.config(), seeds, one_at_a_time=one_at_a_time)
    output, config = Output(quiet, as_json), repeats.config
    output.say(f"ablation {study}: {len(ablation.cells)} cells, {config.trials} runs")
    outcome = run_repeats_with_live_view(output, repeats, options.changes())
    if outcome.stopped:
        return show_stop(output, study, outcome)
    with phases(output.console) as report:
        found = finish_ablation(ablation, repeats, partial(report, "scoring"))
    table_file = repeats.folder.ablation.with_suffix(".md")
    write_text(table_file, ablation_markdown(found))
    output.result_console.print(cells_table(found), effects_table(found))
    output.say(f"written: {study / 'ablation.json'} and {table_file.name}")
    output.document(found)
    return 0
