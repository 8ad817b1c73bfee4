"""What two counts of one model say of each other."""

from typing import Any, NamedTuple

from dscost.reports.result import Result

UNKNOWN = "unknown"


class Method(NamedTuple):
    """What a second count is made by.

    Args:
        name: In a sentence, before a figure.
        key: For programs.
        part: What the two are held against each other by: `module` or `node`.
    """

    name: str
    key: str
    part: str


FLOP_COUNTER_MODE = Method("FlopCounterMode", "flop_counter_mode", "module")


class Difference(NamedTuple):
    """A module, or a node of a graph, on which the two counts differ, and why.

    Args:
        module: Its path.
        type: Class name.
        ours: MACs by our tracer.
        theirs: MACs by the other method.
        reason: What that method does not know, or `unknown`.
    """

    module: str
    type: str
    ours: int
    theirs: int
    reason: str

    @property
    def is_explained(self) -> bool:
        """Whether the reason makes up for the difference to the last digit."""
        return self.reason != UNKNOWN


class Verification(Result):
    """Two counts of one model.

    Args:
        target: What was counted.
        ours: MACs by our tracer.
        theirs: MACs by the other method.
        differences: The innermost modules, or the nodes, on which they differ.
        notes: What the reader must know.
        partial: Why neither count is known to be whole: operators of unknown cost, weights that
            nothing seems to read.
        method: What the second count was made by.
    """

    target: str
    ours: int
    theirs: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    partial: tuple[str, ...] = ()
    method: Method = FLOP_COUNTER_MODE

    def in_a_line(self) -> str:
        """Return the two counts."""
        counts = f"{self.target}: {self.ours:,} MACs"
        if self.is_cut_short:
            return f"{counts}, {self.theirs:,} of them {self.method.name} as well"
        return f"{counts}, {self.method.name} {self.theirs:,}"

    @property
    def agrees(self) -> bool:
        """Whether both counts are the same, module by module, and whole."""
        return self.ours == self.theirs and not self.differences and not self.partial

    @property
    def is_explained(self) -> bool:
        """Whether both are whole, and differ by what the other method is known to miscount."""
        return (
            bool(self.differences)
            and not self.partial
            and all(one.is_explained for one in self.differences)
        )

    @property
    def differs(self) -> bool:
        """Whether there is something on which the two differ, and it is not known why."""
        return not (self.partial or self.agrees or self.is_explained) or any(
            not one.is_explained for one in self.differences
        )

    @property
    def is_cut_short(self) -> bool:
        """Whether the other method counts only some of it, and the same there."""
        return bool(self.partial) and not self.differences and self.theirs < self.ours

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "target": self.target,
            "agrees": self.agrees,
            "explained": self.is_explained,
            "partial": list(self.partial),
            "method": self.method.key,
            "macs": {"dscost": self.ours, self.method.key: self.theirs},
            "differences": [difference._asdict() for difference in self.differences],
            "notes": list(self.notes),
        }
