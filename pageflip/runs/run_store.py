"""One stage of one run, hermetic: a clean workspace, what it depends on from the DVC remote, its outputs back to it.

Between the stages of a run travel only two things: content in the DVC remote, and the few KB that each stage leaves in
the run store:

    STORE/RUN/inputs.json         params.yaml, data/raw.dvc and the code's revision, fixed by the first stage;
                                  with what the run was asked to do otherwise (`Wishes`)
    STORE/RUN/lock/STAGE.json     the stage's entry of dvc.lock
    STORE/RUN/failed/STAGE/...    the reports of a stage that failed

So a stage runs on any machine, a second attempt beside a first is harmless, and what is unchanged is not computed
again.
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
class Wishes:
    """What a run is to do otherwise than the project as it stands.

    Attributes:
        settings: KEY=VALUE with a dotted key of params.yaml and a value in YAML.
        data_version: the hash of a published version of the raw frames, or `published` for the newest of them.
    """

    settings: tuple[str, ...] = ()
    data_version: str | None = None


class RunStore:
    """The few KB that the stages of one run share, at a folder or s3:// address."""

    def __init__(self, url: str, run_id: str, wishes: Wishes = Wishes()) -> None:
        if not RUN_NAME.fullmatch(run_id):
            raise ConfigError(
                f"the run id {run_id!r} is not a plain name",
                "use letters, digits, dots, dashes, underscores and equal signs, 200 at most.",
            )
        self.url = storage.join(url, run_id)
        self._store = url
        self._wishes = wishes

    def inputs(self, project: Path) -> dict[str, str]:
        """What the run was started with; the first stage that asks fixes it for all.

        Raises:
            ConfigError: there is no (such) data version, or a wish does not fit params.yaml.
        """
        address = storage.join(self.url, "inputs.json")
        if not storage.exists(address):
            content = json.dumps(_current_inputs(project, self._store, self._wishes), indent=2) + "\n"
            storage.create_bytes(address, content.encode())  # another stage's may win: read back what stands
        return json.loads(storage.read_bytes(address))

    def lock_entries(self) -> dict[str, Any]:
        """The entries of dvc.lock that the stages of the run have left, by stage name."""
        files = storage.list_files(storage.join(self.url, "lock"))
        contents = storage.read_many(file.url for file in files)
        return {
            file.name.removesuffix(".json"): json.loads(content) for file, content in zip(files, contents, strict=True)
        }

    def leave_lock_entry(self, stage: str, entry: dict[str, Any]) -> None:
        """Leave a stage's own entry."""
        content = json.dumps(entry, indent=2) + "\n"
        storage.write_bytes(storage.join(self.url, "lock", f"{stage}.json"), content.encode())

    def keep_failed(self, stage: str, folder: Path) -> str:
        """Keep the files below `folder` of a failed stage; return their address."""
        address = storage.join(self.url, "failed", stage)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            storage.write_bytes(storage.join(address, file.relative_to(folder).as_posix()), file.read_bytes())
        return address


def _current_inputs(project: Path, store: str, wishes: Wishes) -> dict[str, str]:
    return {
        "params": _params_text(project / "params.yaml", wishes.settings),
        "raw_dvc": find_version(project, store, wishes.data_version),
        "git_revision": git_revision(),
    }


def _params_text(path: Path, wanted: tuple[str, ...]) -> str:
    """The text of params.yaml with these settings; as it stands where there are none.

    Raises:
        ConfigError: a setting is no KEY=VALUE, its key is unknown or its value impossible.
    """
    if not wanted:
        return path.read_text(encoding="utf-8")
    params = read_yaml(path)
    for setting in wanted:
        key, separator, value = setting.partition("=")
        *parents, last = key.split(".")
        node = params
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not separator or not isinstance(node, dict) or last not in node:
            raise ConfigError(f"{setting!r} sets no key of {path.name}", "write it as train.seed=8.")
        try:
            node[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{setting!r} holds no YAML value: {error}", "write it as train.seed=8.") from None
    parse(Params, params, path, REMEDY)
    return yaml.safe_dump(params, sort_keys=False)
