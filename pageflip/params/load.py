"""Reading params.yaml, or single sections of it, into pydantic models.

This module knows no section: a program that reads one section depends on that section's model only. The model of the
whole file stands in `pageflip.params.all`.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pageflip.base.errors import ConfigError

REMEDY = "see docs/reference/parameters.md; pageflip/params/ defines the keys and their ranges."

Model = TypeVar("Model", bound=BaseModel)


def load_section(path: Path, name: str, model: type[Model]) -> Model:
    """Read and check one section of a params file; the others are not looked at.

    Raises:
        ConfigError: the file is missing, is not YAML or lacks the section, or the section has an unknown, missing or
            impossible value.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or name not in content:
        raise ConfigError(f"{path}: missing key {name}", REMEDY)
    return parse(model, content[name], path, REMEDY, name)


def read_yaml(path: Path) -> Any:
    """Read a YAML file without checking its content.

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}", "run the command in the project's folder.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not valid YAML: {error}", "correct it, or restore it with `git checkout`."
        ) from None


def parse(model: type[Model], content: Any, path: Path, remedy: str, section: str = "") -> Model:
    """Check the content of a params file, or of a section of it.

    Args:
        model: the model of the content.
        content: what `read_yaml` returned, or a value in it.
        path: the file, for the message.
        remedy: what to do about an error, for the message.
        section: name of the section that `content` is; empty for a whole file.

    Raises:
        ConfigError: names every unknown, renamed, missing or impossible value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_describe(entry, model, [section] if section else []) for entry in error.errors()]
        raise ConfigError(f"{path}: " + "; ".join(lines), remedy) from None


def _describe(error: Any, model: type[BaseModel], prefix: list[str]) -> str:
    parents, last = error["loc"][:-1], str(error["loc"][-1]) if error["loc"] else ""
    key = ".".join(map(str, [*prefix, *error["loc"]]))
    if error["type"] == "extra_forbidden":
        owner = _model_at(model, parents)
        renamed = getattr(owner, "RENAMED", {}).get(last)
        if renamed:
            return f"{key} has been renamed: write {'.'.join(map(str, [*prefix, *parents, renamed]))}"
        near = get_close_matches(last, _keys(owner), n=1) if owner else []
        return f"unknown key {key}" + (f" (did you mean {near[0]}?)" if near else "")
    if error["type"] == "missing":
        return f"missing key {key}"
    return f"{key or 'the content'} = {error['input']!r}: {error['msg']}"


def _model_at(model: type[BaseModel], parents: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the model of the section at a key path; None inside a list or dict of sections."""
    for part in parents:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        annotation = fields[str(part)].annotation if str(part) in fields else None
        models = [kind for kind in (annotation, *get_args(annotation)) if _is_model(kind)]
        if not models:
            return None
        model = models[0]
    return model


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
