"""MLflow: runs tagged with a key, by which a later launch finds them again; trials nested in their study."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from sa_study.metrics import names
from sa_study.trackers.tracker import REQUEST_SECONDS, LoggedEpoch, RunDescription, bypass_proxies
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import expand_home
from sa_study.utils.text import holds_secret

_SERVERS = ("http", "https")
_DATABASES = ("postgresql", "mysql", "mssql")
_DATABRICKS = "databricks"
_EXPECTED = (
    "expected http://HOST:PORT (or https), sqlite:///FILE, postgresql://, mysql:// or mssql://HOST/DATABASE, "
    "or databricks"
)
_SQLITE = "sqlite:///"
_DEFAULT_FILE = "mlflow.db"  # MLflow's own default, in the current folder: `mlflow ui` there shows it
_DEFAULT_EXPERIMENT = "sa-study"

_KEY, _STUDY, _STATE = "sa_study.key", "sa_study.study", "sa_study.state"
"""Tags of a run: its key, its study's key, and its state in this program's words."""

_ENDED = ("COMPLETE", "PRUNED", "FAIL")
_STATUS = {"FAIL": "FAILED", "PAUSED": "SCHEDULED"}  # MLflow's words for states; `FINISHED` for the others
_MAX_METRICS = 1000  # maximum number of values that MLflow takes at once
_MAX_PARAM_CHARACTERS = 500

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{REQUEST_SECONDS:.0f}",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # what was not sent is sent later
}
"""Environment variables that MLflow reads, where the user has not set them."""


class MlflowTracker:
    """A connection to an MLflow server or database; a `Tracker`."""

    PACKAGE: ClassVar[str] = "mlflow"

    def __init__(self, target: str, folder: str):
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        if target.startswith(_SQLITE):
            os.chdir(Path(target.removeprefix(_SQLITE)).parent)  # MLflow makes its folder of artifacts here
        if target.startswith(_SERVERS):
            bypass_proxies(target)
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=target)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _DEFAULT_EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        self._experiment = str(found.experiment_id if found else self._client.create_experiment(name))
        self._parents: dict[str, str] = {}

    @staticmethod
    def resolve(target: str) -> str:
        """A URI in full: the given one, MLFLOW_TRACKING_URI, or a SQLite file in the current folder."""
        given = target or os.environ.get("MLFLOW_TRACKING_URI", "")
        source = "" if target or not given else "MLFLOW_TRACKING_URI: "
        uri = given or f"{_SQLITE}{_DEFAULT_FILE}"
        if uri.startswith(_SQLITE) and (file := uri.removeprefix(_SQLITE)) and "?" not in file:
            path = expand_home(file).absolute()
            if not path.parent.is_dir() or path.is_dir():
                raise ConfigError(f"{source}{path}: no file can be made there")
            return f"{_SQLITE}{path}"
        try:
            parts = urlsplit(uri)
            usable, user = parts.hostname and parts.port != 0, parts.username is not None
        except ValueError:  # a port that is no number
            raise ConfigError(f"{source}{_EXPECTED}") from None
        kind = parts.scheme.partition("+")[0]
        if holds_secret(parts) or (user and kind not in _DATABASES) or uri.count("@") > 1:
            raise ConfigError(
                f"{source}holds credentials; leave them to MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN, or a database's password file"
            )
        if uri != _DATABRICKS and not (kind in (*_SERVERS, *_DATABASES, _DATABRICKS) and usable):
            raise ConfigError(f"{source}{_EXPECTED}")
        return uri

    def open(self, run: RunDescription) -> _MlflowRun:
        """The run with this key, found by its tag, else made."""
        known = next(self._runs(f"tags.`{_KEY}` = '{run.key}'"), None)
        if known is None:
            tags = {_KEY: run.key, _STUDY: run.study or run.key, "mlflow.source.name": _DEFAULT_EXPERIMENT}
            if run.study:
                tags["mlflow.parentRunId"] = self._parents[run.study]
            known = self._client.create_run(
                self._experiment, start_time=_milliseconds(run.started), tags=tags, run_name=run.name
            )
        elif known.info.status != "RUNNING":
            self._client.update_run(known.info.run_id, status="RUNNING")
        self._parents[run.key] = known.info.run_id
        opened = _MlflowRun(self._client, known)
        opened.describe(run)
        return opened

    def ended(self, study: str) -> set[str]:
        """Keys of the study's runs whose state is one that they end in."""
        runs = self._runs(f"tags.`{_STUDY}` = '{study}'")
        return {run.data.tags[_KEY] for run in runs if run.data.tags.get(_STATE) in _ENDED}

    def _runs(self, condition: str) -> Iterator[Any]:
        """The runs of the experiment, all pages."""
        token = None
        while True:
            page = self._client.search_runs([self._experiment], condition, page_token=token)
            yield from page
            if not (token := page.token):
                return


class _MlflowRun:
    """A run in MLflow; a `TrackedRun`."""

    def __init__(self, client: Any, run: Any):
        self._client = client
        self._id = run.info.run_id
        self._params = run.data.params
        self.epoch = int(run.data.metrics.get(names.EPOCH, 0))

    def describe(self, run: RunDescription) -> None:
        """Sends settings that the run lacks (MLflow lets none be changed), and the links."""
        from mlflow.entities import Param

        params = [
            Param(name, str(value)[:_MAX_PARAM_CHARACTERS])
            for name, value in run.params.items()
            if name not in self._params
        ]
        self._client.log_batch(self._id, params=params, tags=_tags("RUNNING", run.links))

    def log(self, epochs: Sequence[LoggedEpoch]) -> None:
        """Sends epochs, each with all its values at once."""
        from mlflow.entities import Metric

        batch: list[Metric] = []
        for epoch in epochs:
            values = {**epoch.figures, names.EPOCH: float(epoch.number)}
            when = _milliseconds(epoch.time)
            metrics = [Metric(tag, value, when, epoch.number) for tag, value in values.items()]
            if len(batch) + len(metrics) > _MAX_METRICS:
                self._send(batch)
                batch = []
            batch += metrics
        self._send(batch)

    def close(self, state: str, best: Mapping[str, float], links: Mapping[str, str]) -> None:
        """Sends the best epoch's figures, the links and the state, and ends the run."""
        from mlflow.entities import Metric

        step = int(best.get(f"best/{names.EPOCH}", 0))
        metrics = [Metric(tag, value, 0, step) for tag, value in best.items()]  # the same each time
        self._client.log_batch(self._id, metrics=metrics, tags=_tags(state, links))
        status = _STATUS.get(state, "FINISHED")
        if state in _ENDED:
            self._client.set_terminated(self._id, status)
        else:
            self._client.update_run(self._id, status=status)

    def _send(self, metrics: Sequence[Any]) -> None:
        if metrics:
            self._client.log_batch(self._id, metrics=metrics)
            self.epoch = max(metric.step for metric in metrics)


def _tags(state: str, links: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    tags = {_STATE: state, **{f"sa_study.{name}": link for name, link in links.items()}}
    return [RunTag(name, value) for name, value in tags.items()]


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)
