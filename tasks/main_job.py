"""Run the main job through Airflow: sample frames, the DAG `retrain`, sample uploads, the DAG `score_uploads`.

    python -m tasks.main_job

It uses the Airflow that is up (`make up`), or starts one for as long as the job lasts. What exists is kept: frames in
data/raw, uploads, and the results of stages whose inputs did not change.
"""

import argparse
import signal

from rich.console import Console

from pageflip.base.console import run_main
from pageflip.runs.main_job import run_main_job


def main() -> None:
    """Run the job and show its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: stop what was started
    result = run_main_job(_print)
    Console().print(*result.tables)
    for line in result.lines:
        _print(line)


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_main(main)
