"""Versions of the raw frames: tracked by DVC, pushed to its remote, published to the run store.

    STORE/.data/versions/HASH.dvc    the data/raw.dvc of every version that was published
    STORE/.data/newest.dvc           that of the one published last

So a run, wherever its stages work, can ask for a version by its hash, or for the one published last.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.base.provenance import data_version
from pageflip.local_stack.announce import tell_airflow

PUBLISHED = "published"  # in place of a hash: the version published last, or else the project's own
HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
FOLDER = ".data"  # no run is called so


@dataclass(frozen=True)
class Publication:
    """A published version, and what became of telling Airflow, as a sentence."""

    version: str
    told: str


def track_raw(project: Path) -> str:
    """`dvc add data/raw` and `dvc push` in `project`; return the data version (the DVC hash).

    Raises:
        UnavailableError: DVC or its remote failed; the frames themselves are in place.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # it would ask to `git add` what a user may not want to commit
    target = str(project / "data" / "raw")
    try:
        with Repo(str(project)) as repo:
            repo.add(target)
            repo.push(targets=[f"{target}.dvc"])
    except DvcException as error:
        raise UnavailableError(
            f"the frames are in {target}, but DVC could not track and push them: {error}",
            "mend that and run `dvc add data/raw && dvc push`, or leave it out with --no-track.",
        ) from error
    return data_version(project)


def publish(project: Path) -> Publication:
    """Track and push data/raw, publish its version to the run store, and send Airflow the asset's event.

    Without an Airflow that answers the version is published all the same: the next run on schedule reads it.

    Raises:
        ConfigError: there are no frames.
        UnavailableError: DVC, its remote or the run store failed.
    """
    if not (project / "data" / "raw").is_dir():
        raise ConfigError(f"there are no frames in {project / 'data' / 'raw'}", "run `pageflip import` first.")
    version = track_raw(project)
    content = (project / "data" / "raw.dvc").read_bytes()
    store = settings.store_url()
    # the version first: the name of the newest must never lead to one that is not there
    storage.write_bytes(storage.join(store, FOLDER, "versions", f"{version}.dvc"), content)
    storage.write_bytes(storage.join(store, FOLDER, "newest.dvc"), content)
    return Publication(version, tell_airflow(version))


def find_version(project: Path, store: str, wanted: str | None) -> str:
    """The content of a data/raw.dvc.

    Args:
        project: the folder whose own data/raw.dvc stands in when no version is wanted.
        store: the run store's address.
        wanted: a hash, or PUBLISHED; None for the project's own, or the one published last where there is none.

    Raises:
        ConfigError: there is no such version, or none at all.
    """
    own = project / "data" / "raw.dvc"
    if wanted not in (None, PUBLISHED):
        return _published(store, wanted) if data_version(project) != wanted else own.read_text(encoding="utf-8")
    newest = storage.join(store, FOLDER, "newest.dvc")
    if own.is_file() and (wanted is None or not storage.exists(newest)):
        return own.read_text(encoding="utf-8")
    if storage.exists(newest):
        return storage.read_bytes(newest).decode()
    raise ConfigError(
        f"there is no {own}, and no version of raw frames is published: there is nothing to train on",
        "run `pageflip synthesize` or `pageflip import`, then `pageflip publish-data` for runs on other machines.",
    )


def _published(store: str, wanted: str) -> str:
    address = storage.join(store, FOLDER, "versions", f"{wanted}.dvc")
    if not HASH.fullmatch(wanted) or not storage.exists(address):
        raise ConfigError(
            f"there is no published data version {wanted!r}",
            "use a hash that `pageflip publish-data` printed, or leave it out for the newest.",
        )
    content = storage.read_bytes(address).decode()
    found = yaml.safe_load(content)["outs"][0]["md5"]
    if found != wanted:
        raise ConfigError(f"{address} holds the version {found}", "restore it with `pageflip publish-data`.")
    return content
