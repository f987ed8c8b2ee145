"""Speed of evaluating a folder of labelled JPEGs, from the files to the metrics.

Measured: frames per second of `pageflip.evaluation.folder.evaluate_folder`, one decoding worker per core, with the ONNX
file of an untrained default network (speed does not depend on the weights), on 480 drawn frames of 1080x1920 (120
pictures, four times each); median of three. In the detail, alternating with it: decoding alone
(`pageflip.frames.parallel.decode_in_chunks`) and the model alone (`Predictor.predict` on decoded frames), as frames per
second and as shares of the whole. Both use all cores and overlap, so the shares may add up to more than one.

    python -m benchmarks score_frames_per_second
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.measuring import alternate, drawn_frames, file_sizes, machine, repeated, silence
from benchmarks.results import Result
from pageflip.base.settings import project_root
from pageflip.evaluation.folder import evaluate_folder
from pageflip.frames.parallel import available_cores, decode_in_chunks
from pageflip.frames.raw_folder import list_frames
from pageflip.inference.predictor import Predictor
from pageflip.networks.build import build_network
from pageflip.networks.onnx_export import export_onnx
from pageflip.params.all import Params, load_params

NETWORK = "cnn"
REPETITIONS, ROUNDS = 4, 3


def measure() -> Result:
    """Time the evaluation, and its two parts by themselves."""
    params = load_params(project_root() / "params.yaml")
    width, height, workers = params.prepare.width, params.prepare.height, available_cores()
    with repeated(drawn_frames(), REPETITIONS) as raw, TemporaryDirectory(prefix="pageflip-bench-") as place:
        predictor = _export(Path(place) / "model.onnx", params)
        paths = [raw / frame.path for frame in list_frames(raw)]
        decoded = np.concatenate([pixels for pixels, _, _ in decode_in_chunks(paths, width, height, workers)])
        durations = alternate(
            {
                "whole": lambda: evaluate_folder(raw, predictor, workers=workers),
                "decoding": lambda: sum(1 for _ in decode_in_chunks(paths, width, height, workers)),
                "model": lambda: predictor.predict(decoded),
            },
            ROUNDS,
        )
        facts = file_sizes(raw)
    speeds = {name: len(paths) / seconds for name, seconds in durations.items()}
    detail = {
        "machine": machine(),
        "workers": workers,
        "rounds": ROUNDS,
        "pixels": [width, height],
        "raw": facts,
        "decoding_frames_per_second": speeds["decoding"],
        "model_frames_per_second": speeds["model"],
        "decoding_share": durations["decoding"] / durations["whole"],
        "model_share": durations["model"] / durations["whole"],
    }
    return Result("score_frames_per_second", speeds["whole"], "frames/s", True, detail)


def _export(path: Path, params: Params) -> Predictor:
    torch.manual_seed(0)
    network = build_network(NETWORK, getattr(params.train.networks, NETWORK).model_dump(exclude={"fit"})).eval()
    with silence():
        export_onnx(network, path, width=params.prepare.width, height=params.prepare.height, facts={"threshold": 0.5})
    return Predictor.load(path)
