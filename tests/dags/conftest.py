"""DAGs belong to the orchestrator environment: these tests run its Python on small scripts, and judge the output."""

import json
import os
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from json_server import json_server

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="session")
def in_airflow(airflow_home: Path) -> Iterator[Callable[..., Any]]:
    """Run a script with dags/ on its path; return the JSON in its last line, or the CompletedProcess.

    A script starts as a fork of a process that has imported Airflow, unless it sets variables of Airflow's own, which
    that import reads.
    """
    if not PYTHON.exists():
        pytest.fail(f"the orchestrator environment is missing ({PYTHON}): run `make setup`")
    base = {key: value for key, value in os.environ.items() if not key.startswith(("PAGEFLIP_", "AIRFLOW", "PYTHON"))}
    base |= {
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT / "dags"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [PYTHON, Path(__file__).with_name("airflow_forks.py")]
    server = subprocess.Popen(command, env=base, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fork(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
        files = {name: airflow_home / f"script.{name}" for name in ("stdout", "stderr")}
        for file in files.values():
            file.write_bytes(b"")
        job = {"code": code, "environment": environment, **{name: str(file) for name, file in files.items()}}
        print(json.dumps(job), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        texts = (file.read_text(encoding="utf-8") for file in files.values())
        return subprocess.CompletedProcess(code, status, *texts)

    def run(script: str, *, check: bool = True, **environment: str) -> Any:
        env, code = base | environment, textwrap.dedent(script)
        if any(key.startswith("AIRFLOW") for key in environment):
            command = [PYTHON, "-c", code]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
        else:
            done = fork(code, env)
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    yield run
    server.stdin.close()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def webhook() -> Iterator[tuple[str, list[dict]]]:
    """A web server that keeps what is posted to it: its address, and the list."""
    posted: list[dict] = []

    def answer(method: str, path: str, given: Any) -> tuple[int, None]:
        posted.append(given)
        return 204, None

    with json_server(answer) as address:
        yield f"{address}/hook", posted


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A pipeline of the system's shape, with a matrix and a stage that needs a GPU."""
    (tmp_path / "params.yaml").write_text("train:\n  models: [cnn, vit]\n", encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(
        textwrap.dedent("""
            stages:
              prepare:
                cmd: x
                deps: [data/raw]
                outs: [data/frames]
                meta: {timeout_minutes: 5}
              train:
                desc: Train ${item.model}.
                matrix:
                  model: ${train.models}
                cmd: x ${item.model}
                deps: [data/frames/pack.npy]
                outs: ["models/${item.model}"]
                meta: {gpu: 2}
              promote:
                cmd: x
                deps: [models]
                outs: [reports/promotion.json]
        """),
        encoding="utf-8",
    )
    return tmp_path
