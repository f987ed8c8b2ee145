"""What the local services run, with which environment: Airflow's four processes and the MLflow server.

Everything binds to loopback. Task logs are read from disk by the API server, so Airflow's log servers, which would
listen on every interface, stay off. Secrets are made once and handed over in the environment, never in a file that
others may read.
"""

import base64
import json
import os
import re
import secrets
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pageflip.base import settings
from pageflip.base.errors import ConfigError
from pageflip.base.files import write_text

HOST = "127.0.0.1"
LOG_BYTES = "10MB"
MARK = "PAGEFLIP_SERVICES"  # in the environment of every process that the services start: how strays are found
USER = "admin"


@dataclass(frozen=True)
class Program:
    """A process to supervise. Programs start by rising `priority` and stop in the opposite order."""

    name: str
    command: Sequence[str]
    priority: int
    stop_seconds: int = 20


@dataclass(frozen=True)
class Places:
    """The files and folders of the local services."""

    project: Path
    home: Path

    @property
    def folder(self) -> Path:
        """Configuration, state and logs of the services."""
        return self.home / "services"

    @property
    def logs(self) -> Path:
        """One log for each service."""
        return self.folder / "logs"

    @property
    def config(self) -> Path:
        """The rendered configuration of supervisord."""
        return self.folder / "supervisord.conf"

    @property
    def pidfile(self) -> Path:
        """supervisord's process id."""
        return self.folder / "supervisord.pid"

    @property
    def state(self) -> Path:
        """The addresses of what is up."""
        return self.folder / "state.json"

    @property
    def airflow_home(self) -> Path:
        """Airflow's database, logs and log-in."""
        return self.home / "airflow"

    @property
    def password_file(self) -> Path:
        """Where Airflow's simple auth manager looks passwords up."""
        return self.airflow_home / "simple_auth_manager_passwords.json.generated"

    @property
    def airflow(self) -> Path:
        """The orchestrator environment's `airflow`.

        Raises:
            ConfigError: there is none.
        """
        path = self.project / ".venv-airflow" / "bin" / "airflow"
        if not path.exists():
            raise ConfigError(f"the orchestrator environment is missing: there is no {path}", "run `make setup`.")
        return path

    @property
    def python(self) -> Path:
        """The pipeline environment's Python: PAGEFLIP_PYTHON, or .venv's, or the one that runs this."""
        given = os.environ.get("PAGEFLIP_PYTHON")
        own = self.project / ".venv" / "bin" / "python"
        return Path(given) if given else own if own.exists() else Path(sys.executable)


def places() -> Places:
    """The places of the project at hand."""
    given = os.environ.get("PAGEFLIP_PROJECT")
    return Places(Path(given).absolute() if given else settings.project_root(), settings.home())


def load_keys(where: Places) -> dict[str, str]:
    """The services' secrets and the log-in's password, made at the first call and kept for their owner's eyes only."""
    path = where.folder / "keys.json"
    if not path.exists():
        keys = {
            "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api": secrets.token_urlsafe(32),
            "jwt": secrets.token_urlsafe(48),
            "password": secrets.token_urlsafe(12),
        }
        _write_private(path, keys)
    keys = json.loads(path.read_text(encoding="utf-8"))
    known = json.loads(where.password_file.read_text(encoding="utf-8")) if where.password_file.exists() else {}
    if USER not in known:
        _write_private(where.password_file, {**known, USER: keys["password"]})
    return keys


def password(where: Places) -> str:
    """The password of Airflow's user `admin`."""
    return json.loads(where.password_file.read_text(encoding="utf-8"))[USER]


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write a file for its owner's eyes only, through a temporary one: a killed command leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def environment(where: Places, airflow_port: int, mlflow_url: str | None, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of every service, and through it of every task. `extra` wins over all else."""
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    python = where.python
    own = {
        MARK: str(where.folder),
        "PAGEFLIP_HOME": str(where.home),
        "PAGEFLIP_PROJECT": str(where.project),
        "PAGEFLIP_PYTHON": str(python),
        "PAGEFLIP_STORE": settings.store_url(),
        "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]),
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"])),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else the server takes 27 s and 1.9 GB
    }
    own["no_proxy"] = own["NO_PROXY"]
    # tasks run in other folders than the one in which a relative address was given
    addresses = {
        "PAGEFLIP_REMOTE": _remote,
        "PAGEFLIP_RESULTS": settings.results_url,
        "PAGEFLIP_UPLOADS": settings.uploads_url,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
    }
    own |= {variable: address() for variable, address in addresses.items() if os.environ.get(variable)}
    if mlflow_url:
        own["MLFLOW_TRACKING_URI"] = mlflow_url
    return {**outside, **own, **_airflow_settings(where, airflow_port), **extra}


def _remote() -> str:
    given = os.environ["PAGEFLIP_REMOTE"]
    return given if "://" in given else str(Path(given).expanduser().absolute())


def _airflow_settings(where: Places, port: int) -> dict[str, str]:
    keys = load_keys(where)
    url = f"http://{HOST}:{port}"
    values = {
        "CORE__DAGS_FOLDER": where.project / "dags",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__FERNET_KEY": keys["fernet"],
        "CORE__LOAD_EXAMPLES": False,
        "CORE__PARALLELISM": min(4, max(2, os.cpu_count() or 2)),  # one process waits for each slot
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": where.password_file,
        "CORE__HOSTNAME_CALLABLE": "airflow.utils.net.get_host_ip_address",
        "API__BASE_URL": url,
        "API__HOST": HOST,
        "API__PORT": port,
        "API__WORKERS": 1,
        "API__SECRET_KEY": keys["api"],
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{where.airflow_home / 'airflow.db'}",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
        "SCHEDULER__ENABLE_HEALTH_CHECK": False,
    }
    # a setting that the user gave in the environment stays, but for addresses, log-in and secrets, which must agree
    fixed = ("CORE__EXECUTION_API", "API", "CORE__FERNET", "CORE__DAGS_FOLDER", "CORE__SIMPLE_AUTH_MANAGER")
    return {
        "AIRFLOW_HOME": str(where.airflow_home),
        **{
            name: str(value) if key.startswith(fixed) else os.environ.get(name, str(value))
            for key, value in values.items()
            for name in [f"AIRFLOW__{key}"]
        },
    }


def programs(where: Places, mlflow_port: int | None) -> list[Program]:
    """What to supervise. The scheduler stops first, while the API server still takes its tasks' last word."""
    airflow = str(where.airflow)
    found = [
        Program("airflow-api-server", [airflow, "api-server"], 10),
        Program("airflow-dag-processor", [airflow, "dag-processor"], 20),
        Program("airflow-triggerer", [airflow, "triggerer", "--skip-serve-logs"], 20, stop_seconds=3),
        Program("airflow-scheduler", [airflow, "scheduler", "--skip-serve-logs"], 30, stop_seconds=30),
    ]
    if mlflow_port is not None:
        hosts = [f"{name}{port}" for name in ("localhost", HOST) for port in ("", f":{mlflow_port}")]
        command = [
            *(str(where.python), "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow_port)),
            *("--backend-store-uri", f"sqlite:///{where.home / 'mlflow.db'}"),
            # a plain folder and not the server's proxy: the same model must load while the server is down
            *("--no-serve-artifacts", "--default-artifact-root", (where.home / "mlartifacts").as_uri()),
            *("--workers", "1", "--allowed-hosts", ",".join(hosts)),
        ]
        found.append(Program("mlflow", command, 10))
    return found


def render(where: Places, supervised: Sequence[Program]) -> None:
    """Write supervisord's configuration.

    Raises:
        ConfigError: a path holds what its format takes for a comment.
    """
    main = {
        "directory": _escape(where.project),
        "logfile": _escape(where.logs / "supervisord.log"),
        "pidfile": _escape(where.pidfile),
        "childlogdir": _escape(where.logs),
        "logfile_maxbytes": LOG_BYTES,
        "logfile_backups": 1,
    }
    lines = ["[supervisord]", *(f"{key}={value}" for key, value in main.items())]
    for program in supervised:
        options = {
            "command": _escape(shlex.join(program.command)),
            "priority": program.priority,
            "autorestart": "true",
            "startsecs": 5,
            "startretries": 3,
            "stopsignal": "TERM",
            "stopwaitsecs": program.stop_seconds,
            "stopasgroup": "true",  # an executor's idle workers and uvicorn's children live in the same group
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": _escape(where.logs / f"{program.name}.log"),
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": 1,
        }
        lines += ["", f"[program:{program.name}]", *(f"{key}={value}" for key, value in options.items())]
    where.logs.mkdir(parents=True, exist_ok=True)
    write_text(where.config, "\n".join(lines) + "\n")


def _escape(value: object) -> str:
    text = str(value)
    if re.search(r"\s[;#]|\n", text):
        raise ConfigError(f"{text!r} holds a space before ; or #", "move the project or PAGEFLIP_HOME to a plain path.")
    return text.replace("%", "%%")
