"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pageflip.base.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """The content of a params file, unchecked.

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}", "run the command in the project's folder.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}", "mend it, or restore it with `git checkout`.") from None


def parse(model: type[Model], content: Any, path: Path, remedy: str) -> Model:
    """Check the content of a params file, or of a section of it.

    Raises:
        ConfigError: names every unknown, missing or impossible value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_describe(entry, model) for entry in error.errors()]
        raise ConfigError(f"{path}: " + "; ".join(lines), remedy) from None


def _describe(error: dict, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), _known_keys(error["loc"][:-1], model), n=1)
        return f"unknown key {key}" + (f" (did you mean {near[0]}?)" if near else "")
    if error["type"] == "missing":
        return f"missing key {key}"
    return f"{key or 'the content'} = {error['input']!r}: {error['msg']}"


def _known_keys(parents: tuple, model: type[BaseModel]) -> list[str]:
    for part in parents:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if part not in fields or not isinstance(fields[part].annotation, type):
            return []  # in a dict of sections
        model = fields[part].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
