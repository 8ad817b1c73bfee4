"""What a device can do at most and how fast it really is, measured in about a second.

The peak is the best of a large matrix product, two large convolutions and a linear layer; the
bandwidth is that of a triad, `z = x + 3y`, counted as 3n values, on arrays well above the
last-level cache. The rate of a class of operators comes from a tiny convolution and from one for
each thing that its time depends on (`dscost.devices.roofline.Rate`).
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from statistics import median
from typing import NamedTuple, TypeVar

import torch

from dscost.devices.roofline import Ceilings, Rate, amounts_by_speed
from dscost.errors import UnavailableError
from dscost.notation.units import dtype_bytes
from dscost.reports.figures import Cost
from dscost.timing import Progress, Timed
from dscost.timing.engine import BLOCK_S, Call
from dscost.timing.live_device import Conv, LiveDevice

Key = TypeVar("Key", bound=Hashable)
Keys = tuple[str, ...]

USUAL_ERROR = {("cpu", "float32"): 1.1}
"""By what factor the calibrated prediction is usually off, where that was measured
(`benchmarks/prediction.py`)."""

TURNS = 5
PEAK_EVERY = 2
"""What may reach a ceiling takes long, and its best block counts: it is left out of the turns
between."""
MOST_S = 1.2
"""No turn begins later: a slow or busy device has fewer."""

LEAST_CURVE_BYTES = 64 << 10

PEAKS = (Conv((256, 256), 3, 40), Conv((64, 64), 5, 56))

POINTS: Mapping[str, Mapping[str, Conv]] = {
    "dense": {
        "t0": Conv((16, 16), 3, 2),
        "flops": Conv((128, 128), 3, 28),
        "activations": Conv((4, 32), 3, 112),
        "weights": Conv((512, 512), 3, 7),
    },
    "pointwise": {
        "t0": Conv((16, 16), 1, 2),
        "flops": Conv((96, 96), 1, 40),
        "activations": Conv((8, 32), 1, 112),
        "weights": Conv((768, 768), 1, 7),
    },
    "depthwise": {
        "t0": Conv((16, 16), 3, 2, depthwise=True),
        "flops": Conv((64, 64), 7, 56, depthwise=True),
        "activations": Conv((96, 96), 3, 56, depthwise=True),
        "weights": Conv((1024, 1024), 3, 2, depthwise=True),
        "few": Conv((3, 3), 3, 112, depthwise=True),
    },
}
"""What is timed for each class: next to nothing, and one convolution that each term of its rate
dominates."""


def measured(
    live: LiveDevice,
    memory_formats: Sequence[str],
    *,
    curve: bool = False,
    today: date | None = None,
    progress: Progress | None = None,
) -> Ceilings:
    """Return what a device can do, measured now; the arguments are those of `find_ceilings`.

    Raises:
        UnavailableError: torch cannot compute in that dtype on it.
    """
    if not live.torch_dtype.is_floating_point:
        raise UnavailableError(f"torch cannot convolve {live.dtype}: only floating-point numbers")
    kinds = ((kind, term) for kind, points in POINTS.items() for term in points)
    points = [(*of, layout) for of in kinds for layout in memory_formats]
    with _unavailable(live):
        seen = _seen(live, points, curve=curve, say=progress or (lambda done, doing: None))
    costs: dict[Keys, Cost] = {key: live.cost(POINTS[key[0]][key[1]]) for key in points}
    flops = {**seen.peak_flops, **{key: cost.flops for key, cost in costs.items()}}
    bandwidths = [seen.moved_bytes / min(seen.times[_MEMORY])]
    bandwidths += [speed for _, speed in seen.curve[-1:]]
    return Ceilings(
        device=live.device,
        name=live.name,
        dtype=live.dtype,
        threads=live.threads,
        # no ceiling is below anything that was seen
        flops_per_s=max(flops[key] / min(seen.times[key]) for key in flops),
        bytes_per_s=max(bandwidths),
        curve=seen.curve,
        rates=_rates(seen.times, costs, memory_formats),
        usual_error=USUAL_ERROR.get((live.device, live.dtype)),
        measured_on=(today or date.today()).isoformat(),
        versions=live.versions,
    )


_TOLD = Timed("measuring what this machine can do: peak, bandwidth, convolutions")
_CURVE_TOLD = Timed("measuring what this machine can do: bandwidth by working set")


class _Seen(NamedTuple):
    """What was timed: seconds per call by key, what those calls do, and the curve of bandwidths."""

    times: Mapping[Keys, Sequence[float]]
    peak_flops: Mapping[Keys, int]
    moved_bytes: int
    curve: tuple[tuple[int, float], ...]


def _seen(
    live: LiveDevice, points: Sequence[tuple[str, str, str]], *, curve: bool, say: Progress
) -> _Seen:
    # Everything takes turns, so that a disturbance costs each a turn and none all of its turns.
    triad, peaks = Triad(live), dict(_peaks(live))
    calls: dict[Keys, Call] = {key: call for key, (call, _) in peaks.items()}
    calls[_MEMORY] = triad.call(triad.elements)
    calls |= {key: live.conv(POINTS[key[0]][key[1]], key[2]) for key in points}
    *slow_peaks, _ = peaks
    share = 0.6 if curve else 1.0
    times = in_turns(
        live,
        calls,
        lambda done: say(share * done, _TOLD),
        now_and_then=[*slow_peaks, _MEMORY],
        before=live.conv(POINTS["dense"]["flops"], "channels_last"),
    )
    speeds: tuple[tuple[int, float], ...] = ()
    if curve:
        speeds = triad.curve(lambda done: say(0.6 + 0.4 * done, _CURVE_TOLD))
    flops = {key: count for key, (_, count) in peaks.items()}
    return _Seen(times, flops, triad.moved_bytes, speeds)


def _rates(
    times: Mapping[Keys, Sequence[float]], costs: Mapping[Keys, Cost], memory_formats: Sequence[str]
) -> dict[str, Rate]:
    """Return the rate of each class of operators in each layout, from the times of its points."""
    rates = {}
    for kind, points in POINTS.items():
        few = points["few"].channels[0] if "few" in points else 0
        for layout in memory_formats:
            keys = {term: (kind, term, layout) for term in points}
            samples = {term: Sample(median(times[key]), costs[key]) for term, key in keys.items()}
            rates[f"{kind}:{layout}"] = rate_of(samples, few_channels=few)
    return rates


def in_turns(
    live: LiveDevice,
    calls: Mapping[Key, Call],
    say: Callable[[float], None],
    *,
    now_and_then: Collection[Key] = (),
    before: Call | None = None,
) -> dict[Key, list[float]]:
    """Return the seconds of each call, one value per turn.

    Each has a block in every turn, so that what disturbs the machine for a while costs all of them
    a turn and none of them all.

    Those `now_and_then` are in every `PEAK_EVERY`th turn only; `before` each of the others
    something runs, since in a network something else has just had the caches.
    """
    began = live.clock()
    say(0.0)
    once_s = {key: live.block_s(call) for key, call in calls.items()}
    times: dict[Key, list[float]] = {key: [] for key in calls}
    for turn in range(TURNS):
        if turn and live.clock() - began > MOST_S:
            break
        say(turn / TURNS)
        for key, call in calls.items():
            if key not in now_and_then or turn % PEAK_EVERY == 0:
                if before and key not in now_and_then:
                    before()
                times[key].append(live.block_s(call, max(1, round(BLOCK_S / once_s[key]))))
    return times


class Triad:
    """The sum of two arrays into a third, `z = x + 3y`, in main memory and on smaller parts."""

    def __init__(self, live: LiveDevice) -> None:
        self._live, self._element_bytes = live, dtype_bytes(live.dtype)
        self.elements = live.array_bytes // self._element_bytes
        self._arrays = [
            torch.ones(self.elements, dtype=live.torch_dtype, device=live.place) for _ in range(3)
        ]

    @property
    def moved_bytes(self) -> int:
        """By a call on the whole arrays: two are read, one is written."""
        return 3 * self.elements * self._element_bytes

    def call(self, elements: int) -> Call:
        """Return the call on the first elements."""
        x, y, z = (array[:elements] for array in self._arrays)
        return lambda: torch.add(x, y, alpha=3, out=z)

    def curve(self, say: Callable[[float], None]) -> tuple[tuple[int, float], ...]:
        """Return working sets in bytes and byte/s, from small to large.

        The time of a call on one element is taken off; where it is more than half, the point is
        left out.
        """
        sizes = [self.elements]
        while (half := sizes[-1] // 2) * 3 * self._element_bytes >= LEAST_CURVE_BYTES:
            sizes.append(half)
        calls = {elements: self.call(elements) for elements in [1, *reversed(sizes)]}
        times = in_turns(self._live, calls, say)
        call_s = min(times.pop(1))
        found = []
        for elements, seconds in times.items():
            moved_bytes = 3 * elements * self._element_bytes
            if min(seconds) > 2 * call_s:
                found.append((moved_bytes, moved_bytes / (min(seconds) - call_s)))
        return tuple(found)


class Sample(NamedTuple):
    """What a convolution takes and what it costs on paper."""

    seconds: float
    cost: Cost


def rate_of(samples: Mapping[str, Sample], few_channels: int = 0) -> Rate:
    """Return the rate that explains these samples.

    Each term is what its own sample takes beyond the others, round after round until they agree;
    none is negative.

    Args:
        samples: `t0`, and one that each of `flops`, `activations` and `weights` dominates; a term
            without one is free. `few` has so few channels that the lanes of the device stay empty.
        few_channels: How many those are.
    """
    t0_s = samples["t0"].seconds
    dominated = {speed: samples[term] for term, speed in _SPEEDS.items() if term in samples}
    amounts = {speed: amounts_by_speed(sample.cost) for speed, sample in dominated.items()}
    unit_s = dict.fromkeys(dominated, 0.0)
    for _ in range(_ROUNDS):
        for speed, sample in dominated.items():
            unit_s[speed] = 0.0
            others_s = sum(unit * amounts[speed][other] for other, unit in unit_s.items())
            unit_s[speed] = max(0.0, sample.seconds - t0_s - others_s) / amounts[speed][speed]
    rate = Rate(t0_s, **{speed: 1 / unit for speed, unit in unit_s.items() if unit})
    if not few_channels:
        return rate
    few = samples["few"]
    busy_s, expected_s = few.seconds - t0_s, rate.seconds(few.cost, few_channels) - t0_s
    least = max(1.0, few_channels * busy_s / expected_s) if expected_s else 1.0
    return rate._replace(least_channels=least)


_ROUNDS = 50
_MEMORY: Keys = ("memory",)
_SPEEDS = {
    "flops": "flops_per_s",
    "activations": "activation_bytes_per_s",
    "weights": "weight_bytes_per_s",
}


def _peaks(live: LiveDevice) -> Iterator[tuple[Keys, tuple[Call, int]]]:
    """Yield what may reach the peak, with its FLOPs; the last is quick enough for every turn."""
    matrix, product = live.random(live.side, live.side), live.random(live.side, live.side)
    yield ("matmul",), (lambda: torch.mm(matrix, matrix, out=product), 2 * live.side**3)
    rows, weight = live.random(256 * live.batch, 1024), live.random(1024, 1024)
    yield ("linear",), (lambda: torch.nn.functional.linear(rows, weight), 2 * rows.numel() * 1024)
    for position, conv in enumerate(PEAKS):
        yield ("conv", str(position)), (live.conv(conv, "channels_last"), live.cost(conv).flops)


@contextmanager
def _unavailable(live: LiveDevice) -> Iterator[None]:
    """Turn what torch says of a dtype that it cannot compute in into one line."""
    try:
        yield
    except (RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        where = f"{live.dtype} on {live.device}"
        raise UnavailableError(f"torch cannot convolve {where}: {reason}") from error
