"""Models that need no registry: ONNX files named by path, and day-zero."""

from pathlib import Path

from pageflip.base.errors import ConfigError
from pageflip.inference.cards import INT8, is_day_zero
from pageflip.inference.day_zero import load_day_zero
from pageflip.inference.predictor import Predictor


def load_local_model(model: str, name: str, pretrained: Path) -> Predictor | None:
    """Load an ONNX file by its path, or day-zero by its name or version.

    Args:
        model: what the user named.
        name: the registered model that day-zero stands in for.
        pretrained: folder of day-zero's files.

    Returns:
        The predictor; None when `model` must be a registered version or alias.

    Raises:
        ConfigError: there is no such file, or day-zero has no such version or no int8 file.
        DataError: the file is no model, or differs from what day-zero's card names.
    """
    if model.endswith(".onnx") or "/" in model:
        path = Path(model)
        if not path.is_file():
            remedy = "give a .onnx file, `champion`, `day-zero`, or a version number."
            raise ConfigError(f"there is no model file {model}", remedy)
        return Predictor.load(path)
    base, int8 = split_variant(model)
    return load_day_zero(pretrained, base, name=name, int8=int8) if is_day_zero(base) else None


def split_variant(model: str) -> tuple[str, bool]:
    """Split `MODEL@int8` into the model, and whether its int8 file is meant.

    Raises:
        ConfigError: the variant is another one.
    """
    base, _, variant = model.partition("@")
    if variant not in ("", INT8):
        raise ConfigError(f"there is no variant {variant!r} of {base}", f"the only variant is `{base}@{INT8}`.")
    return base, bool(variant)
