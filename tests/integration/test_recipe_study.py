"""A study whose trials use every setting of docs/recipe.md, in all that is done with a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState
from recipe_cases import CASES
from study_processes import METRIC, TINY, run, run_here, trials_of

from sa_study.data.sample import make_sample_data

SPACE = {
    "search": {"label_smoothing": {"type": "categorical", "choices": [0.0, 0.1]}},
    "fixed": {**TINY, "epochs": 2, "batch_size": 16, **CASES["all"]},
    "baseline": {"label_smoothing": 0.0},
    "sampler": "grid",
    "scheduler": {"name": "none"},
    "trials": 2,
}


def test_a_study_of_todays_recipe_is_audited_reproduced_confirmed_and_exported(tmp_path: Path) -> None:
    data = make_sample_data(tmp_path / "data", identities=16, images_per_camera=2)
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    study = tmp_path / "study"
    run("tune", "--data-dir", data, "--study", study, "--space", tmp_path / "space.yaml")
    trials = trials_of(study)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert "no contradictions" in run_here("audit", "--study", study)
    for trial in trials:
        words = ("reproduce", "--study", study, "--trial", str(trial.number), "--json")
        found = json.loads(run_here(*words))
        assert (found["result"], found["weights"]) == ("equal", "equal")
    confirmed = json.loads(run("confirm", "--study", study, "--top", "1", "--seeds", "2", "--json"))
    baseline, leader = confirmed["configurations"]
    assert (baseline["trial"], leader["trial"]) == (0, 1)
    assert [trial.state for trial in trials_of(study / "confirm")] == [TrialState.COMPLETE] * 4
    assert leader["difference"][METRIC]["mean"] == pytest.approx(
        leader["figures"][METRIC]["mean"] - baseline["figures"][METRIC]["mean"], abs=1e-9
    )
    assert "features.onnx" in run_here("export", "--study", study, "--formats", "onnx,trials")
