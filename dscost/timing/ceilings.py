"""What a device can do: measured by `calibration`, kept for a month in the user's cache folder."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from dscost.devices.roofline import Ceilings
from dscost.errors import OutputError
from dscost.files import write_whole
from dscost.reports.records import Noise
from dscost.timing import MEMORY_FORMATS, Progress, TimingOptions
from dscost.timing.calibration import POINTS, measured
from dscost.timing.ceilings_file import METHOD, cache_folder, is_recent, read_ceilings
from dscost.timing.cuda import fixed_flags
from dscost.timing.live_device import LiveDevice, live_device
from dscost.timing.machine import Watch, default_threads, keep_freed_memory
from dscost.timing.quiet_torch import quiet_torch


class Wanted(NamedTuple):
    """What is to be known of which device.

    Args:
        device: `cpu` or `cuda`.
        dtype: Of weights and activations.
        threads: How many torch is set to compute with.
        memory_formats: For which rates are needed.
        curve: Whether the bandwidth is needed by size of the working set.
    """

    device: str
    dtype: str
    threads: int
    memory_formats: Sequence[str] = MEMORY_FORMATS
    curve: bool = False

    def is_covered(self, kept: Ceilings) -> bool:
        """Whether all of it is among what is kept."""
        rates = (f"{kind}:{layout}" for kind in POINTS for layout in self.memory_formats)
        return all(rate in kept.rates for rate in rates) and (bool(kept.curve) or not self.curve)

    def with_all_of(self, kept: Ceilings) -> "Wanted":
        """Return the same and what is kept, which others needed before."""
        layouts = [name.partition(":")[2] for name in kept.rates]
        return self._replace(
            memory_formats=list(dict.fromkeys([*self.memory_formats, *layouts])),
            curve=self.curve or bool(kept.curve),
        )


class Found(NamedTuple):
    """Ceilings and where they come from.

    Args:
        ceilings: Peaks of the device in FLOP/s and bytes/s.
        from_cache: Whether they were measured before.
        path: Where they are kept; `None` where they could not be.
        problem: Why they could not be kept.
        noise: What makes them less sure, where they were measured now; those of a busy machine are
            not kept.
    """

    ceilings: Ceilings
    from_cache: bool
    path: Path | None
    problem: str | None = None
    noise: tuple[Noise, ...] = ()


def this_device(
    *,
    device: str = "cpu",
    dtype: str = "float32",
    threads: int | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
) -> Found:
    """Return all that a device of this machine can do, as `dscost.device` is asked for it.

    Raises:
        InputError: A name is unknown or the threads are out of range.
        UnavailableError: There is no such device, or torch cannot compute in that dtype on it.
    """
    options = TimingOptions(devices=(device,), dtypes=(dtype,), threads=threads)
    keep_freed_memory()
    used = options.threads or default_threads()
    flags = fixed_flags() if device == "cuda" else nullcontext()
    with quiet_torch(used, options.seed), flags:
        wanted = Wanted(device, dtype, used, curve=True)
        return find_ceilings(wanted, refresh=refresh, progress=progress)


def find_ceilings(
    wanted: Wanted,
    *,
    refresh: bool = False,
    progress: Progress | None = None,
    folder: Path | None = None,
    today: date | None = None,
) -> Found:
    """Return what a device can do: what was kept, or what is measured now and kept.

    To be called inside `quiet_torch`. A file that cannot be read or written costs time, but is no
    error. What was measured while the machine was busy is not kept, and what was kept before stays.

    They are kept in a folder, by default below the user's cache folder.

    Raises:
        UnavailableError: There is no such device, or torch cannot compute in that dtype on it.
    """
    live = live_device(wanted.device, wanted.dtype, wanted.threads, perf_counter)
    folder, today = folder or cache_folder(), today or date.today()
    path = folder / _file_name(live) if folder else None
    kept = read_ceilings(path) if path else None
    if kept and not refresh and is_fresh(kept, live, today) and wanted.is_covered(kept):
        return Found(kept, True, path)
    if kept:
        wanted = wanted.with_all_of(kept)
    watching = Watch()
    ceilings = measured(
        live, wanted.memory_formats, curve=wanted.curve, today=today, progress=progress
    )
    noise = watching.noise() if wanted.device == "cpu" else ()
    problem = None
    if noise:
        problem = "the machine was busy"
    elif path is None:
        problem = "this system names no folder for caches"
    else:
        try:
            _keep(path, ceilings)
        except OutputError as error:
            problem = str(error)
    return Found(ceilings, False, None if problem else path, problem, noise)


# -- what is kept


def is_fresh(kept: Ceilings, live: LiveDevice, today: date) -> bool:
    """Whether ceilings were measured on this device, with these versions, not too long ago."""
    telling = ("device", "name", "dtype", "threads")
    same = all(getattr(kept, name) == getattr(live, name) for name in telling)
    return same and is_recent(kept, today) and dict(kept.versions) == dict(live.versions)


def _file_name(live: LiveDevice) -> str:
    threads = "" if live.threads is None else f"-{live.threads}"
    return f"{live.device}-{live.dtype}{threads}.json"


def _keep(path: Path, ceilings: Ceilings) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise OutputError(f"cannot make the folder {path.parent}: {why}") from error
    kept = {"method": METHOD, "ceilings": ceilings.to_dict()}
    write_whole(path, json.dumps(kept, indent=1) + "\n")
