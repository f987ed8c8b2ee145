"""From the trained network to the ONNX file that is served and its int8 twin, and what each is worth.

Both take the same pixels and carry the same metadata. They keep to opset 18 and IR version 8, which ONNX Runtime 1.14
(2023) and later load, on phones too; a phone that wants fixed shapes sets the free dimension BATCH_DIMENSION to 1.
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
from pageflip.networks.layers import for_evaluation

OPSET, IR_VERSION = 18, 8
BATCH_DIMENSION = "frames_in_batch"
QUANTIZED = (
    "Conv",
    "Add",
    "Clip",
    "Relu",
)  # with the activations, so that ranges are those after them; heads stay float
CALIBRATION_BATCH = 16


class _Served(nn.Module):
    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, frames: Tensor) -> Tensor:
        logits = self.network(for_evaluation(frames))
        return torch.sigmoid(logits if self.temperature == 1 else logits / self.temperature)


def export_onnx(
    network: nn.Module, path: Path, *, width: int, height: int, facts: dict[str, Any], temperature: float = 1.0
) -> None:
    """Write the network as ONNX: uint8 [N, height, width, 3] RGB -> probability of `flip`, float32 [N].

    Scaling to 0..1, the temperature (see `pageflip.evaluation.calibration`) and the sigmoid are inside the graph.
    `facts` (with at
    least `threshold`, and `review_band` where there is one) go into the file's metadata beside width and height. The
    same network gives the same bytes.
    """
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    given = {"frames": (example, {0: torch.export.Dim(BATCH_DIMENSION, min=1)})}
    metadata = {METADATA_KEY: json.dumps(facts | {"width": width, "height": height}, sort_keys=True)}
    write_part(_Served(network, temperature), path, given, "probability", metadata)


def write_part(
    part: nn.Module, path: Path, given: dict[str, tuple[Tensor, dict[int, Any]]], output: str, metadata: dict[str, str]
) -> None:
    """Write a network, or a part of one, as ONNX; the same one gives the same bytes.

    Args:
        given: for each input, in order and by name, an example and its dimensions that may differ.
        output: name of what comes out.
    """
    program = torch.onnx.export(
        part.eval(),
        tuple(example for example, _ in given.values()),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(given),
        output_names=[output],
        dynamic_shapes=[dimensions for _, dimensions in given.values()],
        verbose=False,
    )
    _write(program.model_proto, path, metadata)


def _write(model: onnx.ModelProto, path: Path, metadata: dict[str, str]) -> None:
    """Write a model with our metadata alone, for the oldest runtime that can load it."""
    _forget_sources(model)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    model.ir_version = IR_VERSION
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]  # optimisers name all that they know
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _forget_sources(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes of source files and stack traces: they hold this machine's paths."""
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
    """Write the int8 twin of a file that `export_onnx` wrote: same input, output and metadata.

    Static quantisation in the QDQ format: int8 weights, one scale for each output channel, and uint8 activations, whose
    ranges are the lowest and highest values over `frames`, uint8 [N, height, width, 3]. The head after pooling stays in
    float. The same file and frames give the same bytes.
    """
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.starts = iter(range(0, len(frames), CALIBRATION_BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            start = next(self.starts, None)
            return None if start is None else {"frames": frames[start : start + CALIBRATION_BATCH]}

    metadata = {entry.key: entry.value for entry in onnx.load(source).metadata_props}
    with TemporaryDirectory(prefix="pageflip-int8-") as folder, _quiet():
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            quantized,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        _write(onnx.load(quantized), target, metadata)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to do what has been done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
