"""What a rule may count of a call: its elements, its multiply-accumulates, and named exceptions.

A quantity is a function of a `Call`. Those here make up nearly all rules that there are; those of
`by_shape` and `sequences` are what some tool does that no sum of these tells.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import prod

from dscost.conventions import by_shape, sequences
from dscost.conventions.settings import sizes
from dscost.traces.calls import Call

Quantity = Callable[[Call], int | Fraction]


def inputs(call: Call) -> int:
    """Return the elements of the first tensor that it is given."""
    return prod(call.input)


def outputs(call: Call) -> int:
    """Return the elements of its first result."""
    return prod(call.output)


def macs(call: Call) -> int:
    """Return the multiply-accumulates of what ran within."""
    return call.macs


def bias(call: Call) -> int:
    """Return the elements of its result if a bias is added to them."""
    return prod(call.output) if "bias" in call.parameters else 0


def scaled(call: Call) -> int:
    """Return the elements of the first tensor if a normalisation scales and shifts them."""
    return prod(call.input) if "weight" in call.parameters else 0


def by_batch(call: Call) -> int:
    """Return the elements of the first tensor if a normalisation takes its own mean and variance.

    Weights that are standardised by such a function do so in evaluation, too.
    """
    return prod(call.input) if call.attributes.get("training") else 0


def windows(call: Call) -> int:
    """Return the elements of the result of pooling, times those of a window, edges included.

    Raises:
        InputError: It has no windows, so the rule was meant for something else.
    """
    extents = sizes(call, "kernel_size")
    axes = len(call.output) - 2
    return prod(call.output) * prod(extents * axes if len(extents) == 1 else extents)


def averaged(call: Call) -> int:
    """Return the elements of the first tensor if its positions become one."""
    return prod(call.input) if prod(call.output[2:]) == 1 else 0


_NAMED = (
    inputs,
    outputs,
    macs,
    bias,
    scaled,
    by_batch,
    windows,
    averaged,
    by_shape.convolution_by_axes,
    by_shape.transposed_by_axes,
    by_shape.deformable_convolution,
    by_shape.bias_by_axes,
    by_shape.convolution_by_output,
    by_shape.matrix_product,
    by_shape.product_of_matrices,
    by_shape.added_matrix_product,
    by_shape.rounded_sum_of_products,
    by_shape.broadcast_from_left,
    by_shape.first_output,
    by_shape.interpolated,
    by_shape.upsampling_by_mode,
    by_shape.mean_windows,
    by_shape.exponentials,
    by_shape.parameters_by_sample,
    by_shape.parameters_by_position,
    by_shape.other_parameters,
    sequences.multihead_attention,
    sequences.attention_of_timm,
    sequences.recurrent_by_weights,
    sequences.recurrent_cell_by_weights,
    sequences.recurrent_by_gates,
    sequences.recurrent_cell_by_gates,
)

NO_MACS = frozenset(
    one.__name__
    for one in (
        inputs,
        outputs,
        scaled,
        by_batch,
        windows,
        averaged,
        by_shape.broadcast_from_left,
        by_shape.first_output,
        by_shape.interpolated,
        by_shape.upsampling_by_mode,
        by_shape.mean_windows,
        by_shape.exponentials,
    )
)
"""Those that count elements, whatever is done with them: no multiply-accumulates."""
BIASES = frozenset((bias.__name__, by_shape.bias_by_axes.__name__))
"""Those of what is added to multiply-accumulates."""

QUANTITIES: Mapping[str, Quantity] = {one.__name__: one for one in _NAMED}
"""By the name that files use."""
