"""The common base of the operators: the verb that a task runs, its link to MLflow, and nothing to render."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator

from pageflip_dags.mlflow_link import MlflowLink


class VerbOperator(BaseOperator):
    """Run `python -m VERB... --run RUN [--index INDEX]`; subclasses say where.

    Exit codes 65 and 78 fail the task for good; any other but 0 may be retried.
    """

    template_fields: Sequence[str] = ()  # nothing is rendered, so no page of Airflow shows the environment
    operator_extra_links = (MlflowLink(),)
    ui_color = "#e8f1f2"

    def __init__(self, *, verb: Sequence[str], index: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.verb = list(verb)
        self.index = index
