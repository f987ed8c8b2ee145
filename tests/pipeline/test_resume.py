"""Resuming a killed training gives the results of one that was not killed."""

import signal
import sqlite3
import subprocess

import numpy as np
import torch
from safetensors.numpy import load_file

from pageflip.params.all import Params
from pageflip.training.batches import TrainingData
from pageflip.training.loop import train_network
from pageflip.training.recipe import TrainingRecipe
from pipeline.conftest import call, environment, tiny_params, write_params

COMMAND = ["python", "-m", "tasks.train", "--model", "cnn", "--frames", "data/frames", "--split", "data/split"]


def train_and_kill(folder, out, after: str) -> None:
    env = environment() | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*COMMAND, "--out", out], cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith(after):
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL


def test_a_killed_training_resumes_to_the_same_weights_and_history(fresh):
    params = tiny_params()
    params["train"]["fit"] |= {
        "epochs": 6,
        "patience": 6,
        "ema_decay": 0.9,
        "label_smoothing": 0.05,
        "body_learning_rate_share": 0.5,
    }
    write_params(fresh, params)
    call(fresh, *COMMAND, "--out", "models/whole")
    train_and_kill(fresh, "models/killed", after="train: epoch 3")
    assert not (fresh / "models" / "killed").exists()
    output = call(fresh, *COMMAND, "--out", "models/killed").stderr
    assert "resuming from the checkpoint" in output
    assert "train: epoch 0" not in output
    whole, killed = (load_file(fresh / "models" / name / "weights.safetensors") for name in ("whole", "killed"))
    assert all((whole[key] == killed[key]).all() for key in whole)
    histories = [(fresh / "models" / name / "history.json").read_text() for name in ("whole", "killed")]
    assert histories[0] == histories[1]
    assert not list((fresh / ".pageflip" / "runs" / "checkpoints").iterdir())


def test_a_gpu_that_is_asked_for_and_absent_is_an_error_before_anything_is_logged(fresh):
    params = tiny_params()
    params["train"]["fit"]["require_gpu"] = True
    write_params(fresh, params)
    error = call(fresh, *COMMAND, "--out", "models/gpu", expect=78, CUDA_VISIBLE_DEVICES="").stderr
    assert "a GPU is asked for" in error
    assert "pageflip doctor" in error
    with sqlite3.connect(fresh / ".pageflip" / "mlflow.db") as database:
        (runs,) = database.execute("select count(*) from runs").fetchone()
    assert runs == 1  # the one of the reproduced project


def test_a_training_that_stopped_early_stops_at_the_same_epoch_when_it_is_resumed(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (24, 32, 32, 3), dtype=np.uint8)
    part = np.arange(24), (np.arange(24) % 2).astype(np.uint8)
    params = Params.model_validate(tiny_params()).train
    fit = params.fit.model_copy(update={"epochs": 12, "patience": 1, "learning_rate": 1e-9, "accelerator": "cpu"})

    def train() -> tuple:
        recipe = TrainingRecipe("cnn", {"channels": (4,), "dropout": 0.0}, fit, params.augment, seed=1)
        data, checkpoints = TrainingData(frames, part, part), str(tmp_path / "checkpoints")
        return train_network(data, recipe, checkpoints=checkpoints, on_epoch=lambda record: None)

    first_network, first = train()
    again_network, again = train()
    assert len(first["epochs"]) < 12
    assert again == first
    state = again_network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first_network.state_dict().items())


def test_a_checkpoint_that_cannot_be_read_is_deleted_and_training_restarts(fresh):
    call(fresh, *COMMAND, "--out", "models/first")
    key = training_key_of(fresh)
    broken = fresh / ".pageflip" / "runs" / "checkpoints" / key / "last.ckpt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half of a checkpoint")
    output = call(fresh, *COMMAND, "--out", "models/second").stderr
    assert "cannot be read" in output
    assert "train: epoch 0" in output
    weights = [(fresh / "models" / name / "weights.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


def training_key_of(folder) -> str:
    """The name of the training, as MLflow knows it."""
    with sqlite3.connect(folder / ".pageflip" / "mlflow.db") as database:
        rows = database.execute("select value from tags where key = 'pageflip.training_key'").fetchall()
    return rows[-1][0]


def test_two_processes_train_one_network_that_is_logged_and_kept_once(fresh):
    params = tiny_params()
    params["train"]["fit"] |= {"devices": 2, "strategy": "ddp", "accelerator": "cpu", "epochs": 2}
    write_params(fresh, params)
    output = call(fresh, *COMMAND, "--out", "models/two", OMP_NUM_THREADS="1").stderr
    assert [line.split(":")[1] for line in output.splitlines() if "train loss" in line] == [" epoch 0", " epoch 1"]
    assert output.count("best epoch") == 1
    assert (fresh / "models" / "two" / "weights.safetensors").is_file()
    with sqlite3.connect(fresh / ".pageflip" / "mlflow.db") as database:
        runs = database.execute("select status from runs where name = 'train cnn'").fetchall()
    assert runs == [("FINISHED",)] * 2  # that of the pipeline, and this
