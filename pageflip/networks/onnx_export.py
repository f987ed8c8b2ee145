"""Export of networks to ONNX, and static int8 quantisation of exported files.

Files keep to opset 18 and IR version 8, which ONNX Runtime 1.14 (2023) and later load, on phones too; a phone that
needs fixed shapes sets the free dimension BATCH_DIMENSION to 1.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from pageflip.inference.predictor import METADATA_KEY
from pageflip.networks.layers import scale_pixels

OPSET, IR_VERSION = 18, 8
BATCH_DIMENSION = "frames_in_batch"
# activations included, so that ranges are measured after them; the head stays in float
QUANTIZED_OPS = ("Conv", "Add", "Clip", "Relu")
CALIBRATION_BATCH = 16


class _ServingGraph(nn.Module):
    """The network between the scaling of pixels and the calibrated sigmoid."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, frames: Tensor) -> Tensor:
        logits = self.network(scale_pixels(frames))
        return torch.sigmoid(logits if self.temperature == 1 else logits / self.temperature)


def export_onnx(
    network: nn.Module, path: Path, *, width: int, height: int, facts: dict[str, Any], temperature: float = 1.0
) -> None:
    """Write a network as ONNX: uint8 [N, height, width, 3] RGB to the probability of `flip`, float32 [N].

    Scaling to 0..1, temperature and sigmoid are inside the graph. The same network gives the same bytes.

    Args:
        network: takes float32 [N, 3, height, width] in 0..1 and gives logits [N].
        path: the file to write.
        width: of the frames, in pixels.
        height: of the frames, in pixels.
        facts: written to the metadata beside width and height; holds at least `threshold`, and `review_band` if there
            is one.
        temperature: divides the logits (see `pageflip.evaluation.calibration`).
    """
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    inputs = {"frames": (example, {0: torch.export.Dim(BATCH_DIMENSION, min=1)})}
    metadata = {METADATA_KEY: json.dumps(facts | {"width": width, "height": height}, sort_keys=True)}
    write_part(_ServingGraph(network, temperature), path, inputs, "probability", metadata)


def write_part(
    part: nn.Module, path: Path, inputs: dict[str, tuple[Tensor, dict[int, Any]]], output: str, metadata: dict[str, str]
) -> None:
    """Write a network, or a part of one, as ONNX; the same one gives the same bytes.

    Args:
        part: the module to export; it is set to evaluation mode.
        path: the file to write.
        inputs: for each input, in order and by name, an example and its dynamic dimensions.
        output: name of the output.
        metadata: the file's metadata.
    """
    program = torch.onnx.export(
        part.eval(),
        tuple(example for example, _ in inputs.values()),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=[output],
        dynamic_shapes=[dimensions for _, dimensions in inputs.values()],
        verbose=False,
    )
    if program is None:  # only with dynamo=False
        raise RuntimeError("torch.onnx.export returned no program")
    _write(program.model_proto, path, metadata)


def _write(model: onnx.ModelProto, path: Path, metadata: dict[str, str]) -> None:
    """Write a model with the given metadata only, for the oldest runtime that can load it."""
    _strip_sources(model)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    model.ir_version = IR_VERSION
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]  # optimisers list all they support
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip_sources(model: onnx.ModelProto) -> None:
    """Delete the exporter's records of source files and stack traces, which hold paths of this machine."""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        for part in (*graph.node, *graph.value_info):
            del part.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""


def quantize_onnx(source: Path, target: Path, frames: np.ndarray) -> None:
    """Write the int8 version of a file that `export_onnx` wrote, with the same input, output and metadata.

    Static quantisation in the QDQ format: int8 weights with one scale per output channel, and uint8 activations with
    ranges from a calibration set. The head after the pooling stays in float. The same file and frames give the same
    bytes.

    Args:
        source: the exported file.
        target: the file to write.
        frames: the calibration set, uint8 [N, height, width, 3].
    """
    from onnxruntime import quantization

    class CalibrationReader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.starts = iter(range(0, len(frames), CALIBRATION_BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            start = next(self.starts, None)
            return None if start is None else {"frames": frames[start : start + CALIBRATION_BATCH]}

    metadata = {entry.key: entry.value for entry in onnx.load(source).metadata_props}
    with TemporaryDirectory(prefix="pageflip-int8-") as folder, _silence_logging():
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            quantized,
            CalibrationReader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED_OPS),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        _write(onnx.load(quantized), target, metadata)


@contextmanager
def _silence_logging() -> Iterator[None]:
    """Suppress warnings: the quantiser advises preprocessing although the file has been preprocessed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
