"""What recovering a converted model did, and what each of its steps gained: plain data."""

from typing import Any, NamedTuple

REFITTED = "pointwise weights refitted"
NORMALISED = "BatchNorm re-estimated"


class RecoveryStep(NamedTuple):
    """A step of recovering a model, and what it gained.

    Args:
        name: What was done.
        error_before: Relative error `‖f(x) − f′(x)‖ / ‖f(x)‖` of the outputs of the whole model on
            the calibration inputs, 0 where they are the same. Unknown where they have no numbers.
        error_after: The same after the step.
        score_before: By the score that was given, higher is better; unknown without one.
        score_after: The same after the step.
        kept: Whether the model keeps what was done: a step that loses is undone, and of one that
            changed nothing there is nothing to keep.
        notes: What the reader must know.
        changed: How many layers, or normalisations, had other weights or statistics by it.
    """

    name: str
    error_before: float | None
    error_after: float | None
    score_before: float | None = None
    score_after: float | None = None
    kept: bool = True
    notes: tuple[str, ...] = ()
    changed: int = 1


class Recovery(NamedTuple):
    """How a converted model was recovered.

    Args:
        source: What the calibration inputs are from, as it was given.
        inputs: How many there were.
        steps: What was done, one after the other.
        notes: What the reader must know of the inputs.
    """

    source: str
    inputs: int
    steps: tuple[RecoveryStep, ...]
    notes: tuple[str, ...] = ()


class Recovered(NamedTuple):
    """A recovered model.

    Args:
        model: A module of torch, or a model of ONNX.
        steps: What was done to it.
    """

    model: Any
    steps: tuple[RecoveryStep, ...]
