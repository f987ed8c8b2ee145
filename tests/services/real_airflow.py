"""An Airflow of a test's own, with its real scheduler: the one of `make up`, told otherwise by the environment."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml

from pageflip.local_stack import supervisor
from pageflip.local_stack.airflow_client import AirflowClient
from pageflip.local_stack.supervisor import Running
from pipeline.conftest import OURS, ROOT, call

STAGES = ("prepare", "validate", "split", "train@cnn", "evaluate@cnn", "report@cnn", "register", "promote")
# nobody is asked where approval is automatic
ALL_WELL = {**dict.fromkeys(STAGES, "success"), "approve_promotion": "skipped"}
ORCHESTRATOR = ROOT / ".venv-airflow"
needs_orchestrator = pytest.mark.skipif(
    not (ORCHESTRATOR / "bin" / "airflow").exists(), reason="the orchestrator environment is missing (make setup)"
)


@contextmanager
def airflow(project: Path, home: Path, extra: Mapping[str, str]) -> Iterator[tuple[AirflowClient, Running]]:
    """Airflow for the DAGs of `project`, with its state in `home`, while the block lasts."""
    if not (project / ".venv-airflow").exists():
        (project / ".venv-airflow").symlink_to(ORCHESTRATOR)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(OURS)]:
            patch.delenv(name)
        patch.setenv("PAGEFLIP_HOME", str(home))
        patch.setenv("PAGEFLIP_PROJECT", str(project))
        patch.setenv("PAGEFLIP_PYTHON", sys.executable)
        with supervisor.airflow_for_a_job(extra, lambda line: None) as running:
            client = AirflowClient(running.airflow_url, running.user, running.password)
            client.ensure_gpu_pool()
            yield client, running


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all that it started, as when a machine goes down."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.suspend()  # so that it starts nothing more meanwhile
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def task_logs(home: Path, run_id: str, stage: str) -> str:
    """What all attempts at a stage have logged so far."""
    return "\n".join(file.read_text() for file in _logs(home, run_id, stage))


def attempts(home: Path, run_id: str, stage: str) -> int:
    """How often a stage was begun."""
    return len(_logs(home, run_id, stage))


def _logs(home: Path, run_id: str, stage: str) -> list[Path]:
    folder = home / "airflow/logs/dag_id=retrain" / f"run_id={run_id}" / f"task_id={stage.replace('@', '.')}"
    return sorted(folder.glob("attempt=*.log"))


def outs_of_run(home: Path, run_id: str, stage: str) -> list[dict]:
    """What a stage gave in a run: paths and hashes."""
    return json.loads((home / f"runs/{run_id}/lock/{stage}.json").read_text())["outs"]


def outs_of_repro(project: Path, stage: str) -> list[dict]:
    """What the same stage gives on the laptop, where nothing was killed; nothing is taken from the run's cache."""
    call(project, "dvc", "repro", "--no-run-cache", "--force", stage)
    return yaml.safe_load((project / "dvc.lock").read_text())["stages"][stage]["outs"]
