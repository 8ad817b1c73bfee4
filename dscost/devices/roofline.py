"""Attainable speed: what a device can do at most, and what that says of a convolution.

A stage of `F` FLOPs that moves `Q` bytes on a device of `P` FLOP/s and `B` byte/s takes at least

    t ≥ max(F / P, Q / B)

so left of the ridge, `P / B` FLOP/byte, memory is the bound and right of it arithmetic. Real
operators are slower; a calibrated prediction adds a fixed time per call and a rate of its own per
class of operator.

Source:
    Williams, Waterman and Patterson 2009, Roofline: an insightful visual performance model, CACM
    52(4).

>>> from dscost.reports.figures import Cost
>>> gpu = Ceilings("t4", "NVIDIA T4", "float32", None, flops_per_s=8.1e12, bytes_per_s=320e9)
>>> depthwise = Cost(params=2304, macs=451_584, weight_bytes=9216, input_bytes=200_704,
...                  output_bytes=200_704, traffic_bytes=410_624)
>>> bound_of(depthwise, gpu).bound
'memory'
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec
from dscost.reports.figures import Cost
from dscost.reports.records import Stage, plain
from dscost.reports.result import Result

BALANCED_WITHIN = 2.0
"""A stage whose intensity is that near to the ridge is bound by both."""


class Rate(NamedTuple):
    """How long a class of convolutions takes on a device: a fixed time, and time for what it does.

        t = t0_s + flops / flops_per_s + activation bytes / activation_bytes_per_s + weight bytes /
        weight_bytes_per_s

    A rate that is `None` is too fast to be seen.

    Args:
        t0_s: Seconds of a call on next to nothing.
        flops_per_s: Speed of the arithmetic.
        activation_bytes_per_s: Speed of reading the input and writing the output, in and out of the
            library's own layout.
        weight_bytes_per_s: Bytes of weights per second.
        least_channels: Fewer input channels take as long as so many: the lanes of the device stay
            empty.
    """

    t0_s: float
    flops_per_s: float | None = None
    activation_bytes_per_s: float | None = None
    weight_bytes_per_s: float | None = None
    least_channels: float = 1.0

    def seconds(self, cost: Cost, channels: int) -> float:
        """Return how long a convolution of that cost and so many input channels takes."""
        speeds = self._asdict()
        amounts = amounts_by_speed(cost).items()
        busy_s: float = sum(amount / speeds[name] for name, amount in amounts if speeds[name])
        return self.t0_s + busy_s * max(1.0, self.least_channels / channels)


def amounts_by_speed(cost: Cost) -> dict[str, int]:
    """Return what a convolution does, by the name of the speed that a `Rate` does it at."""
    return {
        "flops_per_s": cost.flops,
        "activation_bytes_per_s": cost.input_bytes + cost.output_bytes,
        "weight_bytes_per_s": cost.weight_bytes,
    }


LEAST_PER_S, MOST_PER_S = 1e-9, 1e27
"""FLOPs or bytes per second: figures beyond are mistakes, and quotients of them no numbers any
more."""


class Ceilings(Result):
    """What a device can do at most, measured or by its datasheet.

    Args:
        device: `cpu`, `cuda` or the name of a device of `configs/devices`.
        name: As people call it.
        dtype: Data type of weights and activations.
        threads: Of torch; `None` where nothing was measured.
        flops_per_s: P, 2 FLOPs per multiply-accumulate.
        bytes_per_s: B, of main memory.
        curve: Working set in bytes and byte/s, from cache to memory.
        rates: By class of operator and memory format, such as `depthwise:contiguous`.
        usual_error: By what factor the calibrated prediction is usually off
            (`benchmarks/prediction.py`).
        measured_on: ISO date.
        versions: Of what it was measured with, by name.
        source: The public document that the figures come from, where they were not measured.
    """

    device: str
    name: str
    dtype: str
    threads: int | None
    flops_per_s: float
    bytes_per_s: float
    curve: tuple[tuple[int, float], ...] = ()
    rates: Mapping[str, Rate] = MappingProxyType({})
    usual_error: float | None = None
    measured_on: str | None = None
    versions: Mapping[str, str] = MappingProxyType({})
    source: str | None = None

    @property
    def ridge_flops_per_byte(self) -> float:
        """Below this intensity memory is the bound, above it arithmetic."""
        return self.flops_per_s / self.bytes_per_s

    def in_a_line(self) -> str:
        """Return which device it is, its peak and its bandwidth."""
        peak, bandwidth = self.flops_per_s / 1e9, self.bytes_per_s / 1e9
        return f"{self.name}: {peak:,.0f} GFLOP/s in {self.dtype}, {bandwidth:,.1f} GB/s"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values under the names of the fields, and the ridge."""
        fields = {name: plain(value) for name, value in vars(self).items()}
        return {**fields, "ridge_flops_per_byte": self.ridge_flops_per_byte}

    @classmethod
    def from_dict(cls, values: Any) -> "Ceilings":
        """Return the ceilings that `to_dict` made these values of; unknown names are passed over.

        Raises:
            InputError: They are not ceilings.
        """
        from dscost.notation.typed_json import Misfit, Readers

        speeds = ("flops_per_s", "activation_bytes_per_s", "weight_bytes_per_s", "least_channels")
        readers = Readers(
            never_negative={Rate: ("t0_s",)},
            above_zero={Rate: speeds, cls: ("flops_per_s", "bytes_per_s", "usual_error")},
        )
        try:
            found: Ceilings = readers.of(cls)(values)
        except Misfit as misfit:
            raise InputError(f"not the peaks of a device: {misfit}") from misfit
        for figure in (found.flops_per_s, found.bytes_per_s):
            if not LEAST_PER_S <= figure <= MOST_PER_S:
                wrong = f"no device has {figure:g} FLOP or bytes per second"
                raise InputError(f"not the peaks of a device: {wrong}")
        return found


class Prediction(NamedTuple):
    """How long something takes on a device.

    Args:
        roofline_s: No run can be faster: the sum over its stages of `max(F / P, Q / B)`.
        bound: What takes more of that time, `compute` or `memory`.
        balanced: Whether its intensity is within a factor of 2 of the ridge.
        predicted_s: Expected of the calibrated speeds; `None` without calibration.
        usual_error: By what factor `predicted_s` is usually off.
    """

    roofline_s: float
    bound: str
    balanced: bool
    predicted_s: float | None = None
    usual_error: float | None = None


def predict(
    stages: Sequence[Stage], ceilings: Ceilings, *, memory_format: str = "contiguous"
) -> Prediction:
    """Return how long the stages of a variant take, one after the other, in that layout."""
    found = _bounded([stage.cost for stage in stages], ceilings)
    predicted = [_calibrated_s(stage, ceilings, memory_format) for stage in stages]
    known = [seconds for seconds in predicted if seconds is not None]
    if not known or len(known) < len(predicted):
        return found
    return found._replace(predicted_s=sum(known), usual_error=ceilings.usual_error)


def bound_of(cost: Cost, ceilings: Ceilings) -> Prediction:
    """Return how long a single stage takes at least, whatever it is, without a prediction."""
    return _bounded([cost], ceilings)


def operator_class(conv: ConvSpec) -> str:
    """Return the class of operators that share a speed: `dense`, `pointwise` or `depthwise`.

    Grouped convolutions that are not depthwise are `dense`; a 1×1 convolution of several groups is
    too.
    """
    if conv.is_depthwise and conv.in_channels > 1:
        return "depthwise"
    return "pointwise" if conv.is_pointwise and conv.groups == 1 else "dense"


def _bounded(costs: Sequence[Cost], ceilings: Ceilings) -> Prediction:
    compute_bound_s = memory_bound_s = 0.0
    for cost in costs:
        compute_s = cost.flops / ceilings.flops_per_s
        memory_s = cost.traffic_bytes / ceilings.bytes_per_s
        if compute_s > memory_s:
            compute_bound_s += compute_s
        else:
            memory_bound_s += memory_s
    flops = sum(cost.flops for cost in costs)
    traffic_bytes = sum(cost.traffic_bytes for cost in costs)
    from_ridge = flops / traffic_bytes / ceilings.ridge_flops_per_byte if traffic_bytes else 0.0
    return Prediction(
        compute_bound_s + memory_bound_s,
        "compute" if compute_bound_s > memory_bound_s else "memory",
        balanced=1 / BALANCED_WITHIN <= from_ridge <= BALANCED_WITHIN,
    )


def _calibrated_s(stage: Stage, ceilings: Ceilings, memory_format: str) -> float | None:
    conv = stage.conv
    if conv is None:
        return None
    kind = operator_class(conv)
    rate = ceilings.rates.get(f"{kind}:{memory_format}")
    is_grouped = kind == "dense" and conv.groups > 1
    if rate is None or is_grouped or conv.transposed or len(conv.kernel_size) > 2:
        return None  # calibrated are planes, and either one group or a group per channel
    seconds = rate.seconds(stage.cost, conv.in_channels)
    return max(seconds, bound_of(stage.cost, ceilings).roofline_s)
