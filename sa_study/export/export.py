"""Exports a study or a weights file for other programs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sa_study.utils.errors import ConfigError, StudyFolderError
from sa_study.utils.progress import PhaseCallback

if TYPE_CHECKING:
    from sa_study.study.summary import StudySummary

FORMATS = {
    "onnx": "the feature network for ONNX Runtime",
    "torch": "the same as a torch.export program",
    "trials": "all trials and all epochs as CSV and Parquet",
    "markdown": "a results table for a paper, in Markdown and LaTeX, with BibTeX",
}
NETWORK_FORMATS = ("onnx", "torch")

NETWORKS = {
    "features.onnx": ("onnx", "normalised"),
    "features.pt2": ("torch", "normalised"),
    "features_uint8.onnx": ("onnx", "uint8"),
    "features_uint8.pt2": ("torch", "uint8"),
}
"""Files of the folder `network`: their format, and the images that the network in them takes."""

FILES = {
    "network": {"README.md", "network.json", *NETWORKS},
    "trials": {"README.md", "trials.csv", "trials.parquet", "epochs.csv", "epochs.parquet"},
    "paper": {"table.md", "table.tex", "references.bib"},
}
"""Every file of an export by its folder: a later export replaces these, and nothing else.

To add one, add its name, and write it in `tables.write_tables` or `paper.write_paper`.
"""


@dataclass
class Exported:
    """Files and warnings of a finished export.

    Attributes:
        out: Its folder.
        files: Bytes of each file, by its path in the folder.
        differences: For a network's file the largest difference of a feature to PyTorch's.
        notes: What a user ought to know, a line each.
    """

    out: Path
    files: dict[str, int] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def parse_formats(text: str | None, allowed: Sequence[str] = tuple(FORMATS)) -> list[str]:
    """The formats that a comma-separated list names, in the order of `FORMATS`; all for None.

    Raises:
        ConfigError: One is not known, not possible here, or there is none.
    """
    if text is None:
        return list(allowed)
    named = [name.strip() for name in text.split(",") if name.strip()]
    for name in named:
        if name not in FORMATS:
            raise ConfigError(f"--formats: {name!r} is not one of {', '.join(FORMATS)}")
        if name not in allowed:
            raise ConfigError(f"--formats: {name} needs --study; a weights file gives {', '.join(allowed)}")
    if not named:
        raise ConfigError(f"--formats: {text!r} names none; allowed: {', '.join(allowed)}")
    return [name for name in FORMATS if name in named]


def export_study(root: Path, out: Path | None, formats: str | None, report: PhaseCallback) -> Exported:
    """Exports a study, also one that runs, by default into its folder `export`; it is only read.

    `formats` is a comma-separated list of `FORMATS`; None for all that are possible here.

    Raises:
        StudyFolderError: It is no study, or has no complete trial and a network was asked for; or `out` will
            not do.
        ConfigError: A format is not known, or its packages are not installed.
        RunFailed: An exported network does not compute what it should.
    """
    from sa_study.study.summary import StudySummary

    chosen = parse_formats(formats)
    study = StudySummary.read(root)
    study.require_whole()
    exported = Exported((out or study.folder.root / "export").absolute())
    chosen = _possible(chosen, exported, study, asked=formats is not None)
    with new_export(exported.out) as folder:
        if networks := _network_files(chosen):
            _export_best(study, networks, folder, exported, report)
        if "trials" in chosen:
            from sa_study.export.tables import write_tables

            exported.notes += write_tables(study, folder / "trials")
        if "markdown" in chosen:
            from sa_study.export.paper import write_paper

            write_paper(study, folder / "paper")
        exported.files = _sizes(folder)
    return exported


def export_weights(
    weights: Path, out: Path, formats: str | None, overrides: Mapping[str, Any], report: PhaseCallback
) -> Exported:
    """Exports the network of a weights file: one of ours, or a published one.

    `formats` are `onnx`, `torch` or both, None for those that are possible here; `overrides` are settings
    that the file does not hold.

    Raises:
        StudyError: As for `export_study`, or the file is no weights file.
    """
    from sa_study.export.network_files import write_networks
    from sa_study.training.evaluate import load_network

    chosen = parse_formats(formats, NETWORK_FORMATS)
    exported = Exported(out.absolute())
    chosen = _possible(chosen, exported, asked=formats is not None)
    trained = load_network(weights, overrides)
    exported.notes += trained.notes
    source = {"weights file": weights.name, "epoch": trained.epoch}
    with new_export(exported.out) as folder:
        files = _network_files(chosen)
        exported.differences = write_networks(trained, source, files, folder / "network", report)
        exported.files = _sizes(folder)
    return exported


def _possible(
    chosen: list[str], exported: Exported, study: StudySummary | None = None, *, asked: bool
) -> list[str]:
    """The formats that can be had; one that was asked for by name and cannot is an error."""
    from sa_study.export.network import require_onnx

    if study and study.winner is None and any(name in NETWORK_FORMATS for name in chosen):
        line = f"{study.folder.root}: no trial is complete, so there is no network to export"
        if asked:
            raise StudyFolderError(f"{line}; --formats trials,markdown gives the rest")
        exported.notes.append(line)
        chosen = [name for name in chosen if name not in NETWORK_FORMATS]
    try:
        if "onnx" in chosen:
            require_onnx()
    except ConfigError as error:
        if asked:
            raise
        exported.notes.append(f"left out: {error}")
        return [name for name in chosen if name != "onnx"]
    return chosen


def _network_files(formats: Sequence[str]) -> dict[str, tuple[str, str]]:
    return {name: entry for name, entry in NETWORKS.items() if entry[0] in formats}


def _export_best(
    study: StudySummary,
    files: Mapping[str, tuple[str, str]],
    folder: Path,
    exported: Exported,
    report: PhaseCallback,
) -> None:
    from sa_study.export.network_files import write_networks
    from sa_study.metrics import names
    from sa_study.study.winner import save_trial_weights
    from sa_study.training.evaluate import load_network

    best = study.winner
    assert best is not None
    source: dict[str, Any] = {
        "study": study.folder.root.name,
        "trial": best.number,
        "epoch": best.best_epoch,
        f"{names.VALIDATION} {study.config.metric}": best.score,
    }
    if evaluation := study.current_evaluations.get("best"):
        definition = {names.MAP: " (mean of k/position)"}
        for name in (names.RANK1, names.MAP, names.MAP_TRAPEZOID):
            source[f"{names.heading(name, names.TEST)}{definition.get(name, '')}"] = evaluation[name]
    if sentence := study.ledger.sentence:
        source["test set"] = sentence
    source["training images (SHA-256)"] = study.provenance["data_fingerprint"]
    kept = folder / "best.pt"
    if study.folder.best_weights.is_file():
        shutil.copyfile(study.folder.best_weights, kept)  # used if it is the winner's
    save_trial_weights(study, best, kept)
    exported.differences = write_networks(load_network(kept, {}), source, files, folder / "network", report)
    kept.unlink()


def _sizes(folder: Path) -> dict[str, int]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in paths}


@contextmanager
def new_export(out: Path) -> Iterator[Path]:
    """Gives a folder to fill; its folders then take the place of those of an earlier export.

    When anything goes wrong nothing is left, and what an earlier export wrote stays.

    Args:
        out: Folder of the export; need not exist.

    Raises:
        StudyFolderError: It holds something that no export wrote, or cannot be written.
    """
    out = out.absolute()
    _require_only_exports(out)
    above = next(folder for folder in out.parents if folder.exists())
    temporary = above / f".{out.name}.{os.getpid()}.partial"
    try:
        try:
            temporary.mkdir()
        except OSError as error:
            raise StudyFolderError(
                f"{above}: cannot be written ({error.strerror}); choose another --out"
            ) from None
        yield temporary
        out.mkdir(parents=True, exist_ok=True)
        for folder in sorted(temporary.iterdir()):
            _replace(out / folder.name, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _require_only_exports(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StudyFolderError(f"{out}: is a file; --out names a folder")
    for name, allowed in FILES.items():
        folder = out / name
        if folder.exists() and not folder.is_dir():
            raise StudyFolderError(f"{folder}: no export wrote that; choose another --out")
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in allowed:
                raise StudyFolderError(
                    f"{folder}: holds {path.name!r}, which no export wrote; move it, or choose another --out"
                )


def _replace(target: Path, new: Path) -> None:
    old = new.with_name(f"{new.name}.old")
    if target.exists():
        target.replace(old)
    try:
        new.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
