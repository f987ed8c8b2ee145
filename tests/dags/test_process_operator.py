"""The process runner on real processes: exit codes, messages, and that no process outlives it."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

EXECUTE = """
import json, os, signal, sys
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from pageflip_dags.process_operator import ProcessOperator
outcomes = []
for arguments in {cases!r}:
    operator = ProcessOperator(task_id="task", verb=["verb", *arguments], index={index!r})
    try:
        {call}
        outcomes.append(("success", ""))
    except AirflowFailException as error:
        outcomes.append(("final", str(error)))
    except AirflowException as error:
        outcomes.append(("retry", str(error)))
    except BaseException as error:
        outcomes.append((type(error).__name__, str(error)))
print(json.dumps(outcomes))
"""
PLAIN = "operator.execute({'run_id': 'manual__2026-01-02T03:04:05+00:00'})"
TIMED = """
        from airflow.sdk.execution_time.timeout import timeout
        with timeout(10):
            operator.execute({'run_id': 'r'})
"""
KILLED = """
        import pathlib, threading, time
        pids = pathlib.Path(os.environ["PAGEFLIP_PROJECT"], "pids")
        def kill_once_it_works():
            while not pids.exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        threading.Thread(target=kill_once_it_works, daemon=True).start()
        operator.execute({'run_id': 'r'})
"""
LONG = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
if "--deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("pids.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("pids.new", "pids")
if "--dies" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
while True:
    print("working", flush=True)
    time.sleep(0.001)
"""


@pytest.fixture
def execute(in_airflow, tmp_path):
    """Run the operator on this verb, once for each list of arguments; return their outcomes and messages."""

    def run(source: str, *cases: list[str], call: str = PLAIN, index: int | None = None, **environment: str) -> list:
        (tmp_path / "verb.py").write_text(source, encoding="utf-8")
        script = EXECUTE.format(cases=list(cases), call=call.strip(), index=index)
        return in_airflow(script, PAGEFLIP_PROJECT=str(tmp_path), PAGEFLIP_PYTHON=sys.executable, **environment)

    return run


def test_exit_codes_of_data_and_configuration_are_final_and_others_may_be_retried(execute):
    source = "import sys; print('noise'); print('error: the reason', flush=True); raise SystemExit(int(sys.argv[1]))"
    found = execute(source, ["0"], ["65"], ["78"], ["69"], ["1"])
    assert [outcome for outcome, _ in found] == ["success", "final", "final", "retry", "retry"]
    for code, (_, message) in zip((65, 78, 69, 1), found[1:], strict=True):
        assert message.startswith(f"exit code {code}")
        assert "error: the reason" in message


def test_a_killed_command_may_be_retried_and_says_so(execute):
    [(outcome, message)] = execute("import os; os.kill(os.getpid(), 9)", [])
    assert outcome == "retry"
    assert "killed by SIGKILL (out of memory?)" in message


def test_the_command_gets_a_safe_run_name_its_index_and_none_of_airflows_secrets(execute, tmp_path):
    source = """
import json, os, sys
airflow = [name for name in os.environ if "AIRFLOW" in name]
json.dump({"argv": sys.argv[1:], "cwd": os.getcwd(), "airflow": airflow}, open("seen", "w"))
"""
    assert execute(source, ["shard"], index=3, AIRFLOW__API_AUTH__JWT_SECRET="x") == [["success", ""]]
    seen = json.loads((tmp_path / "seen").read_text(encoding="utf-8"))
    verb, flag, run, *index = seen["argv"]
    assert (verb, flag, index) == ("shard", "--run", ["--index", "3"])
    assert run.startswith("manual__2026-01-02T03-04-05-00-00-")
    assert seen["cwd"] == str(tmp_path)
    assert seen["airflow"] == []


@pytest.mark.parametrize(
    ("call", "arguments", "outcome"),
    [
        (TIMED, [], "AirflowTaskTimeout"),
        (KILLED, [], "retry"),
        (KILLED, ["--deaf"], "retry"),
        (PLAIN, ["--dies"], "retry"),
    ],
)
def test_a_timeout_or_a_kill_ends_the_command_and_all_it_started(execute, tmp_path, call, arguments, outcome):
    assert [found for found, _ in execute(LONG, arguments, call=call)] == [outcome]
    for pid in (tmp_path / "pids").read_text(encoding="utf-8").split():
        assert gone(int(pid)), f"process {pid} is left over"


def gone(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8"):
            return True
        time.sleep(0.1)
    return False


def test_a_missing_pipeline_python_is_final_and_named(in_airflow, tmp_path):
    script = EXECUTE.format(cases=[[]], call=PLAIN, index=None)
    [(outcome, message)] = in_airflow(script, PAGEFLIP_PROJECT=str(tmp_path))
    assert outcome == "final"
    assert f"{tmp_path}/.venv/bin/python does not exist" in message


def test_task_ids_and_run_names_are_safe_and_stay_apart(in_airflow):
    ids, runs = in_airflow(
        """
        import json
        from pageflip_dags.task_command import run_key, task_id
        ids = [task_id(name) for name in ("prepare", "train@cnn", "grid@a b/1.5")]
        runs = [run_key(name) for name in ("a-1.b", "a:1", "a+1", "a 1", "../../etc", "__x", "x" * 300, "é")]
        print(json.dumps([ids, runs]))
        """
    )
    assert ids == ["prepare", "train.cnn", "grid.a-b-1.5"]
    assert runs[0] == "a-1.b"
    assert len(set(runs)) == len(runs)
    for run in runs:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", run)
        assert ".." not in run[:2]
