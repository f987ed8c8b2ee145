"""The local services on a real Airflow: both DAGs of a small project, and an end that leaves no process behind.

The project's verbs are stand-ins that take a second, so that what is tested is what stands between Airflow and them.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.local_stack import config, processes, supervisor
from pageflip.local_stack.airflow_client import AirflowClient
from pageflip.local_stack.dag_runs import DagRunError, run_dag

ROOT = Path(__file__).parents[2]
PIPELINE = """
stages:
  prepare: {cmd: x, outs: [data/frames]}
  train:
    matrix: {model: "${train.models}"}
    cmd: x
    deps: [data/frames]
    outs: ["models/${item.model}"]
    meta: {gpu: 1}
  promote: {cmd: x, deps: [models], outs: [reports/promotion.json]}
"""
RUN_STAGE = """
import os, pathlib, subprocess, sys, time
stage = sys.argv[1]
print("this is", stage)
if pathlib.Path("bad").exists():
    print("error: the frames are bad")
    sys.exit(65)
if pathlib.Path("slow").exists():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    pathlib.Path("pids.new").write_text(f"{os.getpid()} {child.pid}")
    os.replace("pids.new", "pids")
    while True:
        print("working", flush=True)
        time.sleep(0.01)
pathlib.Path(f"done-{stage}").write_text(" ".join(sys.argv[1:]))
pathlib.Path(f"approver-{stage}").write_text(os.environ.get("PAGEFLIP_APPROVED_BY", ""))
"""
SCORE = """
import json, os, pathlib, sys
step, run = sys.argv[1], sys.argv[sys.argv.index("--run") + 1]
folder = pathlib.Path(os.environ["PAGEFLIP_STORE"], run, "score")
folder.mkdir(parents=True, exist_ok=True)
if step == "plan":
    shards = [{"index": index, "uploads": []} for index in range(int(pathlib.Path("shards").read_text()))]
    (folder / "plan.json").write_text(json.dumps({"shards": shards}))
if step == "shard":
    (folder / f"shard-{sys.argv[-1]}.json").touch()
if step == "summarise":
    (folder / "summary.json").write_text(json.dumps(len(list(folder.glob("shard-*")))))
"""
SESSION = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    for name in (".venv", ".venv-airflow", "dags"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "tasks").mkdir()
    (folder / "tasks" / "run_stage.py").write_text(RUN_STAGE, encoding="utf-8")
    (folder / "tasks" / "score_uploads.py").write_text(SCORE, encoding="utf-8")
    (folder / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (folder / "params.yaml").write_text("train: {models: [cnn, vit]}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("PAGEFLIP_", "AIRFLOW", "MLFLOW"))]:
            patch.delenv(name)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def airflow(project: Path, webhook: tuple[str, list[dict]]) -> Iterator[supervisor.Running]:
    variables = {
        "PAGEFLIP_ALERT_URL": webhook[0],
        "PAGEFLIP_APPROVERS": f"{config.USER}, deputy",
        "PAGEFLIP_RETRAIN_DEADLINE_HOURS": "0.0005",  # 1.8 s
        "PAGEFLIP_RETRAIN_SCHEDULE": "data",
        "PAGEFLIP_SCORE_SCHEDULE": "none",
    }
    with supervisor.airflow_for_a_job(variables) as running:
        yield running


@pytest.fixture(scope="module")
def client(airflow: supervisor.Running) -> AirflowClient:
    client = AirflowClient(airflow.airflow_url, airflow.user, airflow.password)
    client.ensure_gpu_pool()
    client.ensure_gpu_pool()  # a second time changes nothing
    return client


def run(client: AirflowClient, project: Path, dag_id: str, run_id: str) -> dict[str, str | None]:
    logs = project / ".pageflip" / "airflow" / "logs"
    tasks = run_dag(client, dag_id, run_id, timeout=240, run_prefix="test-", log_folder=logs)
    return {task.label: task.state for task in tasks}


def test_a_taken_port_is_named_with_the_way_to_choose_another(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} for Airflow .*\n.*--airflow-port or PAGEFLIP_AIRFLOW_PORT"):
            supervisor.up(port, with_mlflow=False)


def test_a_port_that_is_no_number_is_refused(project, monkeypatch):
    monkeypatch.setenv("PAGEFLIP_MLFLOW_PORT", "http")
    with pytest.raises(ConfigError, match="PAGEFLIP_MLFLOW_PORT is 'http'"):
        supervisor.up(supervisor._free_port())


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path):
    where = config.Places(tmp_path, tmp_path / "home")
    keys = config.load_keys(where)
    assert config.load_keys(where) == keys
    for file in (where.folder / "keys.json", where.password_file):
        assert file.stat().st_mode & 0o077 == 0


def test_without_the_orchestrator_environment_the_command_that_makes_it_is_named(tmp_path):
    with pytest.raises(ConfigError, match="make setup"):
        config.programs(config.Places(tmp_path, tmp_path / "home"), None)


def test_a_stale_pidfile_makes_no_strangers_session_ours(tmp_path):
    where = config.Places(tmp_path, tmp_path / "home")
    where.folder.mkdir(parents=True)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    where.pidfile.write_text(str(stranger.pid), encoding="utf-8")
    assert processes.find_processes(where) == set()  # the number is another's by now
    stranger.kill()
    stranger.wait()
    where.pidfile.write_text("0", encoding="utf-8")
    assert processes.find_processes(where) == set()  # in a container, the session of whatever was started from outside
    sleeper = subprocess.Popen([sys.executable, "-c", SESSION], start_new_session=True, stdout=subprocess.PIPE)
    child = psutil.Process(int(sleeper.stdout.readline()))
    sleeper.wait()
    sleeper.stdout.close()
    where.pidfile.write_text(str(sleeper.pid), encoding="utf-8")
    assert processes.find_processes(where) == {child}
    later = child.create_time() + 60
    os.utime(where.pidfile, (later, later))
    assert processes.find_processes(where) == set()  # a process older than the session
    os.utime(where.pidfile, (psutil.boot_time() - 60,) * 2)
    assert processes.find_processes(where) == set()  # the file is from before the machine started
    child.kill()
    assert processes.wait_until_ended([child], 10) == []


def test_a_job_that_was_killed_owns_nothing():
    me = psutil.Process()
    assert processes.is_same_process_alive({"pid": me.pid, "started": me.create_time()})
    assert not processes.is_same_process_alive(
        {"pid": me.pid, "started": me.create_time() - 3600}
    )  # the number is another's by now


def test_both_dags_run_to_success_and_services_listen_on_loopback_only(project, airflow, client):
    states = run(client, project, "retrain", "test-1")
    stages = dict.fromkeys(["prepare", "train@cnn", "train@vit", "promote"], "success")
    assert states == {**stages, "approve_promotion": "skipped"}
    assert (project / "done-train@cnn").exists()
    for shards, expected in ((2, {"score[0]": "success", "score[1]": "success"}), (0, {"score": "skipped"})):
        (project / "shards").write_text(str(shards), encoding="utf-8")
        states = run(client, project, "score_uploads", f"test-{shards}-shards")
        assert states == {"plan": "success", "shards": "success", "summarise": "success", **expected}
        summary = project / ".pageflip" / "runs" / f"test-{shards}-shards" / "score" / "summary.json"
        assert json.loads(summary.read_text(encoding="utf-8")) == shards
    assert listening_addresses() == {"127.0.0.1"}
    deadline = time.monotonic() + 120  # on a busy machine a heartbeat may come late
    while (states := airflow_states()) != {"healthy"} and time.monotonic() < deadline:
        time.sleep(0.5)
    assert states == {"healthy"}


def listening_addresses() -> set[str]:
    found = set()
    for process in processes.find_processes(config.find_places()):
        with suppress(psutil.Error):  # some live for a moment only
            connections = process.net_connections("inet")
            found |= {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
    return found


def airflow_states() -> set[str]:
    return {status.state for status in supervisor.status() if status.name.startswith("airflow")}


def test_a_failed_task_is_reported_with_the_end_of_its_log_and_where_it_is(project, client):
    (project / "bad").touch()
    with pytest.raises(DagRunError) as caught:
        run(client, project, "retrain", "test-bad")
    (project / "bad").unlink()
    assert "retrain: prepare failed in its try 1" in str(caught.value)  # code 65: no retry
    assert "error: the frames are bad" in str(caught.value)
    assert Path(caught.value.remedy.rsplit(": ", 1)[1]).is_file()


def test_who_is_to_know_of_a_failure_and_of_a_late_run_is_told(webhook, client):
    failed = await_it(lambda: told(webhook, "task_failed"))
    assert (failed[0]["task"], failed[0]["run"]) == ("prepare", "test-bad")
    assert "error: the frames are bad" in failed[0]["text"]
    assert failed[0]["log"].startswith(client.url)
    late = await_it(lambda: told(webhook, "run_late"))
    assert (late[0]["dag"], late[0]["run"]) == ("retrain", "test-1")


def told(webhook: tuple[str, list[dict]], event: str) -> list[dict]:
    return [alert for alert in webhook[1] if alert["event"] == event]


def await_it(look: Callable[[], list], seconds: float = 120) -> list:
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found
    return found


def test_a_form_is_checked_by_airflow_and_handed_to_the_stages(project, client):
    for wrong in ({"models": ["resnet"]}, {"seed": "soon"}, {"approval": "maybe"}):
        with pytest.raises(ConfigError, match="HTTP 4"):
            client.trigger_dag("retrain", "test-wrong", wrong)
    client.trigger_dag("retrain", "test-form", {"models": ["vit"], "seed": 5, "approval": "manual"})


def test_a_rejected_candidate_is_not_promoted_even_when_promote_is_cleared(project, client, webhook):
    waiting = await_it(lambda: told(webhook, "approval_waits"))[-1]
    assert waiting["url"].startswith(f"{client.url}/dags/retrain/runs/test-form/tasks/approve_promotion/")
    assert "May the candidate of pageflip become champion?" in waiting["text"]
    assert finished(client, "test-form", "Reject") == {
        **FORM_STATES,
        "approve_promotion": "success",
        "promote": "skipped",
    }
    rejected = told(webhook, "promotion_rejected")[-1]
    assert rejected["by"] == config.USER
    assert "rejected by admin" in rejected["text"]
    clear(client, "test-form", "promote")
    assert finished(client, "test-form")["promote"] == "skipped"
    assert "test-form" not in (project / "done-promote").read_text(encoding="utf-8")
    said = (project / "done-train@vit").read_text(encoding="utf-8")
    wanted = "--set train.models=[vit] --set train.seed=5 --set promote.approval=manual"
    assert said == f"train@vit --run test-form {wanted}"


def test_a_question_that_is_marked_as_answered_by_hand_is_no_approval(project, client):
    clear(client, "test-form", "approve_promotion", "promote")
    await_it(lambda: is_asked(client, "test-form"))
    path = "/dags/retrain/dagRuns/test-form/taskInstances/approve_promotion"
    client._call("PATCH", path, json={"new_state": "success"})
    assert finished(client, "test-form")["promote"] == "skipped"
    assert "test-form" not in (project / "done-promote").read_text(encoding="utf-8")
    [promote] = [task for task in client.task_states("retrain", "test-form") if task.name == "promote"]
    log = project / ".pageflip/airflow/logs/dag_id=retrain/run_id=test-form/task_id=promote"
    assert "nobody has approved" in (log / f"attempt={promote.try_number}.log").read_text(encoding="utf-8")


def test_who_approved_when_asked_again_is_handed_to_promote(project, client):
    clear(client, "test-form", "approve_promotion", "promote")
    assert finished(client, "test-form", "Approve") == {
        **FORM_STATES,
        "approve_promotion": "success",
        "promote": "success",
    }
    assert "--run test-form" in (project / "done-promote").read_text(encoding="utf-8")
    assert (project / "approver-promote").read_text(encoding="utf-8") == config.USER


FORM_STATES = {"prepare": "success", "train@vit": "success", "train@cnn": "skipped"}


def is_asked(client: AirflowClient, run_id: str) -> list:
    tasks = client.task_states("retrain", run_id)
    return [task for task in tasks if (task.task_id, task.state) == ("approve_promotion", "awaiting_input")]


def clear(client: AirflowClient, run_id: str, *tasks: str) -> None:
    body = {"dag_run_id": run_id, "task_ids": tasks, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
    client._call("POST", "/dags/retrain/clearTaskInstances", json=body)


def finished(client: AirflowClient, run_id: str, option: str | None = None) -> dict[str, str | None]:
    """The states of the tasks at the run's end; whoever asks on the way gets `option` for an answer."""

    def answer(tasks: list) -> None:
        if option and is_asked(client, run_id):
            time.sleep(3)  # an answer within a second of the question makes Airflow lose it, and ask again
            path = f"/dags/retrain/dagRuns/{run_id}/taskInstances/approve_promotion/-1/hitlDetails"
            client._call("PATCH", path, json={"chosen_options": [option], "params_input": {}}, accept=(404, 409))

    assert client.wait_for_run("retrain", run_id, 240, on_poll=answer) == "success"
    return {task.name: task.state for task in client.task_states("retrain", run_id)}


def test_a_new_version_of_the_frames_starts_a_run_that_reads_it(project, client):
    before = set(client.unfinished_runs("retrain"))
    client.publish_event("frames", {"data_version": "1" * 32})
    [run_id] = await_it(lambda: sorted(set(client.unfinished_runs("retrain")) - before))
    assert client.wait_for_run("retrain", run_id, 240) == "success"
    assert (project / "done-promote").read_text(encoding="utf-8").endswith(f"--data-version {'1' * 32}")


def test_a_run_is_refused_twice(client):
    with pytest.raises(ConfigError, match="HTTP 409"):
        client.trigger_dag("retrain", "test-1")


def test_up_is_refused_while_a_job_runs_its_own_airflow(airflow):
    with pytest.raises(ConfigError, match=r"the main job runs its own Airflow\n.*wait for it"):
        supervisor.up(with_mlflow=False)


def test_a_second_up_says_so_and_a_job_leaves_what_a_user_started(airflow):
    where = config.find_places()
    state = where.state.read_text(encoding="utf-8")
    where.state.write_text(json.dumps({**json.loads(state), "owner": "user"}), encoding="utf-8")
    said = []
    assert supervisor.up(report=said.append, with_mlflow=False) == airflow
    assert said == ["The services are up already."]
    with supervisor.airflow_for_a_job({}, said.append) as running:
        assert running == airflow
    assert supervisor.find_running() == airflow
    assert supervisor.addresses()[0] == airflow.airflow_url
    where.state.write_text(state, encoding="utf-8")


def test_down_ends_every_process_even_those_of_a_running_task(project, airflow, client):
    (project / "slow").touch()
    client.trigger_dag("retrain", "test-slow")
    pids, deadline = [], time.monotonic() + 180
    while len(pids) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        with suppress(FileNotFoundError):
            pids = [int(pid) for pid in (project / "pids").read_text(encoding="utf-8").split()]
    assert len(pids) == 2
    [task] = [task for task in client.task_states("retrain", "test-slow") if task.state == "running"]
    first, token = client.new_log_lines("retrain", "test-slow", task, None)
    assert "this is prepare" in first
    later, _ = client.new_log_lines("retrain", "test-slow", task, token)
    assert set(later) == {"working"}  # only what was logged since
    found = processes.find_processes(config.find_places())
    assert set(pids) <= {process.pid for process in found}
    said = []
    assert supervisor.down(said.append) is True
    assert "processes have ended" in said[-1]
    assert not any(processes.is_alive(process) for process in found)
    assert supervisor.down(said.append) is False
    assert said[-1] == "No services are running."
    assert supervisor.find_running() is None


def test_two_commands_do_not_start_services_at_once(project):
    with supervisor._lock(config.find_places()), pytest.raises(UnavailableError, match="another command"):
        supervisor.down()


def test_status_of_nothing_says_down(project):
    command = [sys.executable, "-m", "tasks.services", "status"]
    env = {**os.environ, "PAGEFLIP_PROJECT": str(project), "PAGEFLIP_HOME": str(project / ".pageflip")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "down" in done.stdout
