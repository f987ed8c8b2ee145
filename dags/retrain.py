"""Retrain, judge and promote the page-flip model: the pipeline of dvc.yaml, one task per stage.

**What it does.** Each task runs one stage in a clean workspace (`python -m tasks.run_stage STAGE --run RUN`). Stages
hand on their results through the DVC remote only, so a stage whose inputs did not change is restored, not computed.

**When it runs.** By the cron expression or preset in `PAGEFLIP_RETRAIN_SCHEDULE` (`@weekly` unless set; `none`: only
when triggered). One run at a time; missed dates are not caught up on. There is no start date: else the first unpausing
would start a run for the week gone by.

**When it fails.** The task's log ends with what is wrong and what to do.
Exit code 65 (data) or 78 (configuration): correct that and trigger a new run. Anything else was tried three times: look
at the disk, the memory and the services, then clear the failed task, and the run goes on from there. A failed run
never moves the model's alias: the champion stays in service.
"""

import os
from datetime import timedelta

from airflow.sdk import DAG

from dvc_graph import edges, read_stages
from stage_operator import DEFAULT_ARGS, project_root, stage_task

SCHEDULE = os.environ.get("PAGEFLIP_RETRAIN_SCHEDULE") or "@weekly"

with DAG(
    dag_id="retrain",
    description="prepare, validate, split, train, evaluate, register and promote: the stages of dvc.yaml",
    doc_md=__doc__,
    schedule=None if SCHEDULE.lower() == "none" else SCHEDULE,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
    default_args=DEFAULT_ARGS,
    tags=["pageflip", "training"],
) as dag:
    stages = read_stages(project_root())
    tasks = {stage.name: stage_task(stage) for stage in stages}
    for earlier, later in sorted(edges(stages)):
        tasks[earlier] >> tasks[later]
