"""What a device can do: measured by `dscost.timing.rig`, kept for a month in the user's cache folder."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from dscost.devices.roofline import Ceilings
from dscost.errors import DscostError, OutputError
from dscost.files import write_whole
from dscost.reports.records import Noise
from dscost.timing import TimingOptions
from dscost.timing.cuda import fixed_flags
from dscost.timing.engine import Clock
from dscost.timing.machine import Watch, default_threads, keep_freed_memory, quiet_torch
from dscost.timing.rig import POINTS, Progress, Rig, measured, rig_of

METHOD = 1
"""Counts up whenever something else is measured, so that what an older dscost kept is not taken for
it."""

KEPT_DAYS = 30


class Found(NamedTuple):
    """Ceilings and where they come from.

    Args:
        ceilings: Of the device.
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
    """Return all that is known of what a device of this machine can do, measured in quiet where it is not known.

    Args:
        device: `cpu` or `cuda`.
        dtype: Of weights and activations.
        threads: Of torch; by default one less than the physical cores.
        refresh: Whether to measure whatever is kept.
        progress: Called with the share that is done and what is being done.

    Raises:
        InputError: A name is unknown or the threads are out of range.
        UnavailableError: There is no such device, or torch cannot compute in that dtype on it.
    """
    options = TimingOptions(devices=(device,), dtypes=(dtype,), threads=threads)
    keep_freed_memory()
    used = options.threads or default_threads()
    flags = fixed_flags() if device == "cuda" else nullcontext()
    with quiet_torch(used, options.seed), flags:
        return find_ceilings(
            device=device,
            dtype=dtype,
            threads=used,
            refresh=refresh,
            curve=True,
            progress=progress,
        )


def ceilings_of(
    *,
    device: str,
    dtype: str,
    threads: int,
    memory_formats: Sequence[str] = ("contiguous", "channels_last"),
    refresh: bool = False,
    curve: bool = False,
    clock: Clock = perf_counter,
    progress: Progress | None = None,
) -> tuple[Ceilings, bool]:
    """Return what a device can do, and whether that was known already; see `find_ceilings`.

    Raises:
        UnavailableError: There is no such device, or torch cannot compute in that dtype on it.
    """
    found = find_ceilings(
        device=device,
        dtype=dtype,
        threads=threads,
        memory_formats=memory_formats,
        refresh=refresh,
        curve=curve,
        clock=clock,
        progress=progress,
    )
    return found.ceilings, found.from_cache


def find_ceilings(
    *,
    device: str,
    dtype: str,
    threads: int,
    memory_formats: Sequence[str] = ("contiguous", "channels_last"),
    refresh: bool = False,
    curve: bool = False,
    clock: Clock = perf_counter,
    progress: Progress | None = None,
    folder: Path | None = None,
    today: date | None = None,
    watch: Callable[[], Watch] = Watch,
) -> Found:
    """Return what a device can do: what was kept, or what is measured now and kept.

    To be called inside `quiet_torch`. A file that cannot be read or written costs time, but is no
    error. What was measured while the machine was busy is not kept, and what was kept before stays.

    Args:
        device: `cpu` or `cuda`.
        dtype: Of weights and activations.
        threads: Of torch, as they are set.
        memory_formats: For which rates are needed.
        refresh: Whether to measure whatever is kept.
        curve: Whether the bandwidth is needed by size of the working set.
        clock: Returns seconds.
        progress: Called with the share that is done and what is being done.
        folder: Where ceilings are kept; by default below the user's cache folder.
        today: By default what the system says.
        watch: Watches what else the machine does.

    Raises:
        UnavailableError: There is no such device, or torch cannot compute in that dtype on it.
    """
    rig = rig_of(device, dtype, threads, clock)
    folder, today = folder or cache_folder(), today or date.today()
    path = folder / _file_name(rig) if folder else None
    kept = _kept(path) if path else None
    if (
        kept
        and not refresh
        and is_fresh(kept, rig, today)
        and _covers(kept, memory_formats, curve=curve)
    ):
        return Found(kept, True, path)
    if kept:  # what is measured anew covers all that others needed before
        layouts = [name.partition(":")[2] for name in kept.rates]
        memory_formats, curve = (
            list(dict.fromkeys([*memory_formats, *layouts])),
            curve or bool(kept.curve),
        )
    watching = watch()
    ceilings = measured(rig, memory_formats, curve=curve, today=today, progress=progress)
    noise = watching.noise() if device == "cpu" else ()
    if noise:
        return Found(ceilings, False, None, "the machine was busy", noise)
    if path is None:
        return Found(ceilings, False, None, "this system names no folder for caches")
    try:
        _keep(path, ceilings)
    except OutputError as error:
        return Found(ceilings, False, None, str(error))
    return Found(ceilings, False, path)


# -- what is kept


def cache_folder(
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
    home: Path | None = None,
) -> Path | None:
    """Return where ceilings are kept below the user's cache folder, or `None` where the system names none.

    Source:
        XDG Base Directory Specification 0.8: a path that is not absolute is to be ignored.
    """
    if home is None:
        try:
            home = Path.home()
        except RuntimeError:
            return None
    if platform == "win32":
        named = environment.get("LOCALAPPDATA")
        base = Path(named) if named else home / "AppData" / "Local"
    elif platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        named = environment.get("XDG_CACHE_HOME")
        base = Path(named) if named and Path(named).is_absolute() else home / ".cache"
    return base / "dscost" / "ceilings"


def is_fresh(kept: Ceilings, rig: Rig, today: date) -> bool:
    """Whether ceilings were measured on this very device, with these versions, and not too long ago."""
    try:
        age = (today - date.fromisoformat(kept.measured_on or "")).days
    except ValueError:
        return False
    same = (kept.device, kept.name, kept.dtype, kept.threads) == (
        rig.device,
        rig.name,
        rig.dtype,
        rig.threads,
    )
    return same and 0 <= age <= KEPT_DAYS and dict(kept.versions) == dict(rig.versions)


def _covers(kept: Ceilings, memory_formats: Iterable[str], *, curve: bool) -> bool:
    wanted = (f"{kind}:{layout}" for kind in POINTS for layout in memory_formats)
    return all(name in kept.rates for name in wanted) and (bool(kept.curve) or not curve)


def _file_name(rig: Rig) -> str:
    threads = "" if rig.threads is None else f"-{rig.threads}"
    return f"{rig.device}-{rig.dtype}{threads}.json"


def _kept(path: Path) -> Ceilings | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Ceilings.from_dict(document["ceilings"]) if document["method"] == METHOD else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DscostError):
        return None  # whatever is wrong with it, it is measured anew and written again


def _keep(path: Path, ceilings: Ceilings) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {path.parent}: {error.strerror or error}"
        ) from error
    write_whole(
        path, json.dumps({"method": METHOD, "ceilings": ceilings.to_dict()}, indent=1) + "\n"
    )
