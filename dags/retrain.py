"""Retrain, judge and promote the page-flip model: the pipeline of dvc.yaml, one task per stage.

**What it does.** Each task runs one stage in a clean workspace (`python -m tasks.run_stage STAGE --run RUN`). Stages
hand on their results through the DVC remote only, so a stage whose inputs did not change is restored, not computed.
Before `promote` stands `approve_promotion`: where `promote.approval` in params.yaml, or the form, says `manual`, a
person decides there whether the candidate may become champion; where it says `automatic`, it is skipped.

**When it runs.** By the cron expression or preset in `PAGEFLIP_RETRAIN_SCHEDULE` (`@weekly` unless set), and when
`pageflip publish-data` has published a new version of the frames (the asset `pageflip://frames`). `data`: only then;
`none`: only when triggered. By hand, the form asks for models, seed, data version, dry run and promotion. One run at a
time; missed dates are not caught up on. There is no start date: else the first unpausing would start a run for the week
gone by.

**When it fails.** The task's log ends with what is wrong and what to do; the same goes to `PAGEFLIP_ALERT_URL`.
Exit code 65 (data) or 78 (configuration): correct that and trigger a new run. Anything else was tried three times: look
at the disk, the memory and the services, then clear the failed task, and the run goes on from there. A failed run
never moves the model's alias: the champion stays in service. Nor does a rejected one, which ends as a success with
`promote` skipped: the log of `approve_promotion` says who rejected it. A run that is not over after
`PAGEFLIP_RETRAIN_DEADLINE_HOURS` (12) is told of, and goes on; one that waits for a person holds up the next.
"""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable

from pageflip_dags.alerts import deadline, run_failed
from pageflip_dags.approval import approval_hours, approval_task
from pageflip_dags.dvc_graph import edges, read_stages
from pageflip_dags.run_form import APPROVED_STAGE, FRAMES_ASSET, form
from pageflip_dags.stage_operator import DEFAULT_ARGS, stage_task
from pageflip_dags.task_command import project_root

WORKING_HOURS = 24  # of a run, beside the time that it may wait for a person

FRAMES = Asset(name="frames", uri=FRAMES_ASSET, group="pageflip")


def schedule(text: str) -> Any:
    """What starts a run: dates and new data, new data only (`data`), or nothing (`none`)."""
    if text.lower() == "none":
        return None
    if text.lower() == "data":
        return [FRAMES]
    # run_immediately: else Airflow starts a first run for a date that is up to a tenth of the interval past
    dates = CronTriggerTimetable(text, timezone="UTC", run_immediately=timedelta(0))
    return AssetOrTimeSchedule(timetable=dates, assets=[FRAMES])


with DAG(
    dag_id="retrain",
    description="prepare, validate, split, train, evaluate, register and promote: the stages of dvc.yaml",
    doc_md=__doc__,
    schedule=schedule(os.environ.get("PAGEFLIP_RETRAIN_SCHEDULE") or "@weekly"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=WORKING_HOURS + approval_hours()),
    deadline=deadline(),
    on_failure_callback=run_failed,
    params=form(project_root()),
    default_args=DEFAULT_ARGS,
    tags=["pageflip", "training"],
) as dag:
    stages = read_stages(project_root())
    tasks = {stage.name: stage_task(stage) for stage in stages}
    for earlier, later in sorted(edges(stages)):
        tasks[earlier] >> tasks[later]
    if APPROVED_STAGE in tasks:  # the one task that is no stage of dvc.yaml
        approve = approval_task()
        tasks[APPROVED_STAGE].upstream_list >> approve >> tasks[APPROVED_STAGE]
