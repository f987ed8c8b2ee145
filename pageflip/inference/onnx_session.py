"""Sessions of ONNX Runtime on the CPU."""

from pathlib import Path
from typing import TYPE_CHECKING

from pageflip.base.errors import DataError

if TYPE_CHECKING:
    import onnxruntime


def open_session(path: Path, remedy: str, threads: int = 0) -> "onnxruntime.InferenceSession":
    """Open an ONNX file; `threads` 0 uses all cores.

    Raises:
        DataError: the file is missing or malformed.
    """
    import onnxruntime

    if not path.is_file():
        raise DataError(f"there is no {path}", remedy)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # idle threads would spin: that doubles the CPU time where processes share the cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise DataError(f"{path} is not an ONNX model: {str(error).splitlines()[0]}", remedy) from None
