"""What trials reported of their epochs, from Ray's result files, wherever they lie."""

from __future__ import annotations

from sa_study.export.trials import Epochs, is_figure
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.result_files import ResultRows, is_number


def read_epochs(folder: StudyFolder, config: StudyConfig) -> tuple[Epochs, str]:
    """Reads all results; of an epoch that was run again the last one counts, as in the database.

    Returns:
        The figures, and what could not be read, in words; then the database's are all there is.
    """
    epochs: Epochs = {}
    place = config.storage_path or str(folder.trials)
    try:
        files = ResultRows(place)
        for session in files.sessions():
            for number in files.trials(session):
                for row in files.of_trial(session, number):
                    if row.epoch:
                        figures = {
                            name: float(v)
                            for name, v in row.values.items()
                            if is_figure(name) and is_number(v)
                        }
                        epochs.setdefault(number, {})[row.epoch] = figures
    except (OSError, ValueError) as error:
        return epochs, f"{place}: cannot be read ({' '.join(str(error).split())[:200]})"
    return epochs, "" if epochs else f"{place}: holds no results"
