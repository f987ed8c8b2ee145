"""Versions of the raw frames: tracked by DVC, pushed to its remote, published to the run store.

    STORE/.data/versions/HASH.dvc    data/raw.dvc of each published version
    STORE/.data/newest.dvc           data/raw.dvc of the version published last

A run on any machine can use a version by its hash, or the one published last.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.base.provenance import data_version
from pageflip.local_stack.announce import announce_version

PUBLISHED = "published"  # in place of a hash: the version published last, or else the project's own
HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
FOLDER = ".data"  # not a valid run id


@dataclass(frozen=True)
class Publication:
    """Published version, and a sentence on its announcement to Airflow."""

    version: str
    announcement: str


def track_raw(project: Path) -> str:
    """Run `dvc add data/raw` and `dvc push` in `project`, and return the data version (the DVC hash).

    Raises:
        UnavailableError: DVC or its remote failed; the frames themselves are in place.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # else it suggests a `git add`
    target = str(project / "data" / "raw")
    try:
        with Repo(str(project)) as repo:
            repo.add(target)
            repo.push(targets=[f"{target}.dvc"])
    except DvcException as error:
        raise UnavailableError(
            f"the frames are in {target}, but DVC could not track and push them: {error}",
            "correct that and run `dvc add data/raw && dvc push`, or skip it with --no-track.",
        ) from error
    return data_version(project)


def raw_has_changed(project: Path) -> bool:
    """Return whether the content of data/raw differs from data/raw.dvc.

    Raises:
        UnavailableError: DVC cannot compare them.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo:
            return bool(repo.status(targets=[str(project / "data" / "raw.dvc")]))
    except DvcException as error:
        raise UnavailableError(
            f"DVC cannot compare data/raw with data/raw.dvc: {error}", "see `dvc status data/raw.dvc`."
        ) from error


def publish(project: Path) -> Publication:
    """Track and push data/raw, publish its version to the run store, and announce it to Airflow.

    The version is published even where no Airflow answers; the next scheduled run uses it.

    Raises:
        ConfigError: there are no frames.
        UnavailableError: DVC, its remote or the run store failed.
    """
    if not (project / "data" / "raw").is_dir():
        raise ConfigError(f"there are no frames in {project / 'data' / 'raw'}", "run `pageflip import` first.")
    version = track_raw(project)
    content = (project / "data" / "raw.dvc").read_bytes()
    store = settings.store_url()
    # the version first, so that the newest is never one that is missing
    storage.write_bytes(storage.join(store, FOLDER, "versions", f"{version}.dvc"), content)
    storage.write_bytes(storage.join(store, FOLDER, "newest.dvc"), content)
    return Publication(version, announce_version(version))


def find_version(project: Path, store: str, version: str | None) -> str:
    """Return the content of a version's data/raw.dvc.

    Args:
        project: folder of the project.
        store: address of the run store.
        version: a hash, or PUBLISHED for the version published last, or else the project's own; None for the project's
            own, or else the one published last.

    Raises:
        ConfigError: there is no such version, or none at all.
    """
    own = project / "data" / "raw.dvc"
    if version is not None and version != PUBLISHED:
        if data_version(project) == version:
            return own.read_text(encoding="utf-8")
        return _read_published(store, version)
    newest = storage.join(store, FOLDER, "newest.dvc")
    if own.is_file() and (version is None or not storage.exists(newest)):
        return own.read_text(encoding="utf-8")
    if storage.exists(newest):
        return storage.read_bytes(newest).decode()
    raise ConfigError(
        f"there is no {own}, and no version of the raw frames has been published",
        "run `pageflip synthesize` or `pageflip import`, then `pageflip publish-data` for runs on other machines.",
    )


def _read_published(store: str, version: str) -> str:
    address = storage.join(store, FOLDER, "versions", f"{version}.dvc")
    if not HASH.fullmatch(version) or not storage.exists(address):
        raise ConfigError(
            f"there is no published data version {version!r}",
            "use a hash that `pageflip publish-data` printed, or leave it out for the newest.",
        )
    content = storage.read_bytes(address).decode()
    found = yaml.safe_load(content)["outs"][0]["md5"]
    if found != version:
        raise ConfigError(f"{address} holds the version {found}", "restore it with `pageflip publish-data`.")
    return content
