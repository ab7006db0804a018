"""`settings`: list every setting."""

from __future__ import annotations


def settings() -> None:
    """List every setting that --set, a space file and train --config take."""
    from sa_study.report.terminal.console import make_console
    from sa_study.report.terminal.tables import settings_table
    from sa_study.settings.run import describe_settings

    make_console().print(settings_table(describe_settings()))
