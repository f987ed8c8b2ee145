"""Announcement of a new version of the raw frames to Airflow, as an asset event."""

from typing import TYPE_CHECKING

from pageflip.base import settings
from pageflip.base.errors import PageflipError

if TYPE_CHECKING:
    from pageflip.local_stack.airflow_client import AirflowClient

FRAMES_ASSET = "frames"  # the asset pageflip://frames of dags/retrain.py
TRIES = 2  # a version is published whether Airflow answers or not


def announce_version(version: str) -> str:
    """Create an event of the asset FRAMES_ASSET with this data version; return a sentence on how that went."""
    try:
        client = _find_airflow()
        if client is None:
            return (
                "Airflow is not up here (PAGEFLIP_AIRFLOW_URL names another): the next scheduled run uses the version."
            )
        client.publish_event(FRAMES_ASSET, {"data_version": version})
    except PageflipError as error:
        return f"Airflow could not be notified: {error}\n  The version is published: the next scheduled run uses it."
    return (
        f"Airflow at {client.url} was notified: `retrain` starts if it is unpaused and its schedule includes new data."
    )


def _find_airflow() -> "AirflowClient | None":
    """Return a client of the Airflow that PAGEFLIP_AIRFLOW_URL names, or of the one of `make up`; None without any."""
    from pageflip.local_stack import supervisor
    from pageflip.local_stack.airflow_client import AirflowClient

    login = settings.airflow_login()
    if login is not None:
        return AirflowClient(login.url, login.user, login.password, tries=TRIES)
    running = supervisor.find_running()
    return AirflowClient(running.airflow_url, running.user, running.password, tries=TRIES) if running else None
