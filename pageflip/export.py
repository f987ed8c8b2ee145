"""From the trained network to the one ONNX file that is served, with the proof that both compute the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from pageflip.errors import DataError
from pageflip.inference import METADATA_KEY, Predictor
from pageflip.networks import predict_rows
from pageflip.transforms import for_evaluation

OPSET = 20


class _Served(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        return torch.sigmoid(self.network(for_evaluation(frames)))


def export_onnx(network: nn.Module, path: Path, *, width: int, height: int, facts: dict[str, Any]) -> None:
    """Write the network as ONNX: uint8 [N, height, width, 3] RGB -> probability of `flip`, float32 [N].

    `facts` (with at least `threshold`) go into the file's metadata beside width and height. The same network gives the
    same bytes.
    """
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    program = torch.onnx.export(
        _Served(network).eval(),
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["frames"],
        output_names=["probability"],
        dynamic_shapes={"frames": {0: torch.export.Dim("frames_in_batch", min=1)}},
        verbose=False,
    )
    model = program.model_proto
    _forget_sources(model)
    entry = model.metadata_props.add()
    entry.key = METADATA_KEY
    entry.value = json.dumps(facts | {"width": width, "height": height}, sort_keys=True)
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


def check_parity(network: nn.Module, path: Path, frames: np.ndarray, rows: np.ndarray, limit: float) -> float:
    """The largest difference in probability between the network and its ONNX file over the chosen rows of a pack.

    Raises:
        DataError: it is above `limit`.
    """
    expected = predict_rows(network, frames, rows)
    difference = float(np.abs(Predictor.load(path).predict(frames[rows]) - expected).max())
    if not difference <= limit:
        raise DataError(
            f"the ONNX file differs from the network by {difference:g} in probability, allowed is {limit:g}",
            "do not serve it; compare the releases of torch and onnxruntime with requirements/pipeline.txt.",
        )
    return difference
