"""Where what pictures show was measured, and what is noise there."""

from collections.abc import Iterable

from dscost.pages.measuring_words import noise_in_short
from dscost.pages.runs import measured_on
from dscost.reports.records import Environment


def measured_at(where: Environment | None, keys: Iterable[str]) -> str:
    """Return the machine, what ran there, and which differences are noise where many are.

    Args:
        where: Where times were taken, if they were.
        keys: Of the settings that they were taken under.
    """
    if where is None:
        return ""
    keys = list(keys)
    return f"{measured_on(where, keys)}{noise_in_short(where, keys)}"
