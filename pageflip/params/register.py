"""Section `register`."""

from typing import Annotated

from pydantic import Field

from pageflip.params.sections import Count, Section


class Int8(Section):
    """Quantised (int8) ONNX file.

    Attributes:
        calibration_frames: frames of the train part that set its ranges.
        max_f1_loss: points of F1 on validation; a file that loses more is not offered.
    """

    calibration_frames: Count
    max_f1_loss: Annotated[float, Field(ge=0, le=100)]


class Register(Section):
    """Export and registration.

    Attributes:
        parity_frames: frames on which the ONNX file is compared with the network.
        max_parity_error: largest difference of a probability between the two.
        latency_runs: predictions of one frame on one core, whose median is the latency.
    """

    model_name: str
    parity_frames: Count
    max_parity_error: Annotated[float, Field(gt=0)]
    latency_runs: Count
    int8: Int8
