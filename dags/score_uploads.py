"""Score new uploads with the champion, or with day-zero until there is one: plan -> shards -> score -> summarise.

**What it does.** `plan` lists the uploads that the model has not scored yet and divides them into shards; each `score`
task scores one shard and publishes one result per upload; `summarise` writes the run's report. If there are no new
uploads, `score` is skipped and the report says so. The key of a result is the upload's SHA-256 and the model version,
so retries and overlapping runs never score an upload twice.

**When it runs.** On the schedule in `PAGEFLIP_SCORE_SCHEDULE` (a cron expression or preset; default: every 15 minutes;
`none`: only when triggered). Only one run is active at a time; missed runs need no catching up, because the next one
scores everything that is new.

**When it fails.** The task's log ends with the error and the remedy. An unreadable file does not fail a run: it is
quarantined together with the reason.
"""

import json
import os
from datetime import timedelta

from airflow.sdk import DAG, ObjectStoragePath, get_current_context, task

from pageflip_dags.alerts import alert_run_timeout
from pageflip_dags.task_command import project_root, run_key
from pageflip_dags.task_factory import DEFAULT_ARGS, mapped_task, verb_task

SCHEDULE = os.environ.get("PAGEFLIP_SCORE_SCHEDULE") or "*/15 * * * *"
VERB = "tasks.score_uploads"


def store_url() -> str:
    """Return the address of the run store, with the same default as the pipeline's settings."""
    home = os.environ.get("PAGEFLIP_HOME") or str(project_root() / ".pageflip")
    return os.environ.get("PAGEFLIP_STORE") or f"{home}/runs"


@task(execution_timeout=timedelta(minutes=5))
def shards() -> list[int]:
    """Read the indices of the shards from the run's plan."""
    plan = ObjectStoragePath(store_url()) / run_key(get_current_context()["run_id"]) / "score" / "plan.json"
    return [shard["index"] for shard in json.loads(plan.read_text())["shards"]]


with DAG(
    dag_id="score_uploads",
    description="score new uploads with the champion, and report the page flips found",
    doc_md=__doc__,
    schedule=None if SCHEDULE.lower() == "none" else SCHEDULE,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    on_failure_callback=alert_run_timeout,
    default_args=DEFAULT_ARGS,
    tags=["pageflip", "scoring"],
) as dag:
    plan = verb_task("plan", [VERB, "plan"])
    indices = shards()
    score = mapped_task("score", [VERB, "shard"], index=indices, timeout=timedelta(hours=5))  # long videos
    # none_failed: report the run even if `score` is skipped because there is nothing to score
    summarise = verb_task("summarise", [VERB, "summarise"], trigger_rule="none_failed")

    plan >> indices >> score >> summarise
