"""Read a pipeline's stages and their order from dvc.yaml and params.yaml, without importing DVC.

    stages = read_stages(Path("."))
    edges(stages)  # {("prepare", "split"), ...}

It expands `matrix:`, `foreach:` and `${section.key}` / `${item.key}` / `${key}` as DVC 3.67 does, and orders stages as
DVC does: A precedes B if a dependency of B is, is inside of, or contains, an output of A.
`vars:` is rejected: parameters of the pipeline belong in params.yaml.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path
from typing import Any

import yaml

PIPELINE_FILE = "dvc.yaml"
PARAMS_FILE = "params.yaml"
EXPRESSION = re.compile(r"(?<!\\)\$\{(?P<key>.*?)\}")
OUTPUT_KINDS = ("outs", "metrics", "plots")


class GraphError(ValueError):
    """Error in dvc.yaml or params.yaml that prevents reading the stages."""


@dataclass(frozen=True)
class Stage:
    """Stage with all expressions resolved. Paths are relative to the project's root; `outs` includes metrics, plots."""

    name: str
    desc: str = ""
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


def read_stages(root: Path, overrides: Mapping[str, Any] | None = None) -> list[Stage]:
    """Read the stages of a pipeline, each after the stages it depends on.

    Args:
        root: Folder with dvc.yaml and params.yaml.
        overrides: Values by dotted key that replace those of params.yaml.

    Raises:
        GraphError: A file is missing or malformed, a ${key} is unknown, two stages write the same output, or the
            dependencies form a cycle.
    """
    pipeline = _load(root / PIPELINE_FILE)
    params = _load(root / PARAMS_FILE) if (root / PARAMS_FILE).exists() else {}
    for key, value in (overrides or {}).items():
        params = _with_value(params, key.split("."), value)
    if "vars" in pipeline:
        raise GraphError(f"{PIPELINE_FILE} has `vars`, which is not supported: put the values into {PARAMS_FILE}")
    stages: list[Stage] = []
    for name, definition in (pipeline.get("stages") or {}).items():
        if not isinstance(definition, Mapping):
            raise GraphError(f"stage {name} in {PIPELINE_FILE} is not a mapping but {definition!r}")
        stages.extend(_expand(str(name), definition, params))
    _check_duplicates(stages)
    return _sort(stages)


def edges(stages: Sequence[Stage]) -> set[tuple[str, str]]:
    """Return pairs (earlier, later) of stage names: the later one reads an output of the earlier one."""
    return {
        (writer.name, reader.name)
        for writer in stages
        for reader in stages
        if any(_overlap(dep, out) for dep in reader.deps for out in writer.outs)
    }


def _load(path: Path) -> Mapping[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GraphError(f"there is no {path}") from None
    except yaml.YAMLError as error:
        raise GraphError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(data, Mapping):
        raise GraphError(f"{path} must hold a mapping, not {type(data).__name__}")
    return data


def _with_value(node: Any, path: Sequence[str], value: Any) -> Any:
    """Copy a mapping with the value at `path` replaced."""
    first, *rest = path
    child = node.get(first, {}) if isinstance(node, Mapping) else {}
    return {**node, first: _with_value(child, rest, value) if rest else value}


def _expand(name: str, definition: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Stage]:
    if "matrix" in definition:
        template = {key: value for key, value in definition.items() if key != "matrix"}
        for key, item in _matrix_items(name, _resolve(definition["matrix"], params, f"{name}.matrix")):
            yield _stage(f"{name}@{key}", template, {**params, "item": item, "key": key})
    elif "foreach" in definition:
        if not isinstance(definition.get("do"), Mapping):
            raise GraphError(f"stage {name} has `foreach` without `do`")
        data = _resolve(definition["foreach"], params, f"{name}.foreach")
        for key, item in _foreach_items(name, data):
            extra = {"item": item, "key": key} if isinstance(data, Mapping) else {"item": item}
            yield _stage(f"{name}@{key}", definition["do"], {**params, **extra})
    else:
        yield _stage(name, definition, params)


def _matrix_items(name: str, matrix: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(matrix, Mapping) or not all(_is_composite(values) for values in matrix.values()):
        raise GraphError(f"the matrix of stage {name} must map names to lists, not be {matrix!r}")
    for combination in product(*(list(enumerate(values)) for values in matrix.values())):
        parts = [
            f"{axis}{position}" if _is_composite(value) else _text(value)
            for axis, (position, value) in zip(matrix, combination, strict=True)
        ]
        yield "-".join(parts), {axis: value for axis, (_, value) in zip(matrix, combination, strict=True)}


def _foreach_items(name: str, data: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping):
        yield from ((_text(key), value) for key, value in data.items())
    elif not _is_composite(data):
        raise GraphError(f"the foreach of stage {name} must be a list or a mapping, not {data!r}")
    elif any(_is_composite(value) for value in data):
        yield from ((str(position), value) for position, value in enumerate(data))
    else:
        yield from ((_text(value), value) for value in data)


def _stage(name: str, definition: Mapping[str, Any], context: Mapping[str, Any]) -> Stage:
    if "vars" in definition:
        raise GraphError(f"stage {name} has `vars`, which is not supported: put the values into {PARAMS_FILE}")
    for match in EXPRESSION.finditer(str(definition.get("cmd", ""))):
        _lookup(match["key"], context, f"{name}.cmd")  # only checked: DVC runs the command
    resolved = {
        key: _resolve(definition[key], context, f"{name}.{key}")
        for key in ("desc", "deps", "params", "meta", "wdir", *OUTPUT_KINDS)
        if key in definition
    }
    folder = resolved.get("wdir") or "."
    deps = [*_paths(resolved.get("deps"), folder), *_params_files(resolved.get("params"), folder)]
    outs = [path for kind in OUTPUT_KINDS for path in _paths(resolved.get(kind), folder)]
    return Stage(
        name=name,
        desc=str(resolved.get("desc") or ""),
        deps=tuple(dict.fromkeys(deps)),
        outs=tuple(dict.fromkeys(outs)),
        meta=resolved.get("meta") or {},
    )


def _paths(entries: Any, folder: str) -> list[str]:
    """Return the paths of entries `path` or `{path: options}`, relative to the project's root."""
    paths: list[str] = []
    for entry in entries or ():
        paths.extend(_from_root(path, folder) for path in (entry if isinstance(entry, Mapping) else [str(entry)]))
    return paths


def _params_files(entries: Any, folder: str) -> list[str]:
    """Return the files other than params.yaml in a stage's `params`; another stage may have written them."""
    return [_from_root(path, folder) for entry in entries or () if isinstance(entry, Mapping) for path in entry]


def _from_root(path: str, folder: str) -> str:
    if "://" in path:
        return path.rstrip("/")
    return posixpath.normpath(posixpath.join(folder, path))


def _overlap(one: str, two: str) -> bool:
    return one == two or one.startswith(two + "/") or two.startswith(one + "/")


def _sort(stages: list[Stage]) -> list[Stage]:
    pairs = edges(stages)
    predecessors = {stage.name: {earlier for earlier, later in pairs if later == stage.name} for stage in stages}
    try:
        order = list(TopologicalSorter(predecessors).static_order())
    except CycleError as error:
        raise GraphError(f"stages of {PIPELINE_FILE} depend on each other in a cycle: {error.args[1]}") from None
    return sorted(stages, key=lambda stage: order.index(stage.name))


def _check_duplicates(stages: list[Stage]) -> None:
    names: set[str] = set()
    writers: dict[str, str] = {}
    for stage in stages:
        if stage.name in names:
            raise GraphError(f"{PIPELINE_FILE} defines the stage {stage.name} twice")
        names.add(stage.name)
        for out in stage.outs:
            if out in writers:
                raise GraphError(f"the stages {writers[out]} and {stage.name} both write {out}")
            writers[out] = stage.name


def _resolve(value: Any, context: Mapping[str, Any], where: str) -> Any:
    """Replace each ${key} in `value`, at any depth; `where` names the place in dvc.yaml for error messages."""
    if isinstance(value, Mapping):
        return {_resolve(key, context, where): _resolve(item, context, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, context, where) for item in value]
    if not isinstance(value, str):
        return value
    whole = EXPRESSION.fullmatch(value)
    if whole and "${" not in whole["key"]:
        return _lookup(whole["key"], context, where)

    def resolve_match(match: re.Match[str]) -> str:
        part = _lookup(match["key"], context, where)
        if _is_composite(part):
            raise GraphError(f"{match[0]} at {where} in {PIPELINE_FILE} is {type(part).__name__}, not a single value")
        return _text(part)

    return EXPRESSION.sub(resolve_match, value).replace("\\${", "${")


def _lookup(key: str, context: Mapping[str, Any], where: str) -> Any:
    node: Any = context
    for part in key.replace("[", ".").replace("]", "").split("."):
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise GraphError(
                f"${{{key}}} at {where} in {PIPELINE_FILE} is unknown: {PARAMS_FILE} has no {part!r} there"
            ) from None
    return node


def _is_composite(value: Any) -> bool:
    return isinstance(value, Mapping | list)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
