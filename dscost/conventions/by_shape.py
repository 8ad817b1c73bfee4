"""What tools count by shapes where that is no sum of elements and multiply-accumulates.

Each is a quantity of `dscost.conventions.quantities`, with the function that does it as its source.
"""

from fractions import Fraction
from math import prod

from dscost.conventions.settings import given, number, sizes, word
from dscost.layers.convolution import Shape
from dscost.traces.calls import Call

# -- convolutions


def convolution_by_axes(call: Call) -> int:
    """Return the products of a convolution, the first axis of its input being the batch.

    For an input without a batch that is not what runs. Bias is not counted.

    Source:
        ptflops/pytorch_ops.py, conv_flops_counter_hook.
    """
    return _kernel_products(call, 0) * prod(call.input[:1]) * prod(call.output[2:])


def transposed_by_axes(call: Call) -> int:
    """Return the products of a transposed convolution, as `convolution_by_axes` does.

    Source:
        ptflops/pytorch_ops.py, conv_flops_counter_hook with transpose.
    """
    return _kernel_products(call, 0) * prod(call.input[:1]) * prod(call.input[2:])


def deformable_convolution(call: Call) -> int:
    """Return the products of a deformable convolution, with those of reading between positions.

    Per tap 20 for bilinear interpolation, 4 for coordinates, 1 for a mask; once, not per channel.

    Source:
        ptflops/pytorch_ops.py, deformable_conv_flops_counter_hook.
    """
    per_tap = 24 + (len(call.inputs) > 2)
    return _kernel_products(call, per_tap) * prod(call.input[:1]) * prod(call.output[2:])


def bias_by_axes(call: Call) -> int:
    """Return the elements that a bias is added to, the first axis of the input being the batch.

    Source:
        ptflops/pytorch_ops.py, conv_flops_counter_hook.
    """
    return prod(call.input[:1]) * prod(call.output[1:]) if "bias" in call.parameters else 0


def convolution_by_output(call: Call) -> int:
    """Return the products of a convolution, transposed or not, as many for each output value.

    The second axis of the input is its channels, also where it has no batch.

    Source:
        thop/vision/calc_func.py, calculate_conv2d_flops.
    """
    channels = call.input[1] // number(call, "groups")
    return prod(call.output) * channels * prod(sizes(call, "kernel_size"))


def _kernel_products(call: Call, more_per_tap: int) -> int:
    filters_per_group = number(call, "out_channels") // number(call, "groups")
    per_tap = number(call, "in_channels") * filters_per_group + more_per_tap
    return prod(sizes(call, "kernel_size")) * per_tap


# -- products of matrices, and what is written beside them


def matrix_product(call: Call) -> int:
    """Return the elements of the first matrix times the columns of the second.

    Where the second stands for more matrices than the first, fewer than run; where it is a vector,
    more than run by the factor of its length.

    Source:
        ptflops/pytorch_ops.py, _matmul_tensor_flops_hook.
    """
    return prod(given(call, 0)) * given(call, 1)[-1]


def product_of_matrices(call: Call) -> int:
    """Return the same, and of a product with a vector what runs: there such a tool has no figure.

    Source:
        fvcore/nn/jit_handles.py, matmul_flop_jit, which asks the second for its last axis but one.
    """
    return matrix_product(call) if len(given(call, 1)) > 1 else call.macs


def added_matrix_product(call: Call) -> int:
    """Return the same of a product that is added to something, and the elements of that.

    Source:
        ptflops/pytorch_ops.py, _addmm_tensor_flops_hook.
    """
    added = prod(given(call, 0)) if call.attributes.get("beta", 1) else 0
    return prod(given(call, 1)) * given(call, 2)[-1] + added


def rounded_sum_of_products(call: Call) -> int:
    """Return half the FLOPs of an einsum by numpy, as they are read from a text with four digits.

    Where numpy has not told, from twice the multiply-accumulates and one.

    Source:
        fvcore/nn/jit_handles.py, einsum_flop_jit; numpy's einsum_path.
    """
    equation = _in_order_of_letters(str(call.attributes.get("equation", "")))
    if equation in ("abc,abd->acd", "abc,adc->adb"):
        return call.macs
    told = call.attributes.get("flops_by_numpy", float(f"{2 * call.macs + 1:.3e}"))
    return int(told // 2)


def _in_order_of_letters(equation: str) -> str:
    letters = dict.fromkeys(letter for letter in equation if letter.isalpha())
    names = {letter: chr(ord("a") + at) for at, letter in enumerate(letters)}
    return "".join(names.get(one, one) for one in equation if one != " ")


def broadcast_from_left(call: Call) -> int:
    """Return the elements of a sum or product of two, their axes lined up from the first.

    torch lines them up from the last: for shapes of different lengths that is not what runs.

    Source:
        ptflops/pytorch_ops.py, _elementwise_tensor_flops_hook.
    """
    first, second = (*call.inputs, (), ())[:2]
    longest = max(len(first), len(second))
    pairs = zip(_filled(first, longest), _filled(second, longest), strict=True)
    return prod(max(pair) for pair in pairs)


def _filled(shape: Shape, dims: int) -> Shape:
    return (*shape, *[1] * (dims - len(shape)))


# -- interpolation, pooling, softmax


def first_output(call: Call) -> int:
    """Return the elements that the first sample of the result has.

    Source:
        ptflops/pytorch_ops.py, upsample_flops_counter_hook.
    """
    return prod(call.output[1:])


def interpolated(call: Call) -> int | Fraction:
    """Return the elements of what an interpolation makes, by the size or the scale it is told.

    By scale it is not rounded to whole positions; of several scales each is cut to a whole one.

    Source:
        ptflops/pytorch_ops.py, _interpolate_functional_flops_hook.
    """
    told, dims = call.attributes, len(call.input) - 2
    size = told.get("size", told.get("1"))
    if size is not None:
        return prod(_per_axis(size, dims)) * prod(call.input[:2])
    scale = told.get("scale_factor", told.get("2"))
    if scale is None:  # told by something that is no number
        return prod(call.output)
    if isinstance(scale, tuple):
        return prod(call.input) * prod(int(one) for one in scale)
    return Fraction(float(prod(call.input) * scale**dims))


def _per_axis(size: int | Shape, dims: int) -> Shape:
    return size if isinstance(size, tuple) else (size,) * dims


def upsampling_by_mode(call: Call) -> int:
    """Return 1 to 259 per output value of an upsampling, by its mode; 0 of those without a rule.

    Source:
        thop/vision/basic_hooks.py, count_upsample; thop/vision/calc_func.py, calculate_upsample.

    Raises:
        InputError: Its mode is not known.
    """
    shares = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 224 + 35}
    return prod(call.output) * shares.get(word(call, "mode"), 0)


def mean_windows(call: Call) -> int:
    """Return the elements of the mean window and one more, for each value of the result.

    Computed with floats, and cut to a whole number.

    Source:
        thop/vision/basic_hooks.py, count_adap_avgpool.
    """
    if not prod(call.output):
        return 0
    window = 1.0
    for wide, narrow in zip(call.input[2:], call.output[2:], strict=True):
        window *= wide / narrow
    return int((window + 1) * prod(call.output))


def exponentials(call: Call) -> int:
    """Return n exponentials, n - 1 sums and n quotients for each row of n values of a softmax.

    Source:
        thop/vision/basic_hooks.py, count_softmax; thop/vision/calc_func.py, calculate_softmax.

    Raises:
        InputError: Its axis is not known; such a tool has no figure either where torch chooses it.
    """
    row = call.input[number(call, "dim")]
    return prod(call.input) // row * (3 * row - 1) if row else 0


# -- parameters, whatever is done with them

_OWN = ("weight", "bias")


def parameters_by_sample(call: Call) -> int:
    """Return the weight and bias of a module, times the first axis of its result.

    Source:
        torchinfo/layer_info.py, calculate_macs.
    """
    return _own_parameters(call) * prod(call.output[:1])


def parameters_by_position(call: Call) -> int:
    """Return the weight and bias of a module, times all axes of its result but the second.

    Source:
        torchinfo/layer_info.py, calculate_macs, for classes with "Conv" in their name.
    """
    return _own_parameters(call) * prod(call.output[:1]) * prod(call.output[2:])


def other_parameters(call: Call) -> int:
    """Return what has weight or bias within its name, times the first two axes of the result.

    Source:
        torchinfo/layer_info.py, calculate_macs, for recurrent modules.
    """
    others = (
        prod(shape)
        for name, shape in call.parameters.items()
        if name not in _OWN and any(word in name for word in _OWN)
    )
    return sum(others) * prod(call.output[:2])


def _own_parameters(call: Call) -> int:
    return sum(prod(shape) for name, shape in call.parameters.items() if name in _OWN)
