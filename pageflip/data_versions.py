"""Versions of the raw frames: tracked by DVC, pushed to its remote."""

import logging
from pathlib import Path

from pageflip.errors import UnavailableError
from pageflip.versions import data_version


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
