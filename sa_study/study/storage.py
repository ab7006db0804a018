"""Where Ray keeps the trials' files: in the study's folder, or a place that all nodes reach."""

from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow.fs
import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sa_study.study.folder import StudyFolder
from sa_study.study.record_checks import validate_checkpoint_path
from sa_study.utils.errors import ConfigError, StudyFolderError
from sa_study.utils.text import a_few, is_secret_name

_PATIENCE = 60.0
"""Seconds that a place, or all nodes together, have to answer; a node first fetches the code."""

_PROBE = b"sa_study"

_OWNER = "sa_study_owner"
"""File in a storage outside of its study's folder: the study's id."""


@dataclass(frozen=True)
class Storage:
    """A folder on a pyarrow file system, named by a path or URI.

    Attributes:
        uri: Absolute path, or a URI such as `s3://bucket/studies/one?region=eu-central-1`.

    Raises:
        ConfigError: The URI holds credentials, which would end up in the study's folder.
    """

    uri: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.uri)
        # Google's file system takes `gs://anonymous@bucket`.
        if parts.scheme and (
            parts.username not in (None, "anonymous")
            or parts.password
            or any(map(is_secret_name, parse_qs(parts.query, keep_blank_values=True)))
        ):
            raise ConfigError(
                f"--storage-path {parts.scheme}://{parts.hostname}{parts.path}: was given with credentials; "
                "leave them to the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a credentials "
                "file, on every node"
            )

    @classmethod
    def of_study(cls, folder: StudyFolder, storage_path: str | None) -> Storage:
        """The study's own folder, or the one it was given."""
        return cls(storage_path or str(folder.trials))

    def require_free(self) -> None:
        """Makes the folder, so that a place that will not do is named before any trial starts.

        Raises:
            ConfigError: It cannot be reached or written, or holds something already.
        """
        try:
            taken = _within_patience(self.uri) if "://" in self.uri else _make(self.uri)
        except multiprocessing.TimeoutError:
            raise ConfigError(
                f"--storage-path {self.uri}: gives no answer within {_PATIENCE:.0f} s"
            ) from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"--storage-path {self.uri}: cannot be written ({_line(error)})") from None
        if taken:
            raise ConfigError(f"--storage-path {self.uri}: is not empty; give each study a folder of its own")

    def claim(self, owner: object) -> None:
        """Marks the folder as a study's, or checks that it is: what no trial refers to is cleared away there.

        Args:
            owner: The study's id.

        Raises:
            StudyFolderError: It holds something, but not this study's mark.
            ConfigError: It cannot be reached or written.
        """
        try:
            filesystem, path = self._open()
            mark, wanted = f"{path}/{_OWNER}", str(owner).encode()
            if _holds(filesystem, mark, wanted):
                return
            if not owner or filesystem.get_file_info(pyarrow.fs.FileSelector(path, allow_not_found=True)):
                raise StudyFolderError(
                    f"storage_path {self.uri}: does not hold this study's trials, but other files; put the "
                    "study's own place back in study.yaml"
                )
            filesystem.create_dir(path, recursive=True)
            _write(filesystem, mark, wanted)
        except (OSError, ValueError) as error:
            raise ConfigError(f"--storage-path {self.uri}: cannot be written ({_line(error)})") from None

    def require_reachable(self) -> None:
        """Has every node that can run a trial read what this process writes here, and write beside it.

        Does nothing on a cluster of one node. To be called while the cluster is connected.

        Raises:
            ConfigError: Some nodes cannot, or do not answer.
        """
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        if sum(node["Alive"] for node in ray.nodes()) == 1:
            return
        try:
            with self._probe() as probe:
                wrong = _ask(nodes, probe)
        except OSError as error:
            raise ConfigError(f"--storage-path {self.uri}: cannot be written ({_line(error)})") from None
        if wrong:
            raise ConfigError(
                f"--storage-path {self.uri}: {len(wrong)} of {len(nodes)} nodes cannot keep trials' files "
                f"there: {a_few(wrong)}; give --storage-path a folder that all nodes "
                "share, or s3://…"
            )

    def checkpoint(self, relative: str) -> tune.Checkpoint:
        """A checkpoint folder by its path inside the storage.

        Raises:
            StudyFolderError: The path leaves the storage, as it is written or by a link.
        """
        filesystem, path = self._open()
        try:
            validate_checkpoint_path(relative)
            outside = not relative or _leaves(filesystem, path, relative)
        except ValueError:
            outside = True
        if outside:
            raise StudyFolderError(
                f"the checkpoint {relative!r} lies outside of the trials' storage; it is not read"
            )
        return tune.Checkpoint(f"{path}/{relative}", filesystem)

    def prune(self, keep: Set[str]) -> int:
        """Removes checkpoints that nothing refers to any more.

        Args:
            keep: Those to keep, as `session_1/trial_0003/checkpoint_000002`.

        Returns:
            How many were removed.
        """
        filesystem, path = self._open()
        here = pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
        found = (info.path.removeprefix(f"{path}/") for info in filesystem.get_file_info(here))
        dropped = {relative for relative in found if _is_checkpoint(relative) and relative not in keep}
        for relative in dropped:
            if _leaves(filesystem, path, relative):
                continue
            filesystem.delete_dir(f"{path}/{relative}")
        return len(dropped)

    @contextmanager
    def _probe(self) -> Iterator[Storage]:
        """A folder of its own in the storage, with a file of the driver; leaves nothing behind."""
        probe = Storage(_below(self.uri, f".probe_{uuid.uuid4().hex}"))
        filesystem, path = probe._open()
        there = Path(path).parent
        new = (
            [] if "://" in self.uri else [folder for folder in (there, *there.parents) if not folder.exists()]
        )
        try:
            filesystem.create_dir(path, recursive=True)
            _write(filesystem, f"{path}/driver")
            yield probe
        finally:
            if filesystem.get_file_info(path).type == pyarrow.fs.FileType.Directory:
                filesystem.delete_dir(path)
            for folder in new:
                with suppress(OSError):  # never made, or in use by now
                    folder.rmdir()

    def _open(self) -> tuple[pyarrow.fs.FileSystem, str]:
        """The file system, and the folder's path in it."""
        filesystem, path = pyarrow.fs.FileSystem.from_uri(self.uri)
        return filesystem, path.rstrip("/")


def _make(uri: str) -> bool:
    """Makes a folder and tries it; returns whether it held anything."""
    filesystem, path = pyarrow.fs.FileSystem.from_uri(uri)
    filesystem.create_dir(path, recursive=True)
    if filesystem.get_file_info(pyarrow.fs.FileSelector(path)):
        return True
    probe = f"{path.rstrip('/')}/.probe"
    _write(filesystem, probe)
    try:
        if not _holds(filesystem, probe):
            raise OSError("what was written there cannot be read")
    finally:
        filesystem.delete_file(probe)
    return False


def _within_patience(uri: str) -> bool:
    """`_make` in a process that can be ended: a server that never answers would hold this one for ever."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(_make, (uri,)).get(_PATIENCE)


def _below(uri: str, name: str) -> str:
    """The same place's folder of this name."""
    path, mark, query = uri.partition("?") if "://" in uri else (uri, "", "")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def _leaves(filesystem: pyarrow.fs.FileSystem, path: str, relative: str) -> bool:
    """Whether a link leads from inside a folder out of it; object stores have none."""
    if not isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return False
    return not Path(path, relative).resolve().is_relative_to(Path(path).resolve())


def _is_checkpoint(relative: str) -> bool:
    parts = relative.split("/")
    kinds = ("session_", "trial_", "checkpoint_")
    return len(parts) == len(kinds) and all(map(str.startswith, parts, kinds))


def _write(filesystem: pyarrow.fs.FileSystem, path: str, content: bytes = _PROBE) -> None:
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def _holds(filesystem: pyarrow.fs.FileSystem, path: str, content: bytes = _PROBE) -> bool:
    if filesystem.get_file_info(path).type != pyarrow.fs.FileType.File:
        return False
    with filesystem.open_input_stream(path) as stream:
        return bool(stream.read(len(content) + 1) == content)


def _ask(nodes: list[dict[str, Any]], probe: Storage) -> list[str]:
    """Has nodes visit a folder; returns those that cannot, with the reason."""
    visit = ray.remote(num_cpus=0, max_retries=0)(_visit)
    asked = {
        visit.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            probe, node["NodeID"]
        ): f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
        for node in nodes
    }
    _, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE)
    wrong = []
    for answer, name in asked.items():
        if answer in silent:
            ray.cancel(answer, force=True)
            wrong.append(f"{name}: no answer within {_PATIENCE:.0f} s")
            continue
        try:
            reason = ray.get(answer)
        except ray.exceptions.RayError as error:
            reason = _line(error)
        if reason:
            wrong.append(f"{name}: {reason}")
    return wrong


def _visit(probe: Storage, node: str) -> str:
    """Runs on a node; returns what is wrong there, or nothing."""
    try:
        filesystem, path = probe._open()
        if not _holds(filesystem, f"{path}/driver"):
            return "does not see the driver's files"
        _write(filesystem, f"{path}/{node}")
        if not _holds(filesystem, f"{path}/{node}"):
            return "does not find what it wrote"
    except (OSError, ValueError) as error:
        return _line(error)
    return ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
