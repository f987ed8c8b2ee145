"""Loading of day-zero (see `pageflip.inference.cards`)."""

from pathlib import Path

from pageflip.base.errors import ConfigError
from pageflip.inference.cards import INT8, INT8_FILE, MODEL_FILE, NAME, checked_file, read_card, version_of
from pageflip.inference.predictor import Predictor


def load_day_zero(folder: Path, model: str = NAME, *, name: str = NAME, int8: bool = False) -> Predictor:
    """Load day-zero by its name or version.

    Args:
        folder: `pageflip.inference.cards.PRETRAINED`, or another folder with its files.
        model: name or version.
        name: the registered model that it stands in for; scores are published under this name.
        int8: load the int8 file, whose version ends in `@int8`.

    Raises:
        ConfigError: `model` is another version, or there is no int8 file.
        DataError: the file is missing or differs from what the card names.
    """
    version = version_of(read_card(folder))
    if model not in (NAME, version):
        raise ConfigError(f"the model {model} is not here, but {version}", f"use `{NAME}`, or check out its revision.")
    path = checked_file(INT8_FILE if int8 else MODEL_FILE, folder)
    return Predictor.load(path, name=name, version=f"{version}@{INT8}" if int8 else version)
