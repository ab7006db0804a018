"""The test ledger: every evaluation of a study on test images, so that none is forgotten.

An entry is written before its figures are computed: neither Ctrl-C nor kill -9 hides it. Entries are counted
by test set. A study's own test set is the one of its data set (see `is_own_test_set`), even after a move;
figures on other data are kept in files of their own.

Functions that read the ledger raise a `StudyFolderError` where it is damaged.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import TEST_SPLITS, is_list
from sa_study.metrics import names
from sa_study.metrics.comparability import ranked_images
from sa_study.provenance import command_line, read_provenance, utc_now
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import change_lock
from sa_study.utils.errors import DataError, StudyFolderError
from sa_study.utils.files import read_json, require_writable, write_json
from sa_study.utils.progress import PhaseCallback

if TYPE_CHECKING:
    from sa_study.study.config import StudyConfig
    from sa_study.training.evaluate import EvaluationImages


@dataclass(frozen=True)
class LedgerSummary:
    """How often a study was evaluated on a test set, and when.

    Attributes:
        count: Number of evaluations.
        first: Time of the first, ISO 8601; empty if there was none.
        last: Time of the last.
        own: Whether the test set is the study's own.
    """

    count: int = 0
    first: str = ""
    last: str = ""
    own: bool = True

    @property
    def sentence(self) -> str:
        """The sentence that goes with every table of test figures; empty before the first evaluation."""
        name = "Test set" if self.own else "Another test set"
        if self.count < 2:
            return f"{name} seen once, on {self.first[:10]}." if self.count else ""
        return f"{name} seen {self.count} times since {self.first[:10]}: later choices may be biased."


class LedgerEntry:
    """One entry of a study's test ledger."""

    def __init__(self, folder: StudyFolder, identifier: str):
        self._folder = folder
        self._id = identifier

    @property
    def summary(self) -> LedgerSummary:
        """The recorded evaluations on this entry's images, this one included."""
        entries = _read(self._folder)
        mine = next((entry for entry in entries if entry.get("id") == self._id), {})
        if mine.get("own") is not False:
            return ledger_summary(self._folder)
        return _summary([entry for entry in entries if entry.get("data") == mine.get("data")], own=False)

    def complete(self, evaluations: Mapping[str, Mapping[str, Any]]) -> LedgerSummary:
        """Adds each network's figures, which `sa_study.training.evaluate.evaluate` returns, to the entry."""
        with _locked_entries(self._folder) as entries:
            for entry in entries:
                if entry.get("id") == self._id:
                    entry["figures"] = {name: _figures(found) for name, found in evaluations.items()}
        return self.summary


def add_ledger_entry(
    folder: StudyFolder,
    what: str,
    images: EvaluationImages | None = None,
    *,
    own: bool = True,
    reranked: bool = False,
) -> LedgerEntry:
    """Writes an entry for an evaluation that begins now.

    `what` names the networks in words; `own` is whether the test images, which an entry may leave out, are
    the study's own (see `is_own_test_set`).
    """
    entry: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "time": utc_now(),
        "command": command_line(),
        "what": what,
        "own": own,
        "reranked": reranked,
    }
    if images:
        entry |= {
            "queries": len(images.query.images),
            "gallery": len(images.gallery.images),
            "data": images.fingerprints,
        }
    with _locked_entries(folder) as entries:
        entries.append({**entry, "figures": None})
    return LedgerEntry(folder, entry["id"])


def require_writable_ledger(folder: StudyFolder) -> None:
    """Raises a `StudyFolderError`, before any test image is opened, if the ledger cannot be written."""
    try:
        require_writable(folder.ledger)
    except OSError as error:
        raise StudyFolderError(
            f"{error.filename}: {error.strerror}, so the test ledger cannot record the evaluation; "
            "use a copy of the study"
        ) from None


def ledger_summary(folder: StudyFolder) -> LedgerSummary:
    """Reads the recorded evaluations of a study on its own test set.

    Entries of earlier versions do not say whose test set it was: they count unless known to be of other
    images.
    """
    entries = _read(folder)
    known = _own_images(entries)

    def is_own(entry: Mapping[str, Any]) -> bool:
        if "own" in entry:
            return entry["own"] is not False
        return known is None or entry.get("data") in (None, known)

    return _summary([entry for entry in entries if is_own(entry)])


def is_own_test_set(
    folder: StudyFolder, dataset: ReidDataset, images: EvaluationImages, report: PhaseCallback
) -> bool:
    """Whether the test images of a data set are a study's own.

    Once an evaluation on the study's own test set is recorded, by this version or an earlier one, the
    fingerprints of its images decide. Before that, the training images must be the study's; outside of the
    study's data folder, so must the test images, where that folder's can still be read. A data set without
    training images counts as the study's if it lies in that folder.
    """
    # Imported here: a table of what was evaluated needs neither PyTorch nor PyYAML.
    from sa_study.data.split import limit_identities
    from sa_study.data.store import fingerprint
    from sa_study.study.config import StudyConfig

    if known := _own_images(_read(folder)):
        return known == images.fingerprints
    config = StudyConfig.read(folder.config)
    if earlier := _evaluated_by_earlier_version(folder, config.data_dir):
        return earlier == images.fingerprints
    settings = config.space.settings(config.space.baseline)
    try:
        train = ReidDataset(dataset.root, ("train",)).train
        records = limit_identities(train, settings.identities, settings.split_seed)
        found = fingerprint(records, partial(report, "training images"))
    except (DataError, OSError):  # a data set can be evaluated without training images
        return _is_inside(dataset.root, config.data_dir)
    if found != read_provenance(folder.provenance)["data_fingerprint"]:
        return False
    return _is_inside(dataset.root, config.data_dir) or _test_fingerprints(config) in (
        {},
        images.fingerprints,
    )


def _test_fingerprints(config: StudyConfig) -> dict[str, str]:
    """Fingerprints of the test images in the study's data folder; empty where they can no longer be read."""
    from sa_study.data.store import fingerprint

    try:
        dataset = config.dataset(None, TEST_SPLITS)
        return {split: fingerprint(getattr(dataset, split)) for split in TEST_SPLITS}
    except (DataError, OSError):
        return {}


def _evaluated_by_earlier_version(folder: StudyFolder, data_dir: Path) -> dict[str, str]:
    """Fingerprints of the study's test images, from earlier versions' evaluation files; empty without any."""
    for path in folder.evaluation_files.values():
        try:
            found = read_json(path)
            images = ranked_images(found)
            if len(images) == 2 and _is_inside(Path(found["data"]["root"]), data_dir):
                return images
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def _is_inside(root: Path, data_dir: Path) -> bool:
    """Whether a data set is the study's data folder or list, or a folder in that folder."""
    place, own = root.resolve(), data_dir.resolve()
    return place == own or (not is_list(place) and place.is_relative_to(own))


def study_containing(path: Path) -> StudyFolder | None:
    """The study in whose folder a file lies, or None; to evaluate the file is to evaluate the study."""
    for parent in path.resolve().parents:
        folder = StudyFolder(parent)
        if folder.config.is_file() and folder.database.is_file():
            # The repeats of a confirmation lie in the study that they confirm.
            return study_containing(parent) or folder
    return None


def _own_images(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, str] | None:
    """The fingerprints of the study's own test set; None before the first evaluation on it."""
    found = (entry.get("data") for entry in entries if entry.get("own") is True)
    return next((images for images in found if isinstance(images, dict)), None)


def _summary(entries: Sequence[Mapping[str, Any]], *, own: bool = True) -> LedgerSummary:
    times = sorted(entry["time"] for entry in entries)
    return LedgerSummary(len(times), times[0], times[-1], own) if times else LedgerSummary(own=own)


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    reranked = found.get("reranked")
    plain = {name: found[name] for name in names.STUDY_METRICS}
    return {**plain, "reranked": {name: reranked[name] for name in plain} if reranked else None}


@contextmanager
def _locked_entries(folder: StudyFolder) -> Iterator[list[dict[str, Any]]]:
    """The entries, for one process at a time to change; written back at the end."""
    with change_lock(folder.root, f"{folder.ledger.name}.lock"):
        entries = _read(folder)
        yield entries
        write_json(folder.ledger, {"looks": entries})  # a look is an evaluation on test images


def _entry_before_ledgers(folder: StudyFolder) -> list[dict[str, Any]]:
    """An entry for the evaluation by a version without ledgers, where there was one."""
    if not folder.evaluation.is_file():
        return []
    changed = min(max(folder.evaluation.stat().st_mtime, 0), time.time())  # a file can claim any time
    when = datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")
    return [{"time": when, "what": f"{folder.evaluation.name}, before there was a ledger", "figures": None}]


def _read(folder: StudyFolder) -> list[dict[str, Any]]:
    try:
        entries: Sequence[Any] = read_json(folder.ledger)["looks"]
        if isinstance(entries, list) and all(
            isinstance(entry, dict) and _is_time(entry["time"]) for entry in entries
        ):
            return entries
    except FileNotFoundError:
        return _entry_before_ledgers(folder)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise StudyFolderError(
        f"{folder.ledger}: is damaged, so how often the test set was seen is unknown; restore it"
    )


def _is_time(text: str) -> bool:
    """Whether it is a time as `utc_now` writes it; any other text would be shown unchecked."""
    return datetime.fromisoformat(text).isoformat(timespec="seconds") == text
