"""Where Ray keeps the trials' files: in the study's folder, or a folder or URI that all nodes reach."""

from __future__ import annotations

import multiprocessing
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs
import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sa_study.study.folder import StudyFolder
from sa_study.utils.errors import ConfigError, StudyFolderError, one_line
from sa_study.utils.text import a_few

_TIMEOUT_SECONDS = 60.0
"""Seconds that a storage, or all nodes together, have to answer; a node first fetches the code."""

_PROBE = b"sa_study"

_CHECKPOINT_FOLDERS = ("session_", "trial_", "checkpoint_")  # how the names begin that lead to a checkpoint
_OWNER = "sa_study_owner"  # file in a storage outside of its study's folder: the study's id


@dataclass(frozen=True)
class Storage:
    """A folder on a pyarrow file system, named by a path or URI.

    Attributes:
        uri: Absolute path, or a URI such as `s3://bucket/studies/one?region=eu-central-1`.
    """

    uri: str

    @classmethod
    def of_study(cls, folder: StudyFolder, storage_path: str | None) -> Storage:
        """The study's own folder, or the one it was given."""
        return cls(storage_path or str(folder.trials))

    def require_free(self) -> None:
        """Creates the folder before any trial starts; ConfigError if it cannot be, or is not empty."""
        with self._named_in_errors():
            taken = _make_within_timeout(self.uri) if "://" in self.uri else _make_folder(self.uri)
        if taken:
            raise ConfigError(f"--storage-path {self.uri}: is not empty; give each study a folder of its own")

    def claim(self, owner: object) -> None:
        """Marks the folder with a study's id, or checks its mark: a launch removes checkpoints there.

        Raises:
            StudyFolderError: The folder holds something, but not this study's mark.
            ConfigError: The folder cannot be reached or written.
        """
        with self._named_in_errors():
            filesystem, path = self._open()
            mark, wanted = f"{path}/{_OWNER}", str(owner).encode()
            if _has_content(filesystem, mark, wanted):
                return
            if not owner or filesystem.get_file_info(pyarrow.fs.FileSelector(path, allow_not_found=True)):
                raise StudyFolderError(
                    f"storage_path {self.uri}: does not hold this study's trials, but other files; "
                    "restore the original storage_path in study.yaml"
                )
            filesystem.create_dir(path, recursive=True)
            _write(filesystem, mark, wanted)

    def require_reachable(self) -> None:
        """Checks that every node that can run a trial can read what this process writes here, and write.

        Does nothing on a cluster of one node. To be called while the cluster is connected.

        Raises:
            ConfigError: A node cannot, or does not answer.
        """
        alive = [node for node in ray.nodes() if node["Alive"]]
        if len(alive) == 1:
            return
        nodes = [node for node in alive if node["Resources"].get("CPU")]
        with self._named_in_errors(), self._probe() as probe:
            wrong = _ask_nodes(nodes, probe)
        if wrong:
            raise ConfigError(
                f"--storage-path {self.uri}: {len(wrong)} of {len(nodes)} nodes cannot keep trials' files "
                f"there: {a_few(wrong)}; give --storage-path a folder that all nodes share, or s3://…"
            )

    def checkpoint(self, relative: str) -> tune.Checkpoint:
        """A checkpoint folder by its path inside the storage; StudyFolderError if that leads out of it."""
        filesystem, path = self._open()
        if not relative or _leads_out(filesystem, path, relative):
            raise StudyFolderError(
                f"the checkpoint {relative!r} lies outside of the trials' storage; it is not read"
            )
        return tune.Checkpoint(f"{path}/{relative}", filesystem)

    def prune(self, keep: Set[str]) -> int:
        """Removes all checkpoints but these paths, such as `session_1/trial_0003/checkpoint_000002`.

        Returns:
            How many were removed.
        """
        dropped = self.checkpoint_sizes().keys() - keep
        self.remove(dropped)
        return len(dropped)

    def checkpoint_sizes(self) -> dict[str, int]:
        """The bytes of each checkpoint, by its path."""
        filesystem, path = self._open()
        here = pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
        sizes: Counter[str] = Counter()
        for info in filesystem.get_file_info(here):
            checkpoint = "/".join(info.path.removeprefix(f"{path}/").split("/")[: len(_CHECKPOINT_FOLDERS)])
            if _is_checkpoint(checkpoint):
                sizes[checkpoint] += info.size or 0
        return dict(sizes)

    def remove(self, checkpoints: Iterable[str]) -> None:
        """Removes checkpoints; one that leads out of the storage by a link is left alone."""
        filesystem, path = self._open()
        for relative in checkpoints:
            if not _leads_out(filesystem, path, relative):
                filesystem.delete_dir(f"{path}/{relative}")

    @contextmanager
    def _probe(self) -> Iterator[Storage]:
        """A new folder in the storage, with a file of this process; both are removed afterwards."""
        path, mark, query = self.uri.partition("?") if "://" in self.uri else (self.uri, "", "")
        probe = Storage(f"{path.rstrip('/')}/.probe_{uuid.uuid4().hex}{mark}{query}")
        filesystem, path = probe._open()
        parents = [] if "://" in self.uri else Path(path).parents
        new = [folder for folder in parents if not folder.exists()]
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

    @contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        """Turns errors of the file system into one line that names the storage."""
        try:
            yield
        except multiprocessing.TimeoutError:
            raise ConfigError(
                f"--storage-path {self.uri}: gives no answer within {_TIMEOUT_SECONDS:.0f} s"
            ) from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"--storage-path {self.uri}: cannot be written ({one_line(error)})") from None

    def _open(self) -> tuple[pyarrow.fs.FileSystem, str]:
        """The file system, and the folder's path in it."""
        filesystem, path = pyarrow.fs.FileSystem.from_uri(self.uri)
        return filesystem, path.rstrip("/")


def _make_folder(uri: str) -> bool:
    """Makes a folder and writes and reads a file in it; returns whether it held anything before."""
    filesystem, path = Storage(uri)._open()
    filesystem.create_dir(path, recursive=True)
    if filesystem.get_file_info(pyarrow.fs.FileSelector(path)):
        return True
    probe = f"{path}/.probe"
    _write(filesystem, probe)
    try:
        if not _has_content(filesystem, probe):
            raise OSError("a file written there cannot be read back")
    finally:
        filesystem.delete_file(probe)
    return False


def _make_within_timeout(uri: str) -> bool:
    """`_make_folder` in a process that can be ended, as a server that never answers would hold this one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(_make_folder, (uri,)).get(_TIMEOUT_SECONDS)


def _leads_out(filesystem: pyarrow.fs.FileSystem, path: str, relative: str) -> bool:
    """Whether a path below a folder leads out of it, by itself or by a link; object stores have no links."""
    if not isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return False
    return not Path(path, relative).resolve().is_relative_to(Path(path).resolve())


def _is_checkpoint(relative: str) -> bool:
    parts = relative.split("/")
    return len(parts) == len(_CHECKPOINT_FOLDERS) and all(map(str.startswith, parts, _CHECKPOINT_FOLDERS))


def _write(filesystem: pyarrow.fs.FileSystem, path: str, content: bytes = _PROBE) -> None:
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def _has_content(filesystem: pyarrow.fs.FileSystem, path: str, content: bytes = _PROBE) -> bool:
    if filesystem.get_file_info(path).type != pyarrow.fs.FileType.File:
        return False
    with filesystem.open_input_stream(path) as stream:
        return bool(stream.read(len(content) + 1) == content)


def _ask_nodes(nodes: list[dict[str, Any]], probe: Storage) -> list[str]:
    """Runs `_check_on_node` on nodes; returns those that cannot use the folder, with the reason."""
    visit = ray.remote(num_cpus=0, max_retries=0)(_check_on_node)
    asked = {
        visit.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            probe, node["NodeID"]
        ): f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
        for node in nodes
    }
    _, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_TIMEOUT_SECONDS)
    wrong = []
    for answer, name in asked.items():
        if answer in silent:
            ray.cancel(answer, force=True)
            reason = f"no answer within {_TIMEOUT_SECONDS:.0f} s"
        else:
            try:
                reason = ray.get(answer)
            except ray.exceptions.RayError as error:
                reason = one_line(error)
        if reason:
            wrong.append(f"{name}: {reason}")
    return wrong


def _check_on_node(probe: Storage, node: str) -> str:
    """Runs on a node; returns what is wrong there, or nothing."""
    try:
        filesystem, path = probe._open()
        if not _has_content(filesystem, f"{path}/driver"):
            return "does not see the driver's files"
        _write(filesystem, f"{path}/{node}")
        if not _has_content(filesystem, f"{path}/{node}"):
            return "does not find what it wrote"
    except (OSError, ValueError) as error:
        return one_line(error)
    return ""
