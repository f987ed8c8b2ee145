"""MLflow as the system uses it, on a real database: runs, versions, aliases, and what may be loaded."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from io import BytesIO

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.base.files import sha256_of
from pageflip.frames.pixels import decode_image
from pageflip.registry import client, registration, tracking, versions
from pageflip.registry.loading import load_predictor
from pageflip.registry.promotion import promote_version
from pageflip.registry.tracking import TrainingRun
from pageflip.registry.versions import find_version, get_version

NAME = "pageflip"
WEIGHTS = "ab" * 32


def begin(key="k"):
    return TrainingRun(key=key, name="train cnn", params={"fit": {"epochs": 3}, "seed": 7}, tags={"git_revision": "r1"})


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "history.json").write_text("{}")
    return folder


def artifacts(run_id, folder):
    return [entry.path for entry in client.client().list_artifacts(run_id, folder)]


def test_a_training_leaves_params_epochs_and_files_in_one_finished_run(mlflow_home, trained):
    run = begin()
    for epoch, loss in enumerate((0.7, 0.4)):
        run.log_epoch({"epoch": epoch, "train_loss": loss, "val_f1": 0.5})
    run.finish(weights_sha256=WEIGHTS, folder=trained)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"fit.epochs": "3", "seed": "7"}
    assert found.data.tags["git_revision"] == "r1"
    history = client.client().get_metric_history(run.run_id, "train_loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.7), (1, 0.4)]
    assert artifacts(run.run_id, "training") == ["training/config.json", "training/history.json"]


def test_a_failed_or_killed_training_goes_on_in_the_run_it_began(mlflow_home, trained):
    first = begin()
    first.log_epoch({"epoch": 0, "train_loss": 0.7})
    first.fail()
    assert client.get_run(first.run_id).info.status == "FAILED"
    second = begin()  # and is killed before it can say so
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "RUNNING"
    third = begin()
    third.log_epoch({"epoch": 1, "train_loss": 0.5})
    third.finish(weights_sha256=WEIGHTS, folder=trained)
    assert third.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "FINISHED"
    assert len(client.client().get_metric_history(first.run_id, "train_loss")) == 2


def test_other_trainings_and_finished_ones_get_runs_of_their_own(mlflow_home, trained):
    first = begin()
    assert begin("another").run_id != first.run_id
    first.finish(weights_sha256=WEIGHTS, folder=trained)
    assert begin().run_id != first.run_id


def test_an_evaluation_is_logged_to_the_run_that_trained_the_weights(mlflow_home, trained):
    run, other = begin(), begin("another")
    run.finish(weights_sha256=WEIGHTS, folder=trained)
    other.finish(weights_sha256="cd" * 32, folder=trained)
    assert tracking.log_evaluation(weights_sha256=WEIGHTS, metrics={"f1": 0.75}, folder=trained) == run.run_id
    assert client.get_run(run.run_id).data.metrics["test_f1"] == 0.75
    assert "evaluation/config.json" in artifacts(run.run_id, "evaluation")
    assert tracking.log_report(weights_sha256=WEIGHTS, folder=trained) == run.run_id
    assert "report/config.json" in artifacts(run.run_id, "report")
    assert "test_f1" not in client.get_run(other.run_id).data.metrics


def test_an_evaluation_of_weights_that_the_server_never_saw_gets_one_run(mlflow_home, trained):
    one, two = (
        tracking.log_evaluation(weights_sha256=WEIGHTS, metrics={"f1": value}, folder=trained) for value in (0.5, 0.6)
    )
    assert one == two
    found = client.get_run(one)
    assert found.data.tags["pageflip.restored"] == "true"
    assert (found.info.status, found.data.metrics["test_f1"]) == ("FINISHED", 0.6)


@pytest.fixture
def register(mlflow_home, write_package, tmp_path):
    """Register a model; return its version and package."""

    def run(lock="", **facts):
        package = write_package(tmp_path / f"package-{len(list(tmp_path.iterdir()))}", **facts)
        return package, registration.register_version(
            NAME, package, weights_sha256=WEIGHTS, tags={"network": "x"}, lock=lock, pip_requirements=["numpy"]
        )

    return run


def test_the_same_file_is_registered_once_and_stays_candidate(register, mlflow_home):
    package, version = register(middle=100.0)
    again, same = register(middle=100.0)
    assert (package != again, version, same) == (True, "1", "1")
    assert find_version(NAME, sha256_of(package / "model.onnx")) == "1"
    assert find_version(NAME, "00" * 32) is None
    assert versions.aliases(NAME, "1") == ["candidate"]

    _, second = register(middle=101.0, lock="schema: '2.0'\n")
    assert second == "2"
    assert versions.aliases(NAME, "1") == []
    assert versions.aliases(NAME, "2") == ["candidate"]
    found = get_version(NAME, "2")
    assert (found.tags["network"], found.tags[versions.WEIGHTS]) == ("x", WEIGHTS)
    assert client.read_run_text(found.run_id, "lineage/dvc.lock") == "schema: '2.0'\n"
    assert client.read_run_text(found.run_id, "lineage/nothing") is None


def test_the_alias_champion_moves_and_previous_keeps_the_one_before(models_home):
    assert get_version(NAME, "champion") is None
    promote_version(NAME, "1", why="the first")
    assert (get_version(NAME, "champion").version, get_version(NAME, "previous")) == (1, None)
    promote_version(NAME, "2", why="better")
    assert [str(get_version(NAME, alias).version) for alias in ("champion", "previous")] == ["2", "1"]
    promote_version(NAME, "2", why="once more")
    assert [str(get_version(NAME, alias).version) for alias in ("champion", "previous")] == ["2", "1"]
    assert versions.aliases(NAME, "1") == ["previous"]


@pytest.mark.parametrize("wanted", ["9", "nobody", "0"])
def test_a_version_that_is_not_there_is_none(models_home, wanted):
    assert get_version(NAME, wanted) is None
    assert get_version("another model", wanted) is None


def test_predictors_load_by_alias_number_and_path(models_home, registered_database):
    promote_version(NAME, "3", why="test")
    champion = load_predictor("champion")
    assert (champion.name, champion.version, champion.threshold) == (NAME, "3", 0.6)
    assert load_predictor("1").threshold == 0.5
    path = registered_database.parent / "package-1" / "model.onnx"
    plain = load_predictor(str(path))
    assert (plain.name, plain.version) == ("model.onnx", None)


def test_day_zero_is_loaded_by_its_name_and_by_its_version_without_a_server(dead_server):
    named = load_predictor("day-zero", "some-name")
    assert named.name == "some-name"
    assert named.version.startswith("day-zero-")
    assert load_predictor(named.version, "some-name").version == named.version


def test_day_zero_stands_in_until_there_is_a_champion_and_that_is_said(models_home, capsys):
    version = load_predictor("day-zero").version
    assert capsys.readouterr().err == ""
    stand_in = load_predictor("champion")
    assert (stand_in.name, stand_in.version) == (NAME, version)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{NAME} has no champion yet: {version} stands in")
    promote_version(NAME, "1", why="test")
    assert load_predictor("champion").version == "1"
    assert capsys.readouterr().err == ""


def test_what_cannot_be_loaded_is_named_with_a_remedy(models_home):
    with pytest.raises(ConfigError, match=r"no version or alias '9' in sqlite"):
        load_predictor("9")
    with pytest.raises(ConfigError, match="the model day-zero-nothing is not here, but day-zero-"):
        load_predictor("day-zero-nothing")
    with pytest.raises(ConfigError, match=r"there is no model file nowhere\.onnx"):
        load_predictor("nowhere.onnx")


def add_int8(package, write_model, **facts):
    write_model(package / versions.INT8_FILE, **facts)
    return package


def test_the_int8_file_of_a_version_is_loaded_by_its_alias_and_checked_too(mlflow_home, write_package, write_model):
    def register(package):
        return registration.register_version(NAME, package, weights_sha256=WEIGHTS, tags={}, pip_requirements=["numpy"])

    package = write_package(mlflow_home / "p")
    assert register(package) == "1"
    with pytest.raises(ConfigError, match=r"version 1 has no int8 file; its card\.json says why"):
        load_predictor("candidate@int8")
    add_int8(package, write_model, middle=127.0)
    assert [register(package), register(package)] == ["2", "2"]  # the same model.onnx, and more
    quick = load_predictor("candidate@int8")
    assert (quick.name, quick.version) == (NAME, "2@int8")
    assert load_predictor(quick.version).version == "2@int8"
    assert load_predictor("candidate").version == "2"
    (stored,) = (mlflow_home / "mlartifacts").rglob(versions.INT8_FILE)
    write_model(stored, middle=1.0)
    with pytest.raises(DataError, match=r"version 2 has the SHA-256 .*, registered was"):
        load_predictor("2@int8")
    with pytest.raises(ConfigError, match="no variant 'int4' of 2"):
        load_predictor("2@int4")


def stored_model(home):
    (path,) = (home / "mlartifacts").rglob("model.onnx")
    return path


def test_a_file_that_was_changed_in_the_artifact_store_is_refused(register, mlflow_home, write_model):
    register(middle=100.0)
    assert load_predictor("candidate").version == "1"
    write_model(stored_model(mlflow_home), middle=1.0)  # a valid model, but not the one that was registered
    with pytest.raises(DataError, match=r"version 1 has the SHA-256 .*, registered was"):
        load_predictor("candidate")
    stored_model(mlflow_home).unlink()
    with pytest.raises(DataError, match=r"lost model\.onnx of pageflip version 1"):
        load_predictor("candidate")


def test_a_version_without_a_registered_digest_is_refused(models_home):
    client.client().delete_model_version_tag(NAME, "1", versions.ARTIFACT)
    with pytest.raises(DataError, match="registered was None"):
        load_predictor("1")


def jpeg(grey):
    buffer = BytesIO()
    Image.fromarray(np.full((96, 54, 3), grey, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_the_pyfunc_agrees_with_the_predictor_on_jpeg_bytes(models_home, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path)  # MLflow puts the model's own, partial pageflip in front of it
    pictures = [jpeg(grey) for grey in (40, 125, 131, 230)]
    served = mlflow.pyfunc.load_model(f"models:/{NAME}/1").predict(pd.DataFrame({"image": pictures}))
    predictor = load_predictor("1")
    expected = predictor.predict(np.stack([decode_image(picture, 27, 48) for picture in pictures]))
    assert served["probability"].to_numpy() == pytest.approx(expected, abs=1e-7)
    assert served["label"].tolist() == ["notflip", "notflip", "flip", "flip"]


def test_the_pyfunc_serves_with_the_code_that_it_carries(models_home, tmp_path):
    script = """
        import json, sys
        import mlflow, pandas as pd
        model = mlflow.pyfunc.load_model(sys.argv[1])
        rows = model.predict(pd.DataFrame({"image": [bytes.fromhex(sys.argv[2])]}))
        import pageflip
        print(json.dumps([pageflip.__file__, rows["label"].tolist()]))
    """
    client.client()
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), f"models:/{NAME}/1", jpeg(230).hex()]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    place, labels = json.loads(done.stdout.splitlines()[-1])
    assert place.endswith("code/pageflip/__init__.py")
    assert labels == ["flip"]


def test_no_pickle_is_among_the_files_of_a_version(models_home, registered_database):
    files = [path for path in (registered_database.parent / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.name == "model.onnx" for path in files)
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib", ".pt")]


@pytest.fixture
def dead_server(mlflow_home, monkeypatch):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return address


def test_a_server_that_does_not_answer_is_unavailable(dead_server, trained, write_package, tmp_path):
    message = f"MLflow at {dead_server} failed: "
    with pytest.raises(UnavailableError, match=message):
        load_predictor("champion")
    with pytest.raises(UnavailableError, match=message):
        begin()
    with pytest.raises(UnavailableError, match=message):
        tracking.log_evaluation(weights_sha256=WEIGHTS, metrics={}, folder=trained)
    with pytest.raises(UnavailableError, match=message):
        registration.register_version(
            NAME, write_package(tmp_path / "p"), weights_sha256=WEIGHTS, tags={}, pip_requirements=[]
        )


def test_a_training_that_fails_without_a_server_fails_for_its_own_reason(mlflow_home, monkeypatch):
    run = begin()
    monkeypatch.setattr(run, "_client", mlflow.MlflowClient("http://127.0.0.1:1"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run.fail()


def test_an_mlflow_run_names_the_airflow_tasks_that_worked_on_it(mlflow_home, trained, monkeypatch):
    def task(name: str, run: str) -> None:
        told = {"DAG": "retrain", "RUN": run, "TASK": name, "URL": f"http://airflow/{name}"}
        for key, value in told.items():
            monkeypatch.setenv(f"PAGEFLIP_ORCHESTRATOR_{key}", value)

    task("train.cnn", "r1")
    run = begin()
    run.fail()
    task("train.cnn", "r2")
    assert begin().run_id == run.run_id
    run.finish(weights_sha256=WEIGHTS, folder=trained)
    task("evaluate.cnn", "r2")
    tracking.log_evaluation(weights_sha256=WEIGHTS, metrics={"f1": 0.75}, folder=trained)
    tags = client.get_run(run.run_id).data.tags
    assert {key: value for key, value in tags.items() if key.startswith("airflow.")} == {
        "airflow.dag": "retrain",
        "airflow.train.cnn": "r2",
        "airflow.evaluate.cnn": "r2",
        "airflow.url": "http://airflow/evaluate.cnn",
    }
    task("register", "r3")
    client.mark_run(run.run_id)
    assert client.get_run(run.run_id).data.tags["airflow.register"] == "r3"
