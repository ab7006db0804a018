"""The final answer: the chosen configuration trained on all training identities, with several seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.analysis.repeats.figures import differences_of
from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData
from sa_study.metrics.comparability import why_not_comparable
from sa_study.metrics.confidence import Stratum
from sa_study.metrics.query_scores import QueryScores
from sa_study.provenance import read_provenance
from sa_study.settings.run import Settings
from sa_study.study.config import StudyConfig
from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder
from sa_study.study.records import BASELINE, TrialRecord, choose_winner, trial_settings
from sa_study.study.test_ledger import seen
from sa_study.training.evaluate import summarise
from sa_study.training.run import RunFolder, load_training_data
from sa_study.utils.errors import ConfigError, DataError, RunFailed, StudyFolderError
from sa_study.utils.files import read_json, write_json
from sa_study.utils.progress import ProgressCallback

BEST, OF_BASELINE = "best", "baseline"
_HERE = {"val_identities": 0, "fold": 0, "device": "auto", "threads": 0}
"""All identities are trained on; device and threads are this machine's."""

_TAKEN = ("height", "width", "identities", "split_seed", "batch_size")
"""Settings on which it depends what is decoded, and whether that is enough."""


@dataclass(frozen=True)
class Choice:
    """A configuration to train on all identities.

    Attributes:
        name: `best` or `baseline`.
        trial: The study's trial that ran it.
        point: Its searched settings.
        folders: Where each seed's run is.
    """

    name: str
    trial: int
    point: Mapping[str, Any]
    folders: Mapping[Settings, RunFolder]


@dataclass(frozen=True)
class Final:
    """What is trained.

    Attributes:
        folder: The study.
        data_dir: Folder of the data set.
        choices: The chosen configuration, and the baseline where it is asked for.
        reason: Why that one.
    """

    folder: StudyFolder
    data_dir: Path
    choices: tuple[Choice, ...]
    reason: str


def choose_final(root: Path, data_dir: Path | None, *, seeds: int, baseline: bool) -> Final:
    """Chooses what to train: what `confirm` has found to be best, else the study's winner.

    Args:
        root: The study's folder.
        data_dir: The data set, or None for the study's own.
        seeds: How many seeds, the study's first.
        baseline: Whether to train the baseline too.

    Raises:
        RunFailed: No trial is complete.
        DataError: The data set is not where it was when the study was launched.
        StudyFolderError: A folder holds the training of another configuration.
    """
    folder = StudyFolder.existing(root)
    config, trials = StudyConfig.read(folder.config), read_trials(folder)
    seen(folder)  # a damaged ledger is told before anything is trained
    winner = choose_winner(trials, config.metric)
    if winner is None:
        raise RunFailed(f"{root}: no trial is complete yet; go on with 'resume --study {root}'")
    number, reason = _confirmed(folder, trials, winner) or (
        winner.number,
        f"trial {winner.number} won the study",
    )
    names = [] if number == BASELINE else [(BEST, number)]
    if baseline or not names:
        names.append((OF_BASELINE, BASELINE))
    by_number = {trial.number: trial for trial in trials}
    if lost := [number for _, number in names if number not in by_number]:
        raise StudyFolderError(f"{folder.database}: has no trial {lost[0]}")
    choices = tuple(_choice(folder, config, by_number[trial], name, seeds) for name, trial in names)
    if data_dir is None:
        config.require_data()
    return Final(folder, data_dir or config.data_dir, choices, reason)


def load_final(final: Final, dataset: ReidDataset, progress: ProgressCallback) -> dict[str, TrainingData]:
    """Decodes what each configuration is trained on, once where they take the same.

    Returns:
        The images by the configuration's name.

    Raises:
        DataError: They are not those that the study was begun with.
        ConfigError: There are fewer than a batch.
    """
    known = read_provenance(final.folder.provenance)["data_fingerprint"]
    loaded: dict[tuple[Any, ...], TrainingData] = {}
    found = {}
    for choice in final.choices:
        first = next(iter(choice.folders))
        takes = tuple(getattr(first, name) for name in _TAKEN)
        if takes not in loaded:
            loaded[takes] = load_training_data(dataset, first, progress)
        found[choice.name] = loaded[takes]
        if found[choice.name].store.fingerprint != known:
            raise DataError(
                f"{dataset.root}: the training images are not those that {final.folder.root} was begun with; "
                "the configuration was chosen for these"
            )
    return found


def keep_final(
    final: Final, evaluations: Mapping[str, Mapping[str, Any]], looks: int, path: Path | None = None
) -> dict[str, Any]:
    """Writes `retrained.json`.

    Args:
        final: What was trained.
        evaluations: Each configuration's evaluations by seed.
        looks: How often the study has looked at the test set.
        path: Another file, for figures on other data than the study's own.

    Returns:
        Its content. `difference` is None where there is one configuration, or the two cannot be compared;
        `not_compared` says why.
    """
    of_choices = {choice.name: list(evaluations[choice.name].values()) for choice in final.choices}
    first, *others = (found for of_choice in of_choices.values() for found in of_choice)
    reason = next(filter(None, (why_not_comparable(first, other) for other in others)), "")
    found = {
        "reason": final.reason,
        "configurations": [
            {
                "name": choice.name,
                "trial": choice.trial,
                "settings": dict(choice.point),
                "seeds": [run.seed for run in choice.folders],
                "evaluations": of_choices[choice.name],
                "summary": summarise(of_choices[choice.name]),
            }
            for choice in final.choices
        ],
        "difference": None if reason else _difference(of_choices),
        "not_compared": reason,
        "looks": looks,
    }
    write_json(path or final.folder.retrained, found)
    return found


def _difference(of_choices: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any] | None:
    """The best less the baseline, paired by query."""
    if len(of_choices) < 2:
        return None
    best, baseline = (
        [Stratum(0, [QueryScores.from_dict(found["per_query"], name) for found in of_choices[name]])]
        for name in (BEST, OF_BASELINE)
    )
    return differences_of(best, baseline)


def _confirmed(
    folder: StudyFolder, trials: Sequence[FrozenTrial], winner: FrozenTrial
) -> tuple[int, str] | None:
    """The trial that `confirmation.json` names, and why; None where nothing was confirmed."""
    try:
        found = read_json(folder.confirmation)
        number = found["winner"]
        tried = [row["trial"] for row in found["configurations"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyFolderError(f"{folder.confirmation}: is damaged ({error}); confirm again") from None
    later = winner.number not in tried
    since = f", but did not try trial {winner.number}, which leads the study since" if later else ""
    if number is None:
        return BASELINE, f"confirm found none that beats the baseline{since}"
    if type(number) is not int or not 0 <= number < len(trials):
        raise StudyFolderError(f"{folder.confirmation}: names no trial of this study; confirm again")
    return number, f"confirm found trial {number} to beat the baseline{since}"


def _choice(folder: StudyFolder, config: StudyConfig, trial: FrozenTrial, name: str, seeds: int) -> Choice:
    own = trial_settings(config.space, trial.params, TrialRecord())
    settings = Settings.from_mapping({**own.to_dict(), **_HERE}, f"trial {trial.number}")
    runs = [dataclasses.replace(settings, seed=settings.seed + number) for number in range(seeds)]
    folders = {run: RunFolder(folder.final / name / f"seed_{run.seed}") for run in runs}
    for run, place in folders.items():
        try:
            place.check(run, resume=True)
        except ConfigError as error:
            raise StudyFolderError(
                f"{folder.final / name}: holds the training of another configuration ({error}); move it away"
            ) from None
        except StudyFolderError:
            raise StudyFolderError(f"{place.root}: holds something, but no run; move it away") from None
    return Choice(name, trial.number, dict(trial.params), folders)
