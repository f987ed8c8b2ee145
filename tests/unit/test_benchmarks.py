"""Registry of the benchmarks, file of results, and shared helpers."""

import json
from importlib import import_module

import pytest

from benchmarks import leafing, measuring
from benchmarks.__main__ import BENCHMARKS, SEVERAL_ROWS, choose, results_table
from benchmarks.prepare_vs_full_decode import compare
from benchmarks.results import Result, merge
from frames_factory import make_raw
from pageflip.base.errors import ConfigError, DataError
from pageflip.frames.raw_folder import list_frames

KEYS = ["name", "value", "unit", "higher_is_better", "detail"]


def row(name: str, value: float = 1.0, **detail) -> Result:
    return Result(name, value, "s", False, detail)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_what_it_measures_and_how_to_run_it(name):
    module = import_module(f"benchmarks.{name}")

    assert callable(module.measure)
    assert "Measured:" in module.__doc__
    assert f"python -m benchmarks {name}" in module.__doc__


def test_no_names_choose_all_benchmarks_and_names_keep_the_registry_order():
    assert choose([]) == list(BENCHMARKS)
    assert choose([BENCHMARKS[2], BENCHMARKS[0]]) == [BENCHMARKS[0], BENCHMARKS[2]]


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(ConfigError, match="there is no benchmark 'speed'"):
        choose(["speed"])


def test_results_are_rows_of_name_value_unit_direction_and_detail(tmp_path):
    path = tmp_path / "results" / "latest.json"

    merge(path, [row("a", 1.23456789, cores=2, rounds=[0.123456, 7])], order=["a"])

    assert [list(entry) for entry in read(path)] == [KEYS]
    assert read(path)[0]["value"] == 1.235
    assert read(path)[0]["detail"] == {"cores": 2, "rounds": [0.1235, 7]}


def test_a_partial_run_replaces_its_own_rows_and_keeps_the_others_in_order(tmp_path):
    path = tmp_path / "latest.json"
    merge(path, [row("c", 3), row("a", 1)], order=["a", "b", "c"])

    merge(path, [row("b", 2), row("a", 9)], order=["a", "b", "c"])

    assert [(entry["name"], entry["value"]) for entry in read(path)] == [("a", 9), ("b", 2), ("c", 3)]


def test_a_row_of_a_benchmark_that_is_gone_is_dropped(tmp_path):
    path = tmp_path / "latest.json"
    merge(path, [row("old"), row("a")], order=["old", "a"])

    merge(path, [], order=["a"])

    assert [entry["name"] for entry in read(path)] == ["a"]


def test_a_file_that_holds_no_results_is_not_overwritten(tmp_path):
    path = tmp_path / "latest.json"
    path.write_text('{"value": 1}', encoding="utf-8")

    with pytest.raises(DataError, match="not a file of benchmark results"):
        merge(path, [row("a")], order=["a"])
    assert path.read_text(encoding="utf-8") == '{"value": 1}'


def test_a_missed_bar_is_marked_in_the_table():
    fast, slow, ratio = row("a", 1.0, bar=2), row("b", 3.0, bar=2), Result("c", 2.0, "ratio", True, {"bar": 3})

    cells = list(results_table([fast, slow, ratio]).columns[1].cells)

    assert cells == ["1.00", "[red]3.00[/red]", "[red]2.00[/red]"]


def test_variants_alternate_after_a_warm_up_round():
    calls = []

    durations = measuring.alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)

    assert calls == ["a", "b"] * 3
    assert set(durations) == {"a", "b"}


def test_repeated_frames_are_distinct_frames_of_the_same_pictures(tmp_path):
    raw = make_raw(tmp_path / "raw", clips=1, frames=2)

    with measuring.repeated(raw, 3) as many:
        frames = list_frames(many)
        contents = {(many / frame.path).read_bytes() for frame in frames}

    assert len({frame.key for frame in frames}) == 12
    assert len(contents) == 4
    assert not many.exists()


def test_every_variant_of_the_decoding_comparison_gets_a_speed(tmp_path):
    result = compare(make_raw(tmp_path / "raw", clips=1, frames=2), 8, 9, 16, workers=2, rounds=1)

    assert result["frames"] == 8
    assert set(result["frames_per_second"]) == {"prepare", "full_decode", "entropy_decoding"}
    assert all(speed > 0 for speed in result["frames_per_second"].values())


def test_a_gap_between_holds_is_an_event():
    assert leafing.gaps([(0, 29), (60, 89), (90, 120)], 30) == [(1.0, pytest.approx(59 / 30))]


def test_a_benchmark_of_several_figures_names_all_its_rows():
    assert SEVERAL_ROWS["leafing"] == leafing.ROWS
