"""Time in which Airflow parses the folder dags/.

Measured: wall time of Airflow's own DagBag over the whole folder, in a fresh process of the orchestrator's environment
that has imported airflow.sdk and the DagBag, as the DAG processor has; median of five processes. The bar is absolute,
since the DAG processor parses again and again. In the detail: the import of Airflow, and the whole cold process.

    python -m benchmarks dag_parse_seconds
"""

import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measuring import machine
from benchmarks.results import Result
from pageflip.base.errors import ConfigError
from pageflip.base.settings import project_root

BAR = 2.0
ROUNDS = 5
SCRIPT = """
import json, sys, time
start = time.perf_counter()
import airflow.sdk
sdk = time.perf_counter()
from airflow.dag_processing.dagbag import DagBag
ready = time.perf_counter()
bag = DagBag(sys.argv[1])
parsed = time.perf_counter()
print(json.dumps({
    "parse_s": parsed - ready, "import_airflow_sdk_s": sdk - start, "import_dagbag_s": ready - sdk,
    "dags": len(bag.dags), "tasks": sum(len(dag.tasks) for dag in bag.dags.values()), "errors": bag.import_errors,
}))
"""


def measure() -> Result:
    """Parse the folder in five processes.

    Raises:
        ConfigError: the orchestrator's environment is missing, or a DAG file cannot be imported.
    """
    root = project_root()
    with TemporaryDirectory(prefix="pageflip-bench-") as home:
        _parse(root, home)  # fills byte code and file cache
        runs = [_parse(root, home) for _ in range(ROUNDS)]
    sources = [file.stat().st_size for file in (root / "dags").rglob("*.py")]
    detail = {
        "bar": BAR,
        "machine": machine(),
        "rounds": ROUNDS,
        "parse_s_of_each_round": [run["parse_s"] for run in runs],
        **{f"{key}": median(run[key] for run in runs) for key in runs[0] if key.endswith("_s") and key != "parse_s"},
        "dags": runs[0]["dags"],
        "tasks": runs[0]["tasks"],
        "files": len(sources),
        "kilobytes": sum(sources) / 1000,
    }
    return Result("dag_parse_seconds", median(run["parse_s"] for run in runs), "s", False, detail)


def _parse(root: Path, home: str) -> dict:
    python = root / ".venv-airflow" / "bin" / "python"
    if not python.exists():
        raise ConfigError(f"the orchestrator's environment is missing ({python})", "run `make setup`.")
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PAGEFLIP_", "AIRFLOW", "PYTHON"))
    }
    environment |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PAGEFLIP_PROJECT": str(root),
        "PYTHONPATH": str(root / "dags"),  # Airflow puts the DAG folder there too
    }
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-c", SCRIPT, root / "dags"], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    duration = time.perf_counter() - start
    if done.returncode:
        raise ConfigError(f"Airflow cannot parse dags/: {done.stderr.strip()[-500:]}", "run `make setup` again.")
    run = json.loads(done.stdout.splitlines()[-1])
    if run["errors"] or not run["dags"]:
        raise ConfigError(f"dags/ has import errors: {run['errors']}", "correct the named files.")
    return run | {"cold_process_s": duration}
