"""The frame table of a scored upload (frames.parquet): one row per frame.

It stands apart from `pageflip.footage`, whose users need no pyarrow.
"""

import math

import numpy as np
import pyarrow as pa

from pageflip.footage.frame_scores import FrameScores, NamedPredictor
from pageflip.frames.names import LABELS

FRAMES_SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("name", pa.string()),  # pictures
        pa.field("time_s", pa.float64()),  # videos
        pa.field("probability", pa.float32()),
        pa.field("label", pa.string()),
        pa.field("review", pa.bool_()),  # the model is not sure: a person should look
        pa.field("sequence_probability", pa.float32()),  # by the frames before and after, too; not for a single picture
        pa.field("in_flip", pa.bool_()),  # the frame is part of a flip that was found
        pa.field("error", pa.string()),
    ]
)


def frame_table(scores: FrameScores, predictor: NamedPredictor) -> pa.Table:
    """Return the frame table, in the columns of FRAMES_SCHEMA."""
    known = [
        None if error else probability for probability, error in zip(scores.probabilities, scores.errors, strict=True)
    ]
    in_sequence = [value if math.isfinite(value) else None for value in scores.in_sequence.tolist()]
    in_flip = np.zeros(len(known), bool)
    for flip in scores.flips:
        in_flip[flip.start_index : flip.end_index + 1] = True
    columns = {
        "index": range(len(known)),
        "name": scores.names,
        "time_s": scores.times_s,
        "probability": known,
        "label": [None if p is None else LABELS[p >= predictor.threshold] for p in known],
        "review": [None if p is None else predictor.to_review(p) for p in known],
        "sequence_probability": in_sequence,
        "in_flip": [None if p is None else flag for p, flag in zip(in_sequence, in_flip.tolist(), strict=True)],
        "error": scores.errors,
    }
    return pa.Table.from_pydict({name: list(values) for name, values in columns.items()}, FRAMES_SCHEMA)
