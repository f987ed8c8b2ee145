"""Check docker/compose.yaml without a Docker daemon: what the format asks for, and the rules of this house.

python docker/check_compose.py          (make compose-check)

The rules: every variable stands in .env.example, and a secret has no default; ports are published on loopback only;
images are pinned; a service has a health check, limits and a restart policy; nobody but docker-proxy holds the Docker
socket. Where `docker compose` is installed, its own reading of the file is asked for as well.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
TOP_LEVEL = {"name", "services", "networks", "volumes", "configs", "secrets", "include"}
SERVICE_KEYS = set(
    re.findall(
        r"\w+",
        """
            annotations attach build cap_add cap_drop cgroup cgroup_parent command configs container_name cpus
            depends_on deploy devices dns entrypoint env_file environment expose extends extra_hosts group_add
            healthcheck hostname image init ipc labels logging mem_limit network_mode networks pid pids_limit platform
            ports privileged profiles pull_policy read_only restart secrets security_opt shm_size stdin_open
            stop_grace_period stop_signal sysctls tmpfs tty ulimits user volumes working_dir
        """,
    )
)
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
VARIABLE = re.compile(r"(?<!\$)\$(?:\{(?P<braced>\w+)(?P<rest>[^}]*)\}|(?P<plain>\w+))")
SECRET = re.compile(r"PASSWORD|SECRET|_KEY")
PINNED = re.compile(r":v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")
OWN_IMAGE = re.compile(r"pageflip-[a-z]+:\$\{PAGEFLIP_VERSION:\?[^}]*\}")
LOOPBACK = re.compile(r"127\.0\.0\.1:(\d+|\$\{\w+:-\d+\}):\d+")
SOCKET_HOLDER = "docker-proxy"


def check(compose: Path, example: Path) -> list[str]:
    """Return one line for each fault of a compose file and its .env.example."""
    text = compose.read_text(encoding="utf-8")
    try:
        model = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"{compose.name} is not valid YAML: {error}"]
    if not isinstance(model, Mapping) or not isinstance(model.get("services"), Mapping):
        return [f"{compose.name} has no services"]
    return [*_check_variables(text, example), *_check_model(model, compose.parent)]


def _check_variables(text: str, example: Path) -> Iterator[str]:
    given = _read_example(example)
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    used = {}
    for match in VARIABLE.finditer(code):
        name = match["braced"] or match["plain"]
        used[name] = rest = match["rest"] or ""
        if name not in given:
            yield f"${{{name}}} is not in {example.name}"
        elif SECRET.search(name) and not rest.startswith(":?"):
            yield f"${{{name}}} is a secret and must be demanded: ${{{name}:?...}}"
        elif not rest.startswith((":?", ":-")):
            yield f"${{{name}}} is neither demanded (:?) nor has a default (:-)"
    for name, value in given.items():
        if name not in used:
            yield f"{name} of {example.name} is used nowhere"
        elif SECRET.search(name) and value:
            yield f"{name} of {example.name} is a secret and must be left empty"
        elif used[name].startswith(":-") and value != used[name][2:]:
            yield f"{name} is {value!r} in {example.name} and {used[name][2:]!r} by default"


def _read_example(path: Path) -> dict[str, str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def _check_model(model: Mapping[str, Any], folder: Path) -> Iterator[str]:
    for key in model:
        if key not in TOP_LEVEL and not key.startswith("x-"):
            yield f"{key!r} is no key of a compose file"
    for name, service in model["services"].items():
        for finding in (
            *_check_shape(service, model),
            *_check_safety(name, service),
            *_check_care(service),
            *_check_files(service, folder),
        ):
            yield f"{name}: {finding}"


def _check_shape(service: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[str]:
    """Keys, and names that must exist elsewhere in the file."""
    for key in service.keys() - SERVICE_KEYS:
        yield f"{key!r} is no key of a service"
    services, depends = model["services"], service.get("depends_on") or {}
    for target in depends:
        condition = depends[target].get("condition") if isinstance(depends, Mapping) else "service_started"
        if target not in services:
            yield f"depends on {target}, which does not exist"
        elif condition not in CONDITIONS:
            yield f"depends on {target} by the unknown condition {condition!r}"
        elif condition == "service_healthy" and "healthcheck" not in services[target]:
            yield f"waits for the health of {target}, which has no health check"
    for network in service.get("networks") or ():
        if network not in (model.get("networks") or {}):
            yield f"the network {network} is not declared"
    for volume in service.get("volumes") or ():
        source = volume.split(":")[0]
        if re.match(r"[\w-]+$", source) and source not in (model.get("volumes") or {}):
            yield f"the volume {source} is not declared"


def _check_safety(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    """Yield faults of a service's ports, image, socket and privileges."""
    for port in service.get("ports") or ():
        if not LOOPBACK.fullmatch(str(port)):
            yield f"the port {port} is not published on 127.0.0.1 alone"
    image = str(service.get("image", ""))
    if not OWN_IMAGE.fullmatch(image) and not PINNED.search(image):
        yield f"the image {image!r} is not pinned to a version"
    if any("docker.sock" in str(v) or "DOCKER_SOCKET" in str(v) for v in service.get("volumes") or ()):
        if name != SOCKET_HOLDER:
            yield f"only {SOCKET_HOLDER} may hold the Docker socket"
        if service.get("ports"):
            yield "whoever holds the Docker socket publishes no port"
    for key in ("privileged", "network_mode", "pid", "cap_add", "devices"):
        if service.get(key):
            yield f"{key} is not allowed"
    if "no-new-privileges:true" not in (service.get("security_opt") or ()):
        yield "security_opt lacks no-new-privileges:true"


def _check_care(service: Mapping[str, Any]) -> Iterator[str]:
    """Restarts, health checks and limits."""
    restart = str(service.get("restart", ""))
    stays = restart in ("unless-stopped", "always")
    if not restart:
        yield "has no restart policy"
    if stays and not (service.get("healthcheck") or {}).get("test"):
        yield "has no health check"
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    for key in {"cpus", "memory"} - limits.keys():
        yield f"has no limit of {key}"


def _check_files(service: Mapping[str, Any], folder: Path) -> Iterator[str]:
    build = service.get("build")
    if build and not (folder / build["context"] / build["dockerfile"]).is_file():
        yield f"there is no {build['dockerfile']}"
    for volume in service.get("volumes") or ():
        source = volume.split(":")[0]
        if source.startswith("./") and not (folder / source).is_file():
            yield f"there is no {source}"


def _ask_docker(compose: Path, example: Path) -> str | None:
    """Return the errors of `docker compose config`; None when it has none, or is not installed."""
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    names = _read_example(example)
    environment = {name: value or "x" for name, value in names.items()} | {"DOCKER_SOCKET": "/run/docker.sock"}
    command = ["docker", "compose", "--file", str(compose), "--env-file", "/dev/null", "config", "--quiet"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    return f"docker compose config: {done.stderr.strip()}" if done.returncode else None


def main() -> None:
    """Check the file; exit 1 and say why when it is not sound."""
    compose, example = FOLDER / "compose.yaml", FOLDER / ".env.example"
    findings = check(compose, example)
    told = _ask_docker(compose, example)
    for finding in [*findings, *([told] if told else [])]:
        print(finding, file=sys.stderr)
    if findings or told:
        sys.exit(1)
    print(f"{compose.name}: {len(yaml.safe_load(compose.read_text(encoding='utf-8'))['services'])} services, sound")


if __name__ == "__main__":
    main()
