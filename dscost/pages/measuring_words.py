"""How something was measured, and what made it less sure: a line each, in words."""

from collections.abc import Iterable, Mapping, Sequence

from dscost.notation.units import DTYPE_BYTES, counted
from dscost.pages.clocks import WHAT_IT_IS, is_read
from dscost.pages.page import Toned
from dscost.pages.runs import ran_under, setting_title
from dscost.reports.records import SAME_WITHIN, UNKNOWN_FLOOR, Environment, Noise, Timing
from dscost.runtimes import TORCH
from dscost.timing import place_of, runtime_of

_BUSY = {
    "load": "load {figure:.1f} on {limit:.0f} cores",
    "cpu_pressure": "{figure:.0f} % of the last 10 s somebody waited for a processor",
    "steal": "{figure:.0%} of the processor time went to other guests of this host",
    "context_switches": "{figure:.0%} of the blocks interrupted{where}",
    "regimes": "repetitions differ {figure:.1f}× more than runs within one{where}",
    "throttled": "the clock under {limit:.0%} of its largest in {figure:.0%} of the blocks{where}",
}
"""What a busy machine shows by, with its figure, what is in order, and where it was worst."""
_BY_OTHERS = {"load", "cpu_pressure", "steal", "context_switches", "regimes"}
"""Those of them that the clock of the processor hardly sees."""
_IMPLAUSIBLE = {
    "page_faults": "{figure:,.0f} page faults a call{where}: allocation is part of the time",
    "more_than_macs": "a speedup of {figure:.2f} is more than {limit:.2f} times fewer MACs "
    "explain{where}",
    "over_roofline": "{figure:.2f} times as fast as the roofline allows{where}: the data stay in "
    "the caches, or its peaks are out of date (dscost device --refresh)",
}
"""What cannot come from the arithmetic alone, in the same way."""
_WORDS = {**_BUSY, **_IMPLAUSIBLE}
_OTHER = "{kind} {figure:.3g}, in order up to {limit:.3g}{where}"
"""Of a later version."""


def measured_notes(where: Environment, timings: Mapping[str, Timing | None]) -> list[str]:
    """Return what made the times beside the costs less sure, if anything, and how they were taken.

    Args:
        where: Where and how.
        timings: By the keys of the settings, that of the times beside the costs first; what was
            measured there tells what a runtime was given.
    """
    offers = where.clock == "wall" and any(key.split(":")[0] == "cpu" for key in timings)
    noise = noise_line(where.noise, where.noise_floor, with_clock=offers)
    return [*([noise] if noise else []), method_line(where, timings)]


def noise_line(
    noise: Sequence[Noise],
    noise_floor: float | None = None,
    *,
    with_budget: bool = True,
    with_clock: bool = False,
) -> str | None:
    """Return what made measurements less sure, with the figures; `None` where nothing did.

    Args:
        noise: What was found; of each kind the worst is told.
        noise_floor: How far a layer timed against itself was off, 0.02 for 2 %.
        with_budget: Whether a longer `--time-budget` would help, too.
        with_clock: Whether `--clock cpu` would help where others take the processor.
    """
    if not noise:
        return None
    by_kind: dict[str, list[Noise]] = {}
    for one in noise:
        by_kind.setdefault(one.kind, []).append(one)
    order = [*(kind for kind in _WORDS if kind in by_kind), *(by_kind.keys() - _WORDS.keys())]
    said = [_said(by_kind[kind]) for kind in order]
    if noise_floor is not None and noise_floor > SAME_WITHIN:
        said.append(f"floor {_percent(noise_floor)}")
    ways = ["when idle"]
    if with_budget:
        ways.append("with a longer --time-budget")
    if with_clock and by_kind.keys() & _BY_OTHERS:
        ways.append("with --clock cpu (processor time)")
    again = ", or ".join(part for part in (", ".join(ways[:-1]), ways[-1]) if part)
    what_to_do = f" Run again {again}." if by_kind.keys() & _BUSY.keys() else ""
    return Toned(f"Noisy: {', '.join(said)}.{what_to_do}", "unclear")


def noise_in_short(where: Environment, keys: Iterable[str]) -> str:
    """Return what made measurements less sure, for a caption; nothing where that is as usual.

    Args:
        where: Where they were taken.
        keys: Of the settings that they were taken under; of several places the worst is told.
    """
    places = dict.fromkeys(map(place_of, keys))
    floors = [where.noise_floors.get(place, where.noise_floor) for place in places]
    known = [floor for floor in floors if floor is not None]
    noisy = ""
    if where.noise:
        first = min(where.noise, key=lambda one: [*_WORDS, one.kind].index(one.kind))
        alike = [one for one in where.noise if one.kind == first.kind]
        noisy = f", noisy ({_said(alike).partition(': ')[0]})"
    if len(known) < len(floors):
        return f"{noisy}; the noise floor is not known"
    floor = max(known, default=0.0)
    return f"{noisy}{noise_under(floor)}"


def noise_under(noise_floor: float) -> str:
    """Return which differences are noise, for a caption; nothing where these are as usual.

    >>> noise_under(0.41), noise_under(0.01)
    ('; differences under 41 % are noise', '')
    """
    if noise_floor <= SAME_WITHIN:
        return ""
    return f"; differences under {_percent(noise_floor)} are noise"


def _said(alike: Sequence[Noise]) -> str:
    """Return what is said of noises of one kind: the figure of the worst, and where it was."""
    worst = max(alike, key=lambda one: one.figure)
    where = worst.where
    if len(alike) > 1:
        where = f"{worst.where} and {len(alike) - 1} more"
    text = _WORDS.get(worst.kind, _OTHER).format(
        kind=worst.kind.replace("_", " "),
        figure=worst.figure,
        limit=worst.limit,
        where=f" ({where})" if where else "",
    )
    return text.replace("%", " %").replace("  %", " %").replace("on 1 cores", "on 1 core")


def _percent(share: float) -> str:
    """Return a share with as many digits as it is worth: `0.8 %`, `53 %`."""
    return f"{share:.1%}".replace("%", " %") if share < 0.1 else f"{share:.0%}".replace("%", " %")


_COUNTERS: Mapping[str, str] = {"cpu_pressure": "CPU pressure", "gpu_clock": "GPU clock"}
"""How counters are called whose names have capitals."""


def setting_words(setting: str) -> list[str]:
    """Return the key of a setting in words, without its device, its runtime and its batch.

    >>> setting_words("cpu"), setting_words("cpu:batch8:compile"), setting_words("cpu:ncnn")
    (['contiguous'], ['contiguous', 'compile'], [])
    """
    _, *parts = setting.split(":")
    runtime = runtime_of(setting)
    words = [part for part in parts if part != runtime and not part.startswith("batch")]
    has_layout = runtime != TORCH or "channels_last" in words
    return words if has_layout else ["contiguous", *words]


def method_line(where: Environment, timings: Mapping[str, Timing | None]) -> str:
    """Return where and how the times beside the costs were taken, and what is noise among them."""
    words = setting_words(next(iter(timings), ""))
    engine, *others = ran_under(timings or {"": None}, where)
    is_told = any(word in DTYPE_BYTES for word in words)
    how = [
        where.device,
        counted(where.threads, "thread"),
        *words,
        engine,
        *(f"{name} {value}" for name, value in where.flags.items()),
        *([] if is_told else [where.dtype.partition(",")[0]]),
    ]
    parts = [
        f"Measured on {', '.join(how)}: random weights and inputs, interleaved pairs, "
        "medians with 95 % intervals",
        *([f"in turns with {_joined(others)}"] if others else []),
        *_rooflines(where),
        _floor(where, timings),
        *([WHAT_IT_IS] if is_read(where) else []),
    ]
    if where.unknown:
        counters = ", ".join(_COUNTERS.get(name, name.replace("_", " ")) for name in where.unknown)
        parts.append(f"not available on this system: {counters}")
    return Toned(f"{'; '.join(parts)}.", "method")


def _joined(engines: Sequence[str]) -> str:
    """Return what ran in a sentence: how each was given what it ran is told behind a comma."""
    *others, last = engines
    return ", and with ".join([*([", with ".join(others)] if others else []), last])


def _rooflines(where: Environment) -> list[str]:
    """Return the peaks of each device and dtype; which they are of is told where several are."""
    found = []
    for key, ceiling in where.ceilings.items():
        peak, memory = ceiling.flops_per_s, ceiling.bytes_per_s
        found.append(
            f"roofline of {key.replace(':', ' ')} {peak / 1e9:,.0f} GFLOP/s, "
            f"{memory / 1e9:,.1f} GB/s, ridge at {peak / memory:.1f} FLOP/byte (dscost device)"
        )
    return found


def _floor(where: Environment, timings: Mapping[str, Timing | None]) -> str:
    """Return which differences are noise: by place where they differ, and by either clock."""
    places = dict.fromkeys(map(place_of, timings))
    known = {place: where.noise_floors[place] for place in places if place in where.noise_floors}
    if not known:
        told = _one_floor(where.noise_floor)
    elif len(places) == 1:
        told = _one_floor(*known.values())
    else:
        found = {place: _percent(_least(known.get(place, UNKNOWN_FLOOR))) for place in places}
        if len({*found.values()}) == 1 and len(known) == len(places):
            told = _one_floor(max(known.values()))
        else:
            named = [f"{percent} ({setting_title(place)})" for place, percent in found.items()]
            told = f"differences under {' or '.join(named)} are noise here and not reported"
    by_cpu = [where.cpu_noise_floors[place] for place in places if place in where.cpu_noise_floors]
    return f"{told}, of CPU time those under {_percent(_least(*by_cpu))}" if by_cpu else told


def _least(*noise_floors: float) -> float:
    """Return the least difference that is called."""
    return max(*noise_floors, SAME_WITHIN)


def _one_floor(noise_floor: float | None) -> str:
    if noise_floor is None:
        return (
            "the noise floor could not be found in so short a time, "
            f"differences under {_percent(UNKNOWN_FLOOR)} are taken for noise and not reported"
        )
    return f"differences under {_percent(_least(noise_floor))} are noise here and not reported"
