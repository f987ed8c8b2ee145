"""Commands of the base install, in a process that cannot import the packages of the extras."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pageflip.cli.extras import EXTRA_OF
from pageflip.synthetic.video import VideoPlan, write_video
from uploads_factory import picture

# what the extras bring, by the names of imports; torch's and MLflow's own dependencies are blocked with them
BLOCKED = (
    *("torch", "torchvision", "lightning", "mlflow", "dvc", "great_expectations", "pandas", "sklearn", "pyarrow"),
    *("scipy", "boto3", "botocore", "s3fs", "fsspec", "jinja2", "matplotlib", "onnx", "onnxscript", "psutil"),
    *("requests", "safetensors", "supervisor", "threadpoolctl"),
)
PROGRAM = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from pageflip.cli.app import main
main()
"""


@pytest.fixture
def run_base(tmp_path, monkeypatch):
    """Run the program without the extras; outside a project by default."""
    (tmp_path / "outside").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PAGEFLIP_", "MLFLOW_"))}

    def call(*arguments, folder=tmp_path / "outside"):
        command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)

    return call


def test_it_predicts_frames_finds_events_and_writes_stills(run_base, write_model, tmp_path):
    write_video(tmp_path / "book.mp4", VideoPlan(seed=1, book=0, flips=1, width=90, height=160, fps=10))
    model = write_model(tmp_path / "model.onnx")
    for chosen in ([], ["--model", model]):
        folder = tmp_path / f"stills-{len(list(tmp_path.iterdir()))}"
        done = run_base("predict", tmp_path / "book.mp4", "--events", "--stills", folder, "--format", "json", *chosen)
        assert done.returncode == 0, done.stderr
        (facts,) = json.loads(done.stdout)
        assert facts["frames"] > 0
        assert len(list((folder / "book.mp4").iterdir())) == len(facts["stills"]) > 0
    photo = picture(tmp_path / "photo.jpg", 40)
    done = run_base("predict", photo, "--model", "day-zero", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["label"] in ("flip", "notflip")


def test_day_zero_stands_in_for_the_champion_unless_the_user_asks_for_it(run_base, tmp_path):
    photo = picture(tmp_path / "photo.jpg", 40)
    done = run_base("predict", photo)
    assert done.returncode == 0
    assert "there is no champion without the extra `registry`: day-zero-" in done.stderr
    for model in ("champion", "3", "champion@int8"):
        done = run_base("predict", photo, "--model", model)
        assert (done.returncode, done.stdout) == (78, "")
        assert f"--model {model} needs the extra `registry`: pip install 'pageflip[registry]'" in done.stderr


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("synthesize", ["uploads"]),
        ("publish-data", []),
        ("evaluate", ["--data", "."]),
        ("evaluate-videos", ["."]),
        ("benchmark-protocols", []),
        ("lineage", ["champion"]),
        ("rollback", ["--reason", "test"]),
    ],
)
def test_a_command_names_the_extra_it_needs(run_base, tmp_path, command, arguments):
    (tmp_path / "data" / "raw").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    done = run_base(command, *arguments, folder=tmp_path)
    extra = EXTRA_OF[command]
    assert (done.returncode, done.stdout) == (78, "")
    assert f"`pageflip {command}` needs the extra `{extra}`: pip install 'pageflip[{extra}]'" in done.stderr


def test_the_doctor_examines_what_it_can(run_base):
    done = run_base("doctor")
    assert done.returncode == 0, done.stderr
    assert "not examined: torch is not installed" in done.stdout
    assert "no pageflip project" in done.stdout


def test_modules_of_prediction_import_no_training_stack():
    script = "import json, sys, pageflip.cli.app, pageflip.footage.predict, pageflip.events.stream\n"
    script += "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(BLOCKED) & set(json.loads(done.stdout))


def test_the_table_of_extras_is_that_of_the_documentation():
    page = Path(__file__).parents[3] / "docs" / "reference" / "command-line.md"
    rows = [line.split("|")[1:3] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `pag")]
    documented = {command.split()[1].strip("`"): extra.strip(" `") or None for command, extra in rows}
    assert documented == EXTRA_OF
