"""Commands, environment and supervisord configuration of the local services: Airflow's four processes and MLflow.

Everything binds to loopback. The API server reads task logs from disk, so Airflow's log servers, which would listen on
every interface, stay off. Secrets are made once; they are passed in the environment and in files of mode 0600.
"""

import base64
import configparser
import os
import re
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pageflip.base import settings
from pageflip.base.errors import ConfigError
from pageflip.base.files import read_json, write_json, write_text

HOST = "127.0.0.1"
LOG_BYTES = "10MB"
MARK = "PAGEFLIP_SERVICES"  # variable of every process that the services start
USER = "admin"
CONTROL_SECTION = "inet_http_server"


@dataclass(frozen=True)
class Program:
    """Process to supervise. Programs start by rising `priority` and stop in the opposite order."""

    name: str
    command: Sequence[str]
    priority: int
    stop_seconds: int = 20


@dataclass(frozen=True)
class Places:
    """Files and folders of the local services."""

    project: Path
    home: Path

    @property
    def folder(self) -> Path:
        """Folder of configuration, state and logs."""
        return self.home / "services"

    @property
    def logs(self) -> Path:
        """Folder with one log for each service."""
        return self.folder / "logs"

    @property
    def config(self) -> Path:
        """Configuration of supervisord, with the password of its XML-RPC interface."""
        return self.folder / "supervisord.conf"

    @property
    def pidfile(self) -> Path:
        """File with supervisord's process id."""
        return self.folder / "supervisord.pid"

    @property
    def state(self) -> Path:
        """File with the addresses and the owner of what is up."""
        return self.folder / "state.json"

    @property
    def airflow_home(self) -> Path:
        """Folder of Airflow's database, logs and login."""
        return self.home / "airflow"

    @property
    def password_file(self) -> Path:
        """File of passwords of Airflow's simple auth manager."""
        return self.airflow_home / "simple_auth_manager_passwords.json.generated"

    @property
    def airflow(self) -> Path:
        """Program `airflow` of the orchestrator environment.

        Raises:
            ConfigError: there is none.
        """
        path = self.project / ".venv-airflow" / "bin" / "airflow"
        if not path.exists():
            raise ConfigError(f"the orchestrator environment is missing: there is no {path}", "run `make setup`.")
        return path

    @property
    def python(self) -> Path:
        """Interpreter of the pipeline environment: PAGEFLIP_PYTHON, or .venv's, or the one that runs this."""
        configured, local = settings.pipeline_python(), self.project / ".venv" / "bin" / "python"
        return configured or (local if local.exists() else Path(sys.executable))


def find_places() -> Places:
    """Return the places of the project at hand."""
    return Places(settings.services_project(), settings.home())


def load_keys(places: Places) -> dict[str, str]:
    """Return the services' secrets and the password of USER; the first call makes them, for their owner only."""
    path = places.folder / "keys.json"
    if not path.exists():
        keys = {
            "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api": secrets.token_urlsafe(32),
            "jwt": secrets.token_urlsafe(48),
            "password": secrets.token_urlsafe(12),
        }
        write_json(path, keys, private=True)
    keys = read_json(path)
    passwords = read_json(places.password_file) if places.password_file.exists() else {}
    if USER not in passwords:
        write_json(places.password_file, {**passwords, USER: keys["password"]}, private=True)
    return keys


def password(places: Places) -> str:
    """Return the password of Airflow's user USER."""
    return str(read_json(places.password_file)[USER])


def environment(places: Places, airflow_port: int, mlflow_url: str | None, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every service, which its tasks inherit; `extra` overrides all else."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    python = places.python
    own = {
        MARK: str(places.folder),
        "PAGEFLIP_HOME": str(places.home),
        "PAGEFLIP_PROJECT": str(places.project),
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
    # tasks run in folders of their own, in which a relative address would lead elsewhere
    addresses = {
        "PAGEFLIP_REMOTE": settings.remote_url() or "",
        "PAGEFLIP_RESULTS": settings.results_url(),
        "PAGEFLIP_UPLOADS": settings.uploads_url(),
        "MLFLOW_TRACKING_URI": settings.tracking_uri(),
    }
    own |= {variable: address for variable, address in addresses.items() if inherited.get(variable)}
    if mlflow_url:
        own["MLFLOW_TRACKING_URI"] = mlflow_url
    return {**inherited, **own, **_airflow_settings(places, airflow_port), **extra}


def _airflow_settings(places: Places, port: int) -> dict[str, str]:
    keys = load_keys(places)
    url = f"http://{HOST}:{port}"
    values = {
        "CORE__DAGS_FOLDER": places.project / "dags",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__FERNET_KEY": keys["fernet"],
        "CORE__LOAD_EXAMPLES": False,
        "CORE__PARALLELISM": min(4, max(2, os.cpu_count() or 2)),  # a worker process waits for each slot
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": places.password_file,
        "CORE__HOSTNAME_CALLABLE": "airflow.utils.net.get_host_ip_address",
        "API__BASE_URL": url,
        "API__HOST": HOST,
        "API__PORT": port,
        "API__WORKERS": 1,
        "API__SECRET_KEY": keys["api"],
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{places.airflow_home / 'airflow.db'}",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
        "SCHEDULER__ENABLE_HEALTH_CHECK": False,
    }
    # the user's own settings stay, except addresses, login and secrets, on which the services must agree
    fixed = ("CORE__EXECUTION_API", "API", "CORE__FERNET", "CORE__DAGS_FOLDER", "CORE__SIMPLE_AUTH_MANAGER")
    return {
        "AIRFLOW_HOME": str(places.airflow_home),
        **{
            name: str(value) if key.startswith(fixed) else os.environ.get(name, str(value))
            for key, value in values.items()
            for name in [f"AIRFLOW__{key}"]
        },
    }


def programs(places: Places, mlflow_port: int | None) -> list[Program]:
    """Return the programs to supervise. The scheduler stops first, while the API server still accepts task states."""
    airflow = str(places.airflow)
    found = [
        Program("airflow-api-server", [airflow, "api-server"], 10),
        Program("airflow-dag-processor", [airflow, "dag-processor"], 20),
        Program("airflow-triggerer", [airflow, "triggerer", "--skip-serve-logs"], 20, stop_seconds=3),
        Program("airflow-scheduler", [airflow, "scheduler", "--skip-serve-logs"], 30, stop_seconds=30),
    ]
    if mlflow_port is not None:
        hosts = [f"{name}{port}" for name in ("localhost", HOST) for port in ("", f":{mlflow_port}")]
        command = [
            *(str(places.python), "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow_port)),
            *("--backend-store-uri", f"sqlite:///{places.home / 'mlflow.db'}"),
            # a folder and not the server's proxy, so that models load while the server is down
            *("--no-serve-artifacts", "--default-artifact-root", (places.home / "mlartifacts").as_uri()),
            *("--workers", "1", "--allowed-hosts", ",".join(hosts)),
        ]
        found.append(Program("mlflow", command, 10))
    return found


def render(places: Places, supervised: Sequence[Program], control_port: int) -> None:
    """Write supervisord's configuration, with its XML-RPC interface on `control_port`, behind a new password.

    Raises:
        ConfigError: a path contains what the file's format takes for a comment.
    """
    main = {
        "directory": _escape(places.project),
        "logfile": _escape(places.logs / "supervisord.log"),
        "pidfile": _escape(places.pidfile),
        "childlogdir": _escape(places.logs),
        "logfile_maxbytes": LOG_BYTES,
        "logfile_backups": 1,
    }
    control = {"port": f"{HOST}:{control_port}", "username": USER, "password": secrets.token_urlsafe(32)}
    factory = {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"}
    sections: dict[str, Mapping[str, object]] = {
        "supervisord": main,
        CONTROL_SECTION: control,
        "rpcinterface:supervisor": factory,
    }
    for program in supervised:
        sections[f"program:{program.name}"] = {
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
            "stdout_logfile": _escape(places.logs / f"{program.name}.log"),
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": 1,
        }
    lines = [
        line for name, options in sections.items() for line in (f"[{name}]", *(f"{k}={v}" for k, v in options.items()))
    ]
    places.logs.mkdir(parents=True, exist_ok=True)
    write_text(places.config, "\n".join(lines) + "\n", private=True)


def control_url(places: Places) -> str:
    """Return the address of supervisord's XML-RPC interface, with user and password."""
    parser = configparser.RawConfigParser()
    parser.read(places.config, encoding="utf-8")
    server = parser[CONTROL_SECTION]
    return f"http://{server['username']}:{server['password']}@{server['port']}/RPC2"


def _escape(value: object) -> str:
    text = str(value)
    if re.search(r"\s[;#]|\n", text):
        raise ConfigError(
            f"{text!r} contains a space before ; or #", "move the project or PAGEFLIP_HOME to a plain path."
        )
    return text.replace("%", "%%")
