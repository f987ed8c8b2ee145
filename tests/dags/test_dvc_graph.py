"""pageflip_dags/dvc_graph.py against DVC itself, and on what it must refuse."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

RICH_PIPELINE = """
stages:
  raw:
    cmd: echo ${numbers[1]}
    wdir: sub
    outs:
      - raw:
          persist: true
  each:
    foreach: [alpha, true, 3]
    do:
      cmd: echo ${item}
      deps: ["sub/raw/${item}.csv"]
      outs: ["each/${item}"]
  pairs:
    foreach:
      one: {depth: 1}
      two: {depth: 2}
    do:
      cmd: echo ${key} ${item.depth}
      deps: [each]
      outs: ["pairs/${key}-${item.depth}"]
  composite:
    foreach:
      - {name: first}
      - {name: second}
    do:
      cmd: echo ${item.name}
      outs: ["composite/${item.name}"]
      metrics:
        - composite/${item.name}.json:
            cache: false
  grid:
    matrix:
      model: ${models}
      size: [1, {h: 2}]
    desc: Train ${item.model}.
    cmd: echo ${key}
    deps: ["pairs/one-1", "composite/first.json"]
    params:
      - settings.json:
          - lr
    outs: ["grid/${key}"]
    plots:
      - plots/${key}.json:
          x: epoch
    meta: {gpu: "${gpus}"}
  settings:
    cmd: echo
    outs: [settings.json]
  literal:
    cmd: echo \\${HOME}
    deps: [grid, plots/cnn-1.json]
"""
RICH_PARAMS = "numbers: [1, 2]\nmodels: [cnn, vit]\ngpus: 2\n"


@pytest.fixture(scope="module")
def dvc_graph() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dvc_graph", ROOT / "dags" / "pageflip_dags" / "dvc_graph.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["dvc_graph"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def write(folder: Path, pipeline: str, params: str = "") -> Path:
    (folder / "dvc.yaml").write_text(pipeline, encoding="utf-8")
    if params:
        (folder / "params.yaml").write_text(params, encoding="utf-8")
    return folder


def dvc_view(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, set]:
    """DVC's own stages, {name: (desc, deps, outs, meta)} with paths from the root, and edges (earlier, later)."""
    from dvc.repo import Repo

    if not (folder / ".dvc").exists():
        Repo.init(str(folder), no_scm=True).close()
    (folder / "sub").mkdir(exist_ok=True)  # DVC refuses a wdir that is not there
    monkeypatch.chdir(folder)
    with Repo(str(folder)) as repo:
        pipeline = [stage for stage in repo.index.stages if stage.cmd]

        def paths(items: list) -> set[str]:
            found = {Path(item.fs_path).relative_to(folder).as_posix() for item in items if item.fs_path}
            return found - {"params.yaml"}

        stages = {s.addressing: (s.desc or "", paths(s.deps), paths(s.outs), s.meta or {}) for s in pipeline}
        edges = {
            (earlier.addressing, later.addressing)
            for later, earlier in repo.index.graph.edges
            if earlier in pipeline and later in pipeline
        }
    return stages, edges


def our_view(module: ModuleType, folder: Path) -> tuple[dict, set]:
    stages = module.read_stages(folder)
    view = {s.name: (s.desc, set(s.deps) - {"params.yaml"}, set(s.outs), dict(s.meta)) for s in stages}
    return view, module.edges(stages)


def test_a_pipeline_with_matrix_foreach_and_wdir_gives_the_stages_and_edges_of_dvc(tmp_path, monkeypatch, dvc_graph):
    write(tmp_path, RICH_PIPELINE, RICH_PARAMS)
    stages, edges = our_view(dvc_graph, tmp_path)
    their_stages, their_edges = dvc_view(tmp_path, monkeypatch)
    assert stages == their_stages
    assert edges == their_edges
    assert "grid@vit-size1" in stages


def test_the_pipeline_of_this_project_gives_the_stages_and_edges_of_dvc(tmp_path, monkeypatch, dvc_graph):
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    stages, edges = our_view(dvc_graph, tmp_path)
    assert (stages, edges) == dvc_view(tmp_path, monkeypatch)
    model = "efficientnet_lite0"
    assert stages.keys() >= {
        "prepare",
        "validate",
        "split",
        f"train@{model}",
        f"evaluate@{model}",
        "register",
        "promote",
    }


def test_stages_come_after_those_they_need_wherever_they_stand_in_the_file(tmp_path, dvc_graph):
    write(tmp_path, "stages:\n  b: {cmd: x, deps: [a/x]}\n  a: {cmd: x, outs: [a]}\n")
    assert [stage.name for stage in dvc_graph.read_stages(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("stages:\n  a: {cmd: 'x ${train.modles}'}\n", r"\$\{train.modles\} at a.cmd .* has no 'modles'"),
        ("stages:\n  a: {cmd: x, deps: ['${train.models[7]}']}\n", "has no '7' there"),
        ("stages:\n  a: {cmd: x, deps: ['d/${train.models}']}\n", "is list, not a single value"),
        ("stages:\n  a: {matrix: {m: 3}, cmd: x}\n", "must map names to lists"),
        ("stages:\n  a: {foreach: 3, do: {cmd: x}}\n", "must be a list or a mapping"),
        ("stages:\n  a: {foreach: [1]}\n", "without `do`"),
        ("vars: [x: 1]\nstages: {}\n", "has `vars`"),
        ("stages:\n  a: {cmd: x, outs: [o]}\n  b: {cmd: x, outs: [o]}\n", "a and b both write o"),
        ("stages:\n  a: {cmd: x, deps: [p], outs: [o]}\n  b: {cmd: x, deps: [o], outs: [p]}\n", "in a cycle"),
        ("stages: [\n", "not valid YAML"),
        ("- a\n", "must hold a mapping"),
    ],
)
def test_a_faulty_pipeline_is_refused_with_what_is_wrong(tmp_path, dvc_graph, pipeline, message):
    write(tmp_path, pipeline, "train: {models: [cnn]}\n")
    with pytest.raises(dvc_graph.GraphError, match=message):
        dvc_graph.read_stages(tmp_path)


def test_a_folder_without_a_pipeline_is_refused(tmp_path, dvc_graph):
    with pytest.raises(dvc_graph.GraphError, match="there is no"):
        dvc_graph.read_stages(tmp_path)
