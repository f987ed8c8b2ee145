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
def in_airflow(airflow_home: Path) -> Callable[..., Any]:
    """Run a script with dags/ on its path; return the JSON in its last line, or the CompletedProcess."""
    if not PYTHON.exists():
        pytest.fail(f"the orchestrator environment is missing ({PYTHON}): run `make setup`")

    def run(script: str, *, check: bool = True, **environment: str) -> Any:
        env = {
            key: value for key, value in os.environ.items() if not key.startswith(("PAGEFLIP_", "AIRFLOW", "PYTHON"))
        }
        env |= {
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(ROOT / "dags"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        code = textwrap.dedent(script)
        done = subprocess.run([PYTHON, "-c", code], env=env, capture_output=True, text=True, check=False, timeout=120)
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


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
