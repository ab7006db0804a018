"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from sa_study.tuning.search.samplers import SAMPLERS
from sa_study.tuning.stopping.schedulers import SCHEDULERS
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import expand_home, folder_or_uri

_PATH = "<path>"

if TYPE_CHECKING:
    from sa_study.study.config import StudyConfig
    from sa_study.tuning.launch.prepare import StudyChanges


def path_option(*names: str, **more: Any) -> Any:
    """A `typer.Option` that takes a path; a leading `~` is the home folder, even in quotes."""
    return typer.Option(*names, parser=_user_path, metavar=_PATH, **more)


def path_argument(*, metavar: str, help: str) -> Any:
    """A `typer.Argument` that takes a path, read as `path_option` reads it."""
    return typer.Argument(metavar=metavar, help=help, parser=_user_path)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `90s`, `45m`, `2h` or `1h30m`; ConfigError for others and for zero."""
    number = r"([0-9]+(?:\.[0-9]+)?)"
    match = re.fullmatch(f"(?:{number}h)?(?:{number}m)?(?:{number}s)?", text.strip())
    parts = match.groups() if match else ()
    seconds = sum(float(part or 0) * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not seconds:
        raise ConfigError(f"--time-budget {text}: expected a duration such as 90s, 45m, 2h or 1h30m")
    return seconds


def _user_path(text: str | os.PathLike[str]) -> Path:
    try:
        return expand_home(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None


def _user_folder_or_uri(text: str) -> str:
    try:
        return folder_or_uri(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None


def _number_or_auto(text: str | float) -> float | None:
    try:
        return None if text == "auto" else float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor auto") from None


DataDir = Annotated[
    Path,
    path_option(
        envvar="SA_STUDY_DATA_DIR",
        help="Data set as distributed: Market-1501, DukeMTMC-reID, CUHK03-NP, MSMT17 (or its parent); or a "
        "list of images (LIST.csv).",
        show_default=False,
    ),
]
Weights = Annotated[Path | None, path_option(help="Weights file: ours, or the published checkpoint.pth.tar.")]
OtherDataDir = Annotated[Path | None, path_option(help="Data set.", show_default="the study's own")]
OtherDataDirs = Annotated[
    list[Path] | None,
    path_option(
        "--data-dir",
        help="Data set; several, each with --data-dir, are compared.",
        show_default="the study's own",
    ),
]
MAX_SEEDS = 1000
"""Upper limit of `--seeds`, against typing errors that would train for months."""

_STUDY_VARIABLE = "SA_STUDY_STUDY"
Study = Annotated[Path, path_option(envvar=_STUDY_VARIABLE, help="Folder of the study.", show_default=False)]
StudyUnlessWeights = Annotated[
    Path | None, path_option(envvar=_STUDY_VARIABLE, help="Folder of the study; its best network is used.")
]
StudyUnlessNamed = Annotated[Path | None, path_option(envvar=_STUDY_VARIABLE, help="Folder of the study.")]
Out = Annotated[Path, path_option(help="Folder for the run.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a setting; may be repeated. See 'settings'."),
]
Rerank = Annotated[bool, typer.Option("--rerank", help="Compute figures after k-reciprocal re-ranking too.")]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print only one JSON document, at the end.")]


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """What can be changed in a study that is resumed; each field is an option."""

    data_dir: Annotated[
        Path | None, path_option(help="Present folder of the same data set.", show_default="as before")
    ] = None
    trials: Annotated[
        int | None, typer.Option(help="Total number of trials.", show_default="the space's, or as before")
    ] = None
    time_budget: Annotated[
        float | None,
        typer.Option(
            help="End the launch after this time, e.g. 90s, 45m, 2h, 1h30m.",
            parser=parse_duration,
            metavar="<time>",
        ),
    ] = None
    epoch_budget: Annotated[
        int | None, typer.Option(help="End the study after this many epochs over all trials.")
    ] = None
    gpu_hours: Annotated[
        float | None, typer.Option(help="End the study after this many GPU-hours of training.")
    ] = None
    patience: Annotated[
        int | None,
        typer.Option(help="End the study after this many finished trials in a row without a better score."),
    ] = None
    max_concurrent: Annotated[
        int | None,
        typer.Option(help="Maximum number of trials that run at a time.", show_default="as many as fit"),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(help="Address of a running Ray cluster, e.g. auto.", show_default="this machine alone"),
    ] = None
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRACKER",
            help="Show the study in an experiment tracker too: mlflow[:URI] or wandb[:PROJECT]; may be "
            "repeated. A resumed study keeps its trackers; none drops them.",
            show_default=False,
        ),
    ] = None

    def changes(self) -> StudyChanges:
        """The changes that are asked of a study."""
        from sa_study.tuning.launch.prepare import StudyChanges

        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(ResumeOptions)}
        data_dir = self.data_dir.absolute() if self.data_dir else None
        track = tuple(self.track) if self.track else None
        return StudyChanges(**{**asked, "data_dir": data_dir, "track": track})


@dataclass(frozen=True, kw_only=True)
class StudyOptions(ResumeOptions):
    """The description of a new study on the command line; each field is an option."""

    data_dir: DataDir = dataclasses.field()  # required here
    space: Annotated[
        Path,
        path_option(
            help="Search-space file, or the name of one of the program's: default, wide, modern, bot, …"
        ),
    ] = Path("default")
    metric: Annotated[str, typer.Option(help="Validation figure to maximise: mAP or rank1.")] = "mAP"
    minimize: Annotated[
        str | None,
        typer.Option(help="Second objective: cost (seconds of training) or latency (ms an image)."),
    ] = None
    sampler: Annotated[
        str | None,
        typer.Option(
            help=f"Sampler, which suggests settings: {', '.join(SAMPLERS)}.", show_default="the space's"
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option(
            help=f"Scheduler, which stops trials early: {', '.join(SCHEDULERS)}.", show_default="the space's"
        ),
    ] = None
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            help="A fraction shares a GPU: 0.5 for two trials on each, 0.25 for four. That pays where one "
            "trial leaves it idle (small networks, inputs or batches) and the memory holds all; "
            "benchmarks/packing.py measures it.",
            show_default="1 where there is one",
        ),
    ] = None
    cpus_per_trial: Annotated[
        float | None,
        typer.Option(
            help="CPU cores, and threads, of a trial. auto: without a GPU measures for some seconds whether "
            "many trials of one core each or fewer of several train more images a second; with GPUs, a "
            "trial's share of the cores.",
            parser=_number_or_auto,
            metavar="<number or auto>",
        ),
    ] = 1.0
    storage_path: Annotated[
        str | None,
        typer.Option(
            help="Folder or URI that all nodes reach, for trial files.",
            show_default="the study's folder",
            parser=_user_folder_or_uri,
            metavar=_PATH,
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0
    overrides: Set = None

    def config(self) -> StudyConfig:
        """The study that the options describe; ConfigError if one of them, or the space, is wrong."""
        from sa_study.settings.yaml_files import parse_assignments
        from sa_study.tuning.launch.configure import configure_study

        return configure_study(**{**vars(self), "overrides": parse_assignments(self.overrides or [])})


def expand_options(
    command: Callable[..., int | None], *, without: Collection[str] = (), **defaults: Any
) -> Callable[..., int | None]:
    """Gives a command an option for each field of its first parameter: `StudyOptions` or `ResumeOptions`.

    Typer reads options from a function's signature, so this builds one. The fields that `without` names are
    left out; `defaults` has other defaults of some fields.
    """
    first, *own = inspect.signature(command).parameters.values()
    hints = get_type_hints(command, include_extras=True)
    described = hints[first.name]
    hints |= get_type_hints(described, include_extras=True)
    fields = [
        option.replace(default=defaults.get(option.name, option.default))
        for option in inspect.signature(described).parameters.values()
        if option.name not in without
    ]
    # In the order of --help, where what a command needs comes first.
    parameters = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in sorted([*fields, *own], key=lambda p: p.default is not inspect.Parameter.empty)
    ]

    @functools.wraps(command)
    def wrapper(**values: Any) -> int | None:
        options = described(**{field.name: values.pop(field.name) for field in fields})
        return command(options, **values)

    signed: Any = wrapper
    signed.__signature__ = inspect.Signature(parameters)
    signed.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def require_one_network(context: typer.Context, study: Path | None, weights: Path | None) -> Path | None:
    """The study of a command that takes either a study or a weights file.

    The environment's study is meant only where the command line names no weights file.

    Raises:
        ConfigError: Both are given, or neither.
    """
    if weights is not None and "study" not in given_options(context):
        study = None
    if (study is None) == (weights is None):
        raise ConfigError(f"{context.info_name}: give either --study or --weights")
    return study


def given_options(context: typer.Context) -> set[str]:
    """Names of the parameters that the user gave a value on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
