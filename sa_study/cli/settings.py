"""`settings`: list every setting."""

from __future__ import annotations

from typing import Annotated

import typer

from sa_study.utils.errors import ConfigError


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print them as one JSON document.")] = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", help="Print a JSON Schema of search-space files, for an editor to check them by."
        ),
    ] = False,
) -> None:
    """List every setting that --set, a space file and train --config take."""
    if as_json and schema:
        raise ConfigError("settings: give either --json or --schema")
    if as_json or schema:
        import json

        from sa_study.settings.schema import settings_schema, space_schema
        from sa_study.tuning.search.samplers import SAMPLERS
        from sa_study.tuning.stopping.schedulers import SCHEDULERS

        document = space_schema(SAMPLERS, SCHEDULERS) if schema else settings_schema()
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return

    from sa_study.report.terminal.console import make_console
    from sa_study.report.terminal.tables import settings_table
    from sa_study.settings.run import describe_settings

    make_console().print(settings_table(describe_settings()))
