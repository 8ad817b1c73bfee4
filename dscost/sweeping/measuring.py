"""A case timed once, in this process: what a worker on another machine is asked for as well."""

import gc
import platform
from functools import lru_cache
from time import perf_counter, time
from typing import Protocol

from dscost.analysis.beside_reference import place_of
from dscost.analysis.cooling import in_turns
from dscost.analysis.places import versions_of
from dscost.analysis.running import Work, work_of
from dscost.analysis.varying import with_norms
from dscost.analysis.whole_models import WHOLE
from dscost.errors import DscostError, InputError
from dscost.foreign.processor import cpu_name
from dscost.notation.units import dtype_bytes
from dscost.runtimes import TORCH
from dscost.sweeping.records import Case, Visit, Where
from dscost.sweeping.units import Unit
from dscost.timing import MEMORY_FORMATS, Setting, TimingOptions


def settings_of(options: TimingOptions, dtype: str) -> list[Setting]:
    """Return the settings that cases are timed under: every runtime with every dtype.

    Args:
        options: How to measure.
        dtype: Of weights and activations, where the options name none.

    Raises:
        InputError: Something is asked for that a sweep does not vary.
    """
    if set(options.devices) != {"cpu"}:
        raise InputError("a sweep is timed on the CPU alone")
    if options.modes or options.memory_formats or options.batches:
        raise InputError("a sweep is timed as torch runs it by itself, at the batches of its grid")
    return options.settings(dtype=dtype, batch=1, memory_formats=MEMORY_FORMATS[:1])


@lru_cache(maxsize=64)
def where_of(options: TimingOptions, setting: Setting) -> Where:
    """Return what the rows that are timed under a setting in this process have in common."""
    return Where(
        device=cpu_name(),
        threads=place_of(options, setting).threads,
        runtime=setting.runtime,
        dtype=setting.dtype,
        clock=options.clock,
        with_norm=options.with_norm,
        versions=versions_of([setting]),
        host=platform.node(),
        allocator=options.allocator,
        precision=options.precision,
        seed=options.seed,
    )


class MadeByItself(Protocol):
    """What is timed as one and says itself how it is made, as a whole model does."""

    def work(self, setting: Setting, *, seed: int = 0, with_norm: bool = False) -> Work:
        """Return it as something to be run."""
        ...


def work_of_unit(unit: Unit | MadeByItself, options: TimingOptions, setting: Setting) -> Work:
    """Return what is timed as one as something to be run under a setting."""
    if not isinstance(unit, Unit):
        return unit.work(setting, seed=options.program_seed, with_norm=options.with_norm)
    parts = tuple(with_norms(unit.parts)) if options.with_norm else unit.parts
    element_bytes = dtype_bytes(setting.dtype)
    stages = unit.stages(element_bytes)
    work = work_of(stages, setting, parts, seed=options.program_seed)
    if unit.between_elements and setting.runtime == TORCH:
        weights = sum(stage.cost.params for stage in stages)
        work = in_turns(work, weights, unit.between_elements * element_bytes)
    return work._replace(name=unit.label if unit.label == WHOLE else f"the layer {unit.label}")


def measure_case(
    case: Case, options: TimingOptions, setting: Setting, comparison_s: float | None = None
) -> Visit:
    """Return what was measured of a case just now, in turns with the reference layer.

    All arguments and the visit can go to another process; the reference layer is made once in each.
    What cannot be timed says so in the visit.

    Args:
        case: What to time.
        options: How; the time budget is that of a whole sweep and does not matter here.
        setting: Under which of `settings_of`.
        comparison_s: Seconds that a comparison may take; by default as the case needs.

    Raises:
        UnavailableError: Nothing can be timed under this setting.
    """
    began_at, before = time(), perf_counter()
    works, unmade = dict[str, Work](), dict[str, str]()
    for unit in case.units:
        try:
            works[unit.label] = work_of_unit(unit, options, setting)
        except DscostError as error:  # stages that do not fit each other, a model without code
            unmade[unit.label] = str(error)
    options = options._replace(budget_s=None)  # one place, whatever the time that is given
    found = place_of(options, setting).timed(works, comparison_s)
    gc.collect(1)  # programs stand in cycles, and hold more memory than Python knows of
    where = where_of(options, setting)
    return Visit(
        case.key(where),
        where,
        found.beside,
        found.speedups,
        found.reference_s,
        found.moved,
        found.samples,
        {**unmade, **found.untimed},
        began_at,
        perf_counter() - before,
    )
