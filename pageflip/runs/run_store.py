"""Run store: the few KB that the stages of one run share, in a folder or an s3:// address.

STORE/RUN/inputs.json         params.yaml (with the run's overrides), data/raw.dvc and the code's revision, fixed by
                              the first stage
STORE/RUN/lock/STAGE.json     the stage's entry of dvc.lock
STORE/RUN/failed/STAGE/...    reports of a failed stage
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pageflip.base import storage
from pageflip.base.errors import ConfigError
from pageflip.base.provenance import git_revision
from pageflip.params.all import Params
from pageflip.params.load import REMEDY, parse, read_yaml
from pageflip.runs.data_versions import find_version

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,199}")


@dataclass(frozen=True)
class RunOverrides:
    """Parameter and data-version overrides of one run.

    Attributes:
        settings: KEY=VALUE with a dotted key of params.yaml and a value in YAML.
        data_version: hash of a published version of the raw frames, or `published` for the newest of them.
    """

    settings: tuple[str, ...] = ()
    data_version: str | None = None


class RunStore:
    """Entries of one run in the run store.

    Args:
        url: address of the run store.
        run_id: name of the run.
        overrides: used when this run's inputs are not fixed yet.

    Raises:
        ConfigError: the run id is not a plain name.
    """

    def __init__(self, url: str, run_id: str, overrides: RunOverrides = RunOverrides()) -> None:
        if not RUN_NAME.fullmatch(run_id):
            raise ConfigError(
                f"the run id {run_id!r} is not a plain name",
                "use letters, digits, dots, dashes, underscores and equal signs, 200 at most.",
            )
        self.url = storage.join(url, run_id)
        self._store = url
        self._overrides = overrides

    def inputs(self, project: Path) -> dict[str, str]:
        """Return the inputs of the run (`params`, `raw_dvc`, `git_revision`); the first call fixes them for all stages.

        Raises:
            ConfigError: there is no such data version, or params.yaml or an override is invalid.
        """
        address = storage.join(self.url, "inputs.json")
        if not storage.exists(address):
            # another stage may create it first: read back what is there
            storage.create_bytes(address, _to_json(_current_inputs(project, self._store, self._overrides)))
        inputs: dict[str, str] = json.loads(storage.read_bytes(address))
        return inputs

    def lock_entries(self) -> dict[str, Any]:
        """Return the run's entries of dvc.lock, by stage."""
        files = storage.list_files(storage.join(self.url, "lock"))
        contents = storage.read_many(file.url for file in files)
        return {
            file.name.removesuffix(".json"): json.loads(content) for file, content in zip(files, contents, strict=True)
        }

    def write_lock_entry(self, stage: str, entry: dict[str, Any]) -> None:
        """Write a stage's entry of dvc.lock."""
        storage.write_bytes(storage.join(self.url, "lock", f"{stage}.json"), _to_json(entry))

    def save_failed(self, stage: str, folder: Path) -> str:
        """Copy a folder of a failed stage to the store; return its address."""
        address = storage.join(self.url, "failed", stage)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            storage.write_bytes(storage.join(address, file.relative_to(folder).as_posix()), file.read_bytes())
        return address


def _to_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _current_inputs(project: Path, store: str, overrides: RunOverrides) -> dict[str, str]:
    return {
        "params": _params_text(project / "params.yaml", overrides.settings),
        "raw_dvc": find_version(project, store, overrides.data_version),
        "git_revision": git_revision(),
    }


def _params_text(path: Path, overrides: tuple[str, ...]) -> str:
    """Return the text of params.yaml with these overrides, after a check of the whole file.

    A stage checks only its own sections, so this is where a mistake in a later one is found at a run's start.

    Raises:
        ConfigError: an override is no KEY=VALUE, or a key or value is invalid.
    """
    params = read_yaml(path)
    for override in overrides:
        key, separator, value = override.partition("=")
        *parents, last = key.split(".")
        node = params
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not separator or not isinstance(node, dict) or last not in node:
            raise ConfigError(f"{override!r} sets no key of {path.name}", "write it as train.seed=8.")
        try:
            node[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(
                f"{override!r} has a value that is not YAML: {error}", "write it as train.seed=8."
            ) from None
    parse(Params, params, path, REMEDY)
    return yaml.safe_dump(params, sort_keys=False) if overrides else path.read_text(encoding="utf-8")
