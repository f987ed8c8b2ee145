"""The model that is there before any labels: an ONNX file, its weights and its card, committed beside the code.

`make day-zero` (tasks/day_zero.py) makes all three from drawn frames, and an int8 file where that is good enough. It is
named `day-zero`; its version, under which scores are kept, is `day-zero-` and the first digits of the ONNX file's
SHA-256.
"""

from pathlib import Path

from pageflip.base.errors import ConfigError
from pageflip.inference.cards import FOLDER, INT8_FILE, MODEL_FILE, NAME, checked_file, read_card, version_of
from pageflip.inference.predictor import Predictor


def load_day_zero(model: str = NAME, *, name: str = NAME, folder: Path = FOLDER, int8: bool = False) -> Predictor:
    """Load the model, by its name or its version.

    Args:
        name: the registered model in whose place it stands; scores are kept under it.
        int8: load the int8 file, whose version ends in `@int8`.

    Raises:
        ConfigError: `model` is another version of it, or there is no int8 file.
        DataError: the file is missing, or not the one that the card names.
    """
    version = version_of(read_card(folder))
    if model not in (NAME, version):
        raise ConfigError(f"the model {model} is not here, but {version}", f"use `{NAME}`, or check out its revision.")
    path = checked_file(INT8_FILE if int8 else MODEL_FILE, folder)
    return Predictor.load(path, name=name, version=f"{version}@int8" if int8 else version)
