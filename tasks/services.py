"""Start, stop or look at the local services: Airflow and the MLflow server, on loopback, in the background.

python -m tasks.services up [--airflow-port N] [--mlflow-port N] [--no-mlflow]
python -m tasks.services status
python -m tasks.services down
"""

import argparse

from rich.console import Console
from rich.table import Table

from pageflip.base.console import run_main
from pageflip.local_stack import supervisor
from pageflip.local_stack.airflow_client import AirflowClient


def main() -> None:
    """Carry out the action that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--airflow-port", type=int, help="default: PAGEFLIP_AIRFLOW_PORT, or 8080")
    parser.add_argument("--mlflow-port", type=int, help="default: PAGEFLIP_MLFLOW_PORT, or 5000")
    parser.add_argument("--no-mlflow", action="store_true", help="start Airflow only")
    args = parser.parse_args()
    if args.action == "up":
        _up(args)
    elif args.action == "down":
        supervisor.down(_say)
    else:
        _status()


def _say(line: str) -> None:
    print(line, flush=True)


def _up(args: argparse.Namespace) -> None:
    running = supervisor.up(args.airflow_port, args.mlflow_port, with_mlflow=not args.no_mlflow, report=_say)
    AirflowClient(running.airflow_url, running.user, running.password).ensure_gpu_pool()
    _say(f"\nAirflow  {running.airflow_url}   user {running.user}, password {running.password}")
    _say(f"         (the password is kept in {running.password_file})")
    _say(f"MLflow   {running.mlflow_url or 'not started'}")
    _say(f"Logs     {running.logs}\n\n`make down` stops them.")


def _status() -> None:
    table = Table("service", "state", "address")
    for service in supervisor.status():
        table.add_row(service.name, service.state, service.url)
    Console().print(table)


if __name__ == "__main__":
    run_main(main)
