"""Run scripts in forks of one process that has imported Airflow, whose import takes two seconds of CPU each time.

Reads a line of JSON per script from standard input: `code`, `environment`, and the files for `stdout` and `stderr`.
Writes the exit code of each script as a line to standard output.
"""

import json
import os
import sys
import traceback
from pathlib import Path

# what dags/ imports of libraries; dags/ itself is imported by each script
import airflow.providers.cncf.kubernetes.operators.pod
import airflow.providers.docker.operators.docker
import airflow.providers.standard.operators.hitl
import airflow.sdk  # noqa: F401


def run(code: str) -> int:
    """Run a script as a program of its own would, and return its exit code."""
    try:
        exec(compile(code, "<script>", "exec"), {"__name__": "__main__"})
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            os.environ.clear()
            os.environ.update(job["environment"])
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(Path(job[name]), os.O_WRONLY | os.O_CREAT), number)
            code = run(job["code"])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
