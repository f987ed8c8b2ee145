"""The files that turn frame probabilities into flips, loaded together by whoever reads recordings."""

from dataclasses import dataclass
from pathlib import Path

from pageflip.events.decoder_model import FRAME_DECODER_FILE, SEQUENCE_DECODER_FILE, DecoderModel, load_decoder_model
from pageflip.events.temporal import TemporalModel, load_temporal


@dataclass(frozen=True)
class SequenceModel:
    """Temporal network and decoder parameters.

    Attributes:
        temporal: re-estimates frame probabilities from their neighbours.
        decoder: for the probabilities that `temporal` returns.
        frame_decoder: for the probabilities of single frames, when the temporal network is left out.
    """

    temporal: TemporalModel
    decoder: DecoderModel
    frame_decoder: DecoderModel


def load_sequence_model(folder: Path) -> SequenceModel:
    """Load all files from a folder; those of the package are in `pageflip.inference.cards.PRETRAINED`.

    Raises:
        DataError: a file is missing or malformed.
    """
    return SequenceModel(
        temporal=load_temporal(folder),
        decoder=load_decoder_model(folder / SEQUENCE_DECODER_FILE),
        frame_decoder=load_decoder_model(folder / FRAME_DECODER_FILE),
    )
