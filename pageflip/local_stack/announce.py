"""Versions of the raw frames: tracked by DVC, pushed to its remote, published to the run store.

    STORE/.data/versions/HASH.dvc    the data/raw.dvc of every version that was published
    STORE/.data/newest.dvc           that of the one published last

So a run, wherever its stages work, can ask for a version by its hash, or for the one published last.
"""

import os
from typing import TYPE_CHECKING

from pageflip.base.errors import PageflipError

if TYPE_CHECKING:
    from pageflip.local_stack.airflow_client import AirflowClient

FRAMES_ASSET = "frames"  # the asset pageflip://frames of dags/retrain.py


def tell_airflow(version: str) -> str:
    try:
        client = _client()
        if client is None:
            return "Airflow is not up here (PAGEFLIP_AIRFLOW_URL names another): the next run on schedule reads it."
        client.publish_event(FRAMES_ASSET, {"data_version": version})
    except PageflipError as error:
        return f"Airflow could not be told: {error}\n  The version is published: the next run on schedule reads it."
    return (
        f"Airflow at {client.url} was told: a run of `retrain` begins, if it is unpaused and its schedule follows data."
    )


def _client() -> "AirflowClient | None":
    """The Airflow that PAGEFLIP_AIRFLOW_URL names, or the one of `make up`; None when there is neither."""
    from pageflip.local_stack import supervisor
    from pageflip.local_stack.airflow_client import AirflowClient

    url = os.environ.get("PAGEFLIP_AIRFLOW_URL")
    if url:
        user = os.environ.get("PAGEFLIP_AIRFLOW_USER") or "admin"
        return AirflowClient(url, user, os.environ.get("PAGEFLIP_AIRFLOW_PASSWORD", ""), tries=2)
    running = supervisor.find_running()
    return AirflowClient(running.airflow_url, running.user, running.password, tries=2) if running else None
