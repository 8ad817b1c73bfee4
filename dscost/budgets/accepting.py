"""What somebody says was meant: names of models, or of their figures."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


class Accepting:
    """What may be taken over, and which patterns were of use.

    A pattern over the names of entries takes all of them, be it growth or another target or input
    now: `mobilenet_v1` all choices of its matrix, too. One over `entry/metric`, such as
    `mobilenet_v1*/macs`, takes the growth of that figure.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._used: set[str] = set()

    def takes_all_of(self, name: str) -> bool:
        """Whether an entry is taken over, whatever it is now."""
        return self._allows(*_called(name), f"{name}/*")

    def takes(self, name: str, metric: str) -> bool:
        """Whether an entry may be over what it was, or over its limit, in one figure."""
        return self._allows(*_called(name), f"{name}/{metric}")

    def _allows(self, *subjects: str) -> bool:
        meant = {one for one in self._patterns if any(_is_meant(name, one) for name in subjects)}
        self._used |= meant
        return bool(meant)

    @property
    def unused(self) -> tuple[str, ...]:
        """The patterns that nothing which needs accepting matches."""
        return tuple(one for one in self._patterns if one not in self._used)


def _called(entry: str) -> tuple[str, str]:
    """Return the names of an entry: its own, and that of all choices of its matrix."""
    return entry, entry.partition("[")[0]


def _is_meant(one: str, pattern: str) -> bool:
    """Whether a pattern matches `entry/metric`; brackets stand for themselves."""
    return fnmatchcase(one, pattern.replace("[", "[[]"))
