"""Where Ray keeps the trials' files: in the study's folder, or a place that all nodes reach."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.fs
from ray import tune

from sa_study.errors import ConfigError
from sa_study.study.folder import StudyFolder


@dataclass(frozen=True)
class Storage:
    """A folder on a pyarrow file system, named by a path or URI.

    Attributes:
        uri: Absolute path, or a URI such as `s3://bucket/studies/one`.
    """

    uri: str

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
            filesystem, path = pyarrow.fs.FileSystem.from_uri(self.uri)
            filesystem.create_dir(path, recursive=True)
            taken = filesystem.get_file_info(pyarrow.fs.FileSelector(path))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"--storage-path {self.uri}: cannot be written ({reason})") from None
        if taken:
            raise ConfigError(f"--storage-path {self.uri}: is not empty; give each study a folder of its own")

    def checkpoint(self, relative: str) -> tune.Checkpoint:
        """A checkpoint folder by its path inside the storage."""
        filesystem, path = pyarrow.fs.FileSystem.from_uri(self.uri)
        return tune.Checkpoint(f"{path}/{relative}", filesystem)
