"""Start, stop or show the local services: Airflow and the MLflow server, on loopback, in the background.

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
        _up(args.airflow_port, args.mlflow_port, with_mlflow=not args.no_mlflow)
    elif args.action == "down":
        supervisor.down(_print)
    else:
        _show_status()


def _print(line: str) -> None:
    print(line, flush=True)


def _up(airflow_port: int | None, mlflow_port: int | None, *, with_mlflow: bool) -> None:
    running = supervisor.up(airflow_port, mlflow_port, with_mlflow=with_mlflow, report=_print)
    AirflowClient(running.airflow_url, running.user, running.password).ensure_gpu_pool()
    _print(f"\nAirflow  {running.airflow_url}   user {running.user}, password {running.password}")
    _print(f"         (the password is kept in {running.password_file})")
    _print(f"MLflow   {running.mlflow_url or 'not started'}")
    _print(f"Logs     {running.logs}\n\n`make down` stops them.")


def _show_status() -> None:
    table = Table("service", "state", "address")
    for service in supervisor.status():
        table.add_row(service.name, service.state, service.url)
    Console().print(table)


if __name__ == "__main__":
    run_main(main)
