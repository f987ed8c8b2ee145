"""A training that is killed goes on, and ends as if nothing had happened."""

import os
import signal
import subprocess

from safetensors.numpy import load_file

from pipeline.conftest import BIN, call, tiny_params, write_params

COMMAND = ["python", "-m", "tasks.train", "--model", "cnn", "--frames", "data/frames", "--split", "data/split"]


def train_and_kill(folder, out, after: str) -> None:
    env = os.environ | {"PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*COMMAND, "--out", out], cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith(after):
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL


def test_a_killed_training_resumes_to_the_same_weights_and_history(fresh):
    params = tiny_params()
    params["train"]["fit"] |= {"epochs": 6, "patience": 6}
    write_params(fresh, params)
    call(fresh, *COMMAND, "--out", "models/whole")
    train_and_kill(fresh, "models/killed", after="train: epoch 3")
    assert not (fresh / "models" / "killed").exists()
    output = call(fresh, *COMMAND, "--out", "models/killed").stdout
    assert "going on from the checkpoint" in output
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
