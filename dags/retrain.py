"""Retrain, evaluate and promote the page-flip model: the pipeline of dvc.yaml, one task per stage.

**What it does.** Each task runs one stage in a clean workspace (`python -m tasks.run_stage STAGE --run RUN`). Stages
exchange results only through the DVC remote, so a stage whose inputs have not changed is restored instead of being
recomputed. `approve_promotion` precedes `promote`: if `promote.approval` in params.yaml, or the form, is `manual`, a
person decides there whether the candidate may become champion; if it is `automatic`, the task is skipped.

**When it runs.** On the schedule in `PAGEFLIP_RETRAIN_SCHEDULE` (a cron expression or preset; default `@weekly`), and
whenever `pageflip publish-data` has published a new version of the frames (the asset `pageflip://frames`). With
`data`, only the latter; with `none`, only when triggered. The form of a manual run sets models, seed, data version, dry
run and promotion. Only one run is active at a time, and missed dates are not caught up. There is no start date, because
with one the first unpausing would start a run for the past week.

**When it fails.** The task's log ends with the error and the remedy, which `PAGEFLIP_ALERT_URL` receives too.
Exit code 65 (data) or 78 (configuration): correct the error and trigger a new run. Any other error was retried twice:
check disk, memory and services, then clear the failed task, and the run continues from there. A failed run never moves
the model's alias: the champion stays in service. Nor does a rejected run, which ends as a success with `promote`
skipped; the log of `approve_promotion` names who rejected it. A run that takes longer than
`PAGEFLIP_RETRAIN_DEADLINE_HOURS` (12) sends an alert and continues. A run that waits for approval blocks the next one.
"""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable

from pageflip_dags.alerts import alert_run_timeout, retrain_deadline
from pageflip_dags.approval import approval_hours, approval_task
from pageflip_dags.dvc_graph import edges, read_stages
from pageflip_dags.run_form import APPROVED_STAGE, FRAMES_ASSET, FRAMES_URI, trigger_form
from pageflip_dags.task_command import project_root
from pageflip_dags.task_factory import DEFAULT_ARGS, stage_task

REPORT_STAGE = "report"
MAX_WORKING_HOURS = 24  # of a run, not counting the wait for approval

FRAMES = Asset(name=FRAMES_ASSET, uri=FRAMES_URI, group="pageflip")


def schedule(text: str) -> Any:
    """Return the schedule: dates and new data, new data only (`data`), or None (`none`)."""
    if text.lower() == "none":
        return None
    if text.lower() == "data":
        return [FRAMES]
    # By default, Airflow starts a first run at once if the last date is less than a tenth of the interval ago.
    dates = CronTriggerTimetable(text, timezone="UTC", run_immediately=timedelta(0))
    return AssetOrTimeSchedule(timetable=dates, assets=[FRAMES])


with DAG(
    dag_id="retrain",
    description="prepare, validate, split, train, evaluate, report, register and promote: the stages of dvc.yaml",
    doc_md=__doc__,
    schedule=schedule(os.environ.get("PAGEFLIP_RETRAIN_SCHEDULE") or "@weekly"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=MAX_WORKING_HOURS + approval_hours()),
    deadline=retrain_deadline(),
    on_failure_callback=alert_run_timeout,
    params=trigger_form(project_root()),
    default_args=DEFAULT_ARGS,
    tags=["pageflip", "training"],
) as dag:
    stages = read_stages(project_root())
    tasks = {stage.name: stage_task(stage) for stage in stages}
    for earlier, later in sorted(edges(stages)):
        tasks[earlier] >> tasks[later]
    if APPROVED_STAGE in tasks:  # the only task that is not a stage of dvc.yaml
        # the request links to the reports, on which no stage depends
        reports = [task for name, task in tasks.items() if name.partition("@")[0] == REPORT_STAGE]
        approve = approval_task()
        [*tasks[APPROVED_STAGE].upstream_list, *reports] >> approve >> tasks[APPROVED_STAGE]
