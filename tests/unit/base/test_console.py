"""How programs end: a message and an exit code for a user's mistake, a traceback for ours."""

import errno
import os

import pytest

from pageflip.base.console import prepare_outcome, read_outcome, run_main
from pageflip.base.errors import FINAL_EXIT_CODES, ConfigError, DataError, UnavailableError
from pageflip.base.settings import OUTCOME_VARIABLE


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    path = tmp_path / "outcome"
    monkeypatch.setenv(OUTCOME_VARIABLE, str(path))
    monkeypatch.delenv("PAGEFLIP_TRACEBACK", raising=False)
    return path


def failing(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("kind", "code", "final"), [(DataError, 65, True), (UnavailableError, 69, False), (ConfigError, 78, True)]
)
def test_an_error_ends_with_its_message_remedy_and_exit_code(outcome, capsys, kind, code, final):
    with pytest.raises(SystemExit) as ended:
        run_main(failing(kind("frame 7 is odd", "turn it over.")))
    assert ended.value.code == code
    assert capsys.readouterr().err == "error: frame 7 is odd\n  What to do: turn it over.\n"
    assert outcome.read_text() == str(code)
    assert (code in FINAL_EXIT_CODES) is final


def test_success_is_noted_for_the_runner(outcome):
    run_main(lambda: None)
    assert outcome.read_text() == "0"


def test_without_a_runner_nothing_is_noted(outcome, monkeypatch):
    monkeypatch.delenv(OUTCOME_VARIABLE)
    run_main(lambda: None)
    assert not outcome.exists()


def test_a_fault_of_ours_keeps_its_traceback_and_leaves_no_outcome(outcome):
    with pytest.raises(ZeroDivisionError, match="by zero"):
        run_main(lambda: 1 // 0)
    assert not outcome.exists()


def test_the_traceback_can_be_asked_for(outcome, monkeypatch):
    monkeypatch.setenv("PAGEFLIP_TRACEBACK", "1")
    with pytest.raises(DataError, match="odd"):
        run_main(failing(DataError("odd")))


def test_an_interrupt_ends_with_130(outcome, capsys):
    with pytest.raises(SystemExit) as ended:
        run_main(failing(KeyboardInterrupt()))
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_error_without_a_remedy_is_its_message():
    assert str(DataError("odd")) == "odd"


def test_a_full_disk_ends_with_its_folder_and_an_exit_code_that_may_be_retried(outcome, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "frames" / "pack.npy"))
    except OSError as error:
        behind = RuntimeError("the array cannot be written")
        behind.__cause__ = error
    prepare_outcome(outcome)
    assert read_outcome(outcome) is None
    with pytest.raises(SystemExit) as ended:
        run_main(failing(behind))
    assert ended.value.code == read_outcome(outcome) == 69
    assert f"the disk of {tmp_path} is full" in capsys.readouterr().err
