"""Score new uploads with the champion, or with day-zero until there is one: plan -> shards -> score -> summarise.

**What it does.** `plan` lists the uploads that the model has not scored yet and deals them out in shards; each
`score` task scores one shard and publishes a result per upload; `summarise` writes the run's report. With nothing new,
`score` is skipped and the report says so. A result's key is the upload's SHA-256 and the model's version, so an upload
is never scored twice, whatever is retried or overlaps.

**When it runs.** By the cron expression or preset in `PAGEFLIP_SCORE_SCHEDULE` (every 15 minutes unless set; `none`:
only when triggered). One run at a time; a missed run needs no catching up, the next one takes all that is new.

**When it fails.** The task's log ends with what is wrong and what to do. A file that cannot be read does not fail a
run: it goes to quarantine with the reason.
"""

import json
import os
from datetime import timedelta

from airflow.sdk import DAG, ObjectStoragePath, task

from pageflip_dags.alerts import run_failed
from pageflip_dags.stage_operator import DEFAULT_ARGS, mapped_task, verb_task
from pageflip_dags.task_command import project_root, run_key

SCHEDULE = os.environ.get("PAGEFLIP_SCORE_SCHEDULE") or "*/15 * * * *"
VERB = "tasks.score_uploads"


def store_url() -> str:
    """The run store's address; the default is that of pageflip/settings.py."""
    home = os.environ.get("PAGEFLIP_HOME") or str(project_root() / ".pageflip")
    return os.environ.get("PAGEFLIP_STORE") or f"{home}/runs"


@task(execution_timeout=timedelta(minutes=5))
def shards(run_id: str | None = None) -> list[int]:
    """The numbers of the shards in the plan of the run, whose id Airflow fills in."""
    plan = ObjectStoragePath(store_url()) / run_key(run_id) / "score" / "plan.json"
    return [shard["index"] for shard in json.loads(plan.read_text())["shards"]]


with DAG(
    dag_id="score_uploads",
    description="score new uploads with the champion, and report the page flips found",
    doc_md=__doc__,
    schedule=None if SCHEDULE.lower() == "none" else SCHEDULE,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    on_failure_callback=run_failed,
    default_args=DEFAULT_ARGS,
    tags=["pageflip", "scoring"],
) as dag:
    plan = verb_task("plan", [VERB, "plan"])
    indices = shards()
    score = mapped_task("score", [VERB, "shard"], index=indices, timeout=timedelta(hours=5))  # long videos
    # none_failed: a run with nothing to score skips `score`, and is still reported
    summarise = verb_task("summarise", [VERB, "summarise"], trigger_rule="none_failed")

    plan >> indices >> score >> summarise
