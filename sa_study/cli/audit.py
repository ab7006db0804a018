"""`audit`: check a study for contradictions."""

from __future__ import annotations

from sa_study.cli.options import Study


def audit(study: Study) -> int:
    """Check that a study's database, results, curves and checkpoints agree; writes nothing.

    For a study whose trials have all ended; reads every checkpoint. Exit code 1 when they disagree.
    """
    from sa_study.analysis.audit.checks import audit as find_contradictions
    from sa_study.report.terminal.console import make_console, say
    from sa_study.utils.text import plural

    console = make_console()
    found = find_contradictions(study)
    for line in found:
        say(console, line)
    result = plural(len(found), "problem") if found else "[green]no contradictions[/]"
    console.print(result, highlight=False)
    return 1 if found else 0
