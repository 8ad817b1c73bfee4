"""What a device can do as it was measured before, in the user's cache folder. No torch."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from dscost.devices.roofline import Ceilings
from dscost.errors import DscostError
from dscost.foreign.processor import cpu_name

METHOD = 1
"""Counts up whenever something else is measured, so that what an older dscost kept is not taken for
it."""

KEPT_DAYS = 30


def known_ceilings(
    dtype: str, folder: Path | None = None, today: date | None = None, threads: int | None = None
) -> Ceilings | None:
    """Return what the processor of this machine can do, if that was measured lately.

    Of several numbers of threads it is the one that was measured last.

    Args:
        dtype: Of weights and activations.
        folder: By default the one of the user.
        today: Until when what was measured counts.
        threads: Of so many; by default of any.
    """
    folder, today = folder or cache_folder(), today or date.today()
    kept = map(read_ceilings, sorted(folder.glob(f"cpu-{dtype}-*.json")) if folder else [])
    own = [one for one in kept if one and one.name == cpu_name() and is_recent(one, today)]
    if threads is not None:
        own = [one for one in own if one.threads == threads]
    return max(own, key=lambda one: one.measured_on or "", default=None)


def cache_folder(
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
    home: Path | None = None,
) -> Path | None:
    """Return where ceilings are kept in the user's cache folder, or `None` where there is none.

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


def is_recent(kept: Ceilings, today: date) -> bool:
    """Whether ceilings were measured not too long ago."""
    try:
        age = (today - date.fromisoformat(kept.measured_on or "")).days
    except ValueError:
        return False
    return 0 <= age <= KEPT_DAYS


def read_ceilings(path: Path) -> Ceilings | None:
    """Return what a file of the folder has, `None` where there is none or it is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Ceilings.from_dict(document["ceilings"]) if document["method"] == METHOD else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DscostError):
        return None  # whatever is wrong with it, it is measured anew and written again
