"""Whether a study's parts tell the same story: the database, Ray's files, TensorBoard's, the checkpoints."""

from __future__ import annotations

import itertools
from pathlib import Path

from sa_study.analysis.audit import checks
from sa_study.analysis.audit.evidence import read_evidence
from sa_study.analysis.audit.replay import check_stopping

_CHECKS = (
    checks.check_numbers,
    checks.check_states,
    checks.check_results,
    checks.check_curves,
    checks.check_checkpoints,
    checks.check_best,
    checks.check_ray,
    checks.check_launches,
    check_stopping,
)


def audit(root: Path) -> list[str]:
    """Looks for contradictions in a study whose trials have all ended; writes nothing.

    Args:
        root: The study's folder.

    Returns:
        A line for each contradiction; none when the study is sound.

    Raises:
        StudyFolderError: The folder holds no study, or its database or description cannot be read.
    """
    evidence = read_evidence(root)
    found = itertools.chain.from_iterable(check(evidence) for check in _CHECKS)
    return [*evidence.unreadable, *found]
