"""Contents of the evaluation page, collected from the files of the stages before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from pageflip.base.files import read_json
from pageflip.evaluation.activation_maps import activation_maps
from pageflip.evaluation.results import PREDICTIONS_FILE, read_metrics
from pageflip.evaluation.tables import worst_mistakes
from pageflip.frames.assignment import read_assignment
from pageflip.frames.pack import data_digest, open_pack
from pageflip.networks.saved import load_network, read_config
from pageflip.reports.card_facts import count_parts, gather_facts
from pageflip.reports.evaluation_page import EvaluationReport

HISTORY_FILE = "history.json"


@dataclass(frozen=True)
class ReportSources:
    """Folders that the report reads: pack, assignment, trained network and evaluation; and a file of protocols.

    The file is what `pageflip benchmark-protocols` wrote, and may be missing.
    """

    frames: Path
    split: Path
    models: Path
    evaluation: Path
    protocols: Path


def read_report(model: str, sources: ReportSources, mistakes: int) -> EvaluationReport:
    """Collect what the page shows of the network `model`, with at most `mistakes` images of wrong frames.

    Raises:
        DataError: the pack, the assignment or the network is missing.
    """
    pack, index = open_pack(sources.frames)
    assignment, config = read_assignment(sources.split), read_config(sources.models)
    metrics = read_metrics(sources.evaluation)
    predictions = pd.read_parquet(sources.evaluation / PREDICTIONS_FILE)
    test = predictions[predictions["part"] == "test"]
    images = {int(row): pack[row] for row in worst_mistakes(test, metrics["threshold"], mistakes)["row"]}
    history = sources.models / HISTORY_FILE
    return EvaluationReport(
        model=model,
        metrics=metrics,
        predictions=predictions,
        history=read_json(history) if history.exists() else None,
        images=images,
        maps=_map_evidence(load_network(sources.models), images),
        protocols=read_json(sources.protocols) if sources.protocols.exists() else None,
        facts=gather_facts(config, sources.frames, sources.split),
        parts=count_parts(assignment),
        data_digest=data_digest(index),
    )


def _map_evidence(network: nn.Module, images: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    maps = activation_maps(network, np.stack(list(images.values()))) if images else None
    return {} if maps is None else dict(zip(images, maps, strict=True))
