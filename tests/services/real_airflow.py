"""An Airflow of a test's own, with its real scheduler: the one of `make up`, told otherwise by the environment."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from pipeline.conftest import OURS, ROOT

from pageflip import services
from pageflip.airflow_client import AirflowClient
from pageflip.services import Running

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
        with services.airflow_for_a_job(extra, lambda line: None) as running:
            client = AirflowClient(running.airflow_url, running.user, running.password)
            client.ensure_gpu_pool()
            yield client, running
