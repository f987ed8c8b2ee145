"""The lineage of a version, from real records of MLflow and of a results folder."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pageflip.base.errors import ConfigError
from pageflip.lineage.trace import trace_version
from pageflip.registry import client, journal, loading, registration, tracking, versions
from pageflip.registry import promotion as registry_promotion
from pageflip.scoring import ledger as scoring_ledger
from pageflip.scoring import results as scoring_results
from pageflip.scoring import uploads
from pageflip.scoring.score import score_upload
from uploads_factory import sequence_model

NAME = "pageflip"
WEIGHTS = "ab" * 32
LOCK = """
schema: '2.0'
stages:
  prepare:
    cmd: python -m tasks.prepare
    params: {params.yaml: {prepare: {width: 27, height: 48}}}
    outs: [{path: data/frames, md5: 0123456789abcdef0123456789abcdef.dir}]
  split:
    cmd: python -m tasks.split
    params: {params.yaml: {split: {unit: clip, shares: {train: 0.6}}}}
    outs: [{path: data/split, md5: fedcba9876543210fedcba9876543210.dir}]
  train@cnn:
    cmd: python -m tasks.train
    params: {params.yaml: {train.seed: 7}}
    outs: [{path: models/trained/cnn, md5: 00112233445566778899aabbccddeeff.dir}]
"""
TAGS = {
    "git_revision": "4" * 40,
    "data_version": "5" * 32 + ".dir",
    "split": "6" * 64,
    "protocol": "clip-disjoint",
    "network": "cnn",
    "threshold": "0.5",
    "metric.f1": "0.875",
}


def airflow(patch, run, task):
    for key, value in {"DAG": "retrain", "RUN": run, "TASK": task, "URL": f"http://airflow/{run}/{task}"}.items():
        patch.setenv(f"PAGEFLIP_ORCHESTRATOR_{key}", value)


@pytest.fixture(scope="module")
def history(empty_database, write_package, tmp_path_factory):
    """The database of two versions that Airflow runs trained and promoted; the second was rolled back by hand."""
    home = tmp_path_factory.mktemp("history")
    shutil.copy(empty_database, home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAGEFLIP_HOME", str(home))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        patch.setenv("MLFLOW_REGISTRY_URI", "")
        for number, middle in (("1", 128.0), ("2", 100.0)):
            make_version(patch, number, write_package(home / f"package-{number}", middle=middle))
        for key in ("DAG", "RUN", "TASK", "URL"):
            patch.delenv(f"PAGEFLIP_ORCHESTRATOR_{key}")
        registry_promotion.roll_back(NAME, reason="false alarms on glossy paper")
    return home / "mlflow.db"


def make_version(patch, number, package):
    airflow(patch, f"run {number}", "train.cnn")
    weights = f"{number:0>64}"
    run = tracking.TrainingRun(key=number, name="train cnn", params={"seed": 7, "fit": {"epochs": 3}}, tags={})
    run.finish(weights_sha256=weights, folder=package)
    airflow(patch, f"run {number}", "register")
    arguments = {"weights_sha256": weights, "tags": TAGS, "lock": LOCK, "pip_requirements": ["numpy"]}
    assert registration.register_version(NAME, package, **arguments) == number
    airflow(patch, f"run {number}", "promote")
    registry_promotion.promote_version(NAME, number, why=f"the figures of {number}", figures={"candidate_f1": 0.875})


@pytest.fixture
def traced(history, mlflow_home):
    """PAGEFLIP_HOME, with an MLflow database that holds the history."""
    shutil.copy(history, mlflow_home / "mlflow.db")
    return mlflow_home


def score(home, version, **greys):
    """Score pictures of even grey with a version."""
    drop = home / "uploads"
    drop.mkdir(exist_ok=True)
    for name, grey in greys.items():
        Image.fromarray(np.full((96, 54, 3), grey, np.uint8)).save(drop / f"{name}.png")
    results, predictor = str(home / "results"), loading.load_predictor(version)
    ledger = scoring_ledger.Ledger(results)
    for found in uploads.find_uploads(str(drop)):
        keywords = {
            "predictor": predictor,
            "model": sequence_model(),
            "results_url": results,
            "ledger": ledger,
            "run": "score 1",
        }
        assert score_upload(found.url, found.kind, found.fingerprint, **keywords).status == scoring_results.SCORED


def test_a_version_is_traced_from_code_and_data_to_its_aliases_and_uploads(traced):
    score(traced, "2", dark=40, bright=220)
    facts = trace_version(NAME, "2")
    json.dumps(facts, allow_nan=False)
    assert list(facts) == [
        *("model", "git_revision", "data_version", "split", "params", "stage_params", "stages", "mlflow_run"),
        *("airflow", "version", "aliases", "alias_history", "scored_uploads"),
    ]
    assert (facts["git_revision"], facts["data_version"]) == (TAGS["git_revision"], TAGS["data_version"])
    assert facts["split"] == {"sha256": "6" * 64, "protocol": "clip-disjoint"}
    assert facts["params"] == {"fit.epochs": "3", "seed": "7"}
    assert facts["stage_params"]["split"] == {"split.unit": "clip", "split.shares.train": 0.6}
    assert facts["stages"]["prepare"] == {"data/frames": "0123456789abcdef0123456789abcdef.dir"}
    assert facts["mlflow_run"]["id"] == versions.get_version(NAME, "2").run_id
    assert facts["airflow"]["runs"] == {"register": "run 2", "train.cnn": "run 2"}
    assert facts["airflow"]["url"] == "http://airflow/run 2/register"
    assert facts["version"]["metrics"] == {"f1": "0.875"}
    assert facts["aliases"] == ["candidate", "previous"]
    uploaded = facts["scored_uploads"]
    assert (uploaded["count"], {one["upload"] for one in uploaded["newest"]}) == (2, {"dark.png", "bright.png"})
    assert {(one["run"], one["frames"], one["flips"], len(one["sha256"])) for one in uploaded["newest"]} == {
        ("score 1", 1, 0, 64)
    }
    assert trace_version(NAME, "1")["scored_uploads"]["count"] == 0


def test_the_alias_history_of_a_version_tells_who_moved_what_and_why(traced):
    history = trace_version(NAME, "2")["alias_history"]
    assert [(m["alias"], m["before"], m["after"], m["kind"], m["airflow_run"]) for m in history["moves"]] == [
        ("candidate", "1", "2", "registration", "run 2"),
        ("champion", "1", "2", "promotion", "run 2"),
        ("champion", "2", "1", "rollback", None),
    ]
    _, promotion, rollback = history["moves"]
    assert (promotion["reason"], promotion["figures"]) == ("the figures of 2", {"candidate_f1": 0.875})
    assert promotion["airflow_url"] == "http://airflow/run 2/promote"
    assert rollback["reason"] == "false alarms on glossy paper"
    assert (history["now"]["champion"], history["notes"]) == ("1", [])


def test_a_move_that_was_cut_short_or_made_outside_is_not_hidden(traced):
    client.client().set_registered_model_alias(NAME, "champion", "2")
    (note,) = trace_version(NAME, "2")["alias_history"]["notes"]
    assert note.startswith("the journal left champion at version 1, and then it pointed to version 2")
    move = journal.Move(journal.new_id(), "champion", "2", "1", "rollback", "test")
    client.client().set_registered_model_tag(NAME, *journal.intent_record(move))
    history = trace_version(NAME, "1")["alias_history"]
    assert history["moves"][-1]["outcome"] is None
    assert "the move of champion to version 1 was begun and not ended; the alias has not moved" in history["notes"]


def test_only_the_newest_uploads_are_named_but_all_are_counted(traced):
    score(traced, "1", one=10, two=120, three=240)
    uploaded = trace_version(NAME, "1", uploads=2)["scored_uploads"]
    assert (uploaded["count"], len(uploaded["newest"])) == (3, 2)
    times = [one["scored_at"] for one in uploaded["newest"]]
    assert times == sorted(times, reverse=True)
    assert trace_version(NAME, "1", uploads=0)["scored_uploads"]["newest"] == []


def test_a_results_store_that_is_away_costs_its_own_lines_only(traced, monkeypatch):
    monkeypatch.setenv("PAGEFLIP_RESULTS", "s3://bucket/results")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    facts = trace_version(NAME, "1")
    assert "s3://bucket" in facts["scored_uploads"]["unavailable"]
    assert facts["alias_history"]["moves"]
    monkeypatch.setenv("PAGEFLIP_RESULTS", "ftp://nowhere")
    assert "is no address of a store" in trace_version(NAME, "1")["scored_uploads"]["unavailable"]


def test_a_version_without_a_lock_says_so(models_home):
    facts = trace_version(NAME, "1")
    assert "holds no lineage/dvc.lock" in facts["stages"]["unavailable"]
    assert (facts["stage_params"], facts["airflow"]) == ({}, {})
    assert facts["mlflow_run"]["restored"] is True


def test_a_version_that_is_not_there_is_a_mistake(models_home):
    with pytest.raises(ConfigError, match="has no version '9'"):
        trace_version(NAME, "9")


# --- the program


def test_the_terminal_shows_the_way_in_order(run, traced):
    score(traced, "2", bright=220)
    code, out, _ = run("lineage", "2")
    assert code == 0
    order = [
        *("git revision: 4444", "data: 5555", "split: 666666666666  clip-disjoint", "params", "stages", "MLflow run"),
        *("Airflow", "version, alias candidate, previous", "alias history", "champion 1 -> 2 (promotion)"),
        *("champion 2 -> 1 (rollback)", "false alarms on glossy paper", "scored uploads", "bright.png: 0 flips in 1"),
    ]
    places = [out.find(text) for text in order]
    assert -1 not in places, [text for text, place in zip(order, places, strict=True) if place < 0]
    assert places == sorted(places)
    assert json.loads(run("lineage", "2", "--json")[1]) == json.loads(run("lineage", "2", "--format", "json")[1])


def test_one_command_rolls_back_and_says_what_it_did(run, traced):
    code, out, _ = run("rollback", "--to", "2", "--reason", "it was the camera")
    assert (code, out) == (0, "rolled back: the champion of pageflip is version 2, previous is 1\n")
    code, out, err = run("rollback", "--to", "2", "--reason", "once more")
    assert (code, out) == (78, "")
    assert "version 2 is the champion of pageflip already" in err
    assert run("rollback")[0] == 2, "a reason must be given"
