"""A study with what its page shows beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from sa_study.report.page.text import short
from sa_study.report.page.trust import Trust, read_trust
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import StudyFolderError


class PageStudy(StudySummary):
    """A study as its page shows it: what is damaged beside the database is left out with a notice."""

    @cached_property
    def trust(self) -> Trust:
        """The section on how far the study's figures can be trusted."""
        return self._findings[0]

    @property
    def notices(self) -> list[str]:
        """A line about each file that is left out."""
        files = [*self.damaged]
        if not self._provenance and self.folder.provenance.exists():
            files.append(self.folder.provenance)
        damaged = [f"{short(path.name)} is left out: it is damaged or cannot be read" for path in files]
        return [*damaged, *self._findings[1]]

    @property
    def fingerprint(self) -> str:
        """Of the training images; empty where it is not recorded."""
        return short(self._provenance.get("data_fingerprint", ""))

    @property
    def launches(self) -> list[Mapping[str, Any]]:
        """Entries of `provenance.json`, one for each launch."""
        return [launch for launch in self._provenance.get("launches", []) if isinstance(launch, dict)]

    @property
    def params(self) -> list[str]:
        """Every searched setting that the space or a trial names."""
        named = [*self.config.space.search, *(name for trial in self.trials for name in trial.params)]
        return list(dict.fromkeys(named))

    @property
    def evaluates_winner(self) -> bool:
        """Whether `evaluation.json` is of the trial that wins now."""
        return "best" in self.current_evaluations

    @property
    def _provenance(self) -> Mapping[str, Any]:
        try:
            return self.provenance
        except StudyFolderError:
            return {}

    @cached_property
    def _findings(self) -> tuple[Trust, list[str]]:
        notices: list[str] = []
        return read_trust(self.folder, notices), notices
