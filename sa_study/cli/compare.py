"""`compare`: a paired test of two evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sa_study.cli.options import Json, path_argument


def compare(
    first: Annotated[
        Path,
        path_argument(
            metavar="A", help="evaluation.json, its folder, or a folder of one subfolder per seed."
        ),
    ],
    second: Annotated[Path, path_argument(metavar="B", help="Another evaluation, of the same test images.")],
    as_json: Json = False,
) -> None:
    """Test whether B is really better than A on the test set: a paired test over identities, and seeds."""
    from sa_study.analysis.compare import compare_evaluations
    from sa_study.report.terminal.console import Output
    from sa_study.report.terminal.tables import comparison_table, conclusion

    output = Output(as_json=as_json)
    found = compare_evaluations(first, second)
    output.result_console.print(comparison_table(found))
    output.conclude(conclusion(found), "bold")
    output.document(found)
