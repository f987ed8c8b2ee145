"""The options that tasks share: which are required, and what --verify changes."""

import sys
from pathlib import Path

import pytest

from pageflip.base.arguments import parse_stage, task_parser

PATHS = {"frames": "folder of the pack", "out": "folder of the result"}


def parse(monkeypatch, *arguments, verify=None):
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    return parse_stage(task_parser("What the stage does."), PATHS, verify=verify)


def test_paths_are_required_and_params_has_a_default(monkeypatch, capsys):
    args = parse(monkeypatch, "--frames", "a", "--out", "b")
    assert (args.frames, args.out, args.params) == (Path("a"), Path("b"), Path("params.yaml"))
    with pytest.raises(SystemExit, match="2"):
        parse(monkeypatch, "--out", "b")
    assert "--frames" in capsys.readouterr().err


def test_verify_needs_the_output_alone(monkeypatch, capsys):
    assert parse(monkeypatch, "--verify", "--out", "b", verify="only check").verify
    with pytest.raises(SystemExit, match="2"):
        parse(monkeypatch, "--out", "b", verify="only check")
    assert "required, except with --verify: --frames" in capsys.readouterr().err


def test_the_help_text_is_the_docstring_of_the_task(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="0"):
        parse(monkeypatch, "--help")
    assert "What the stage does." in capsys.readouterr().out
