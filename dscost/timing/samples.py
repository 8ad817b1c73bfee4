"""What was timed of a comparison: blocks, quartets and rounds, and what follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from statistics import median
from typing import NamedTuple

LEAST_ROUNDS = 2
"""A case that is begun has that many rounds, since one has no interval."""
LEAST_QUARTETS = 6
"""Disturbed quartets are left out as long as that many remain."""


class Block(NamedTuple):
    """A block of calls as it was timed; what the system does not tell is `None`.

    Args:
        seconds: Per call.
        switches: Times the system took the processor away.
        faults: Pages per call that the system had to find.
        disturbed: Whether the block says little about the calls, for any other reason.
        cpu_s: Processor time of this process per call, where that was read.
    """

    seconds: float
    switches: int | None = None
    faults: float | None = None
    disturbed: bool = False
    cpu_s: float | None = None


class Quartet(NamedTuple):
    """Two blocks of each side: A B B A or B A A B."""

    first: tuple[Block, Block]
    second: tuple[Block, Block]

    @property
    def log_ratio(self) -> float:
        """The logarithm of first over second."""
        first, second = (sum(log(b.seconds) for b in side) for side in self)
        return (first - second) / 2

    @property
    def disturbed(self) -> bool:
        """Whether something took the processor away during one of its blocks."""
        return any(block.switches or block.disturbed for block in (*self.first, *self.second))

    @property
    def by_cpu(self) -> "Quartet | None":
        """The same blocks by processor time; `None` where that was not read.

        It stands still while the processor is taken away, which therefore disturbs no block.
        """
        blocks = [
            block._replace(seconds=block.cpu_s, switches=None, cpu_s=None)
            for block in (*self.first, *self.second)
            if block.cpu_s is not None
        ]
        if len(blocks) < 4:
            return None
        one, two, three, four = blocks
        return Quartet((one, two), (three, four))


class Round(NamedTuple):
    """A few quartets in a row, those of them that were not disturbed, and the median of each.

    By processor time it is a round of its own, `by_cpu`, where that was read.
    """

    quartets: Sequence[Quartet]
    quiet: Sequence[Quartet]
    log_ratio: float
    quiet_log_ratio: float | None
    by_cpu: "Round | None" = None

    @classmethod
    def of(cls, quartets: Sequence[Quartet]) -> "Round":
        """Return the round that at least one quartet makes."""
        quiet = [quartet for quartet in quartets if not quartet.disturbed]
        value = median(quartet.log_ratio for quartet in quartets)
        quiet_value = median(quartet.log_ratio for quartet in quiet) if quiet else None
        found = [one for one in (quartet.by_cpu for quartet in quartets) if one]
        by_cpu = cls.of(found) if len(found) == len(quartets) else None
        return cls(quartets, quiet, value, quiet_value, by_cpu)


@dataclass(slots=True)
class Measurement:
    """What was measured of a case, round by round.

    What follows from it leaves out disturbed quartets where enough others remain.
    """

    rounds: list[Round] = field(default_factory=list)

    @property
    def by_cpu(self) -> "Measurement | None":
        """The same blocks by processor time; `None` where that was not read, or nothing was."""
        found = [one.by_cpu for one in self.rounds if one.by_cpu]
        return Measurement(found) if found and len(found) == len(self.rounds) else None

    @property
    def _leaves_out(self) -> bool:
        """Whether enough remains without the disturbed quartets."""
        quiet = [len(one.quiet) for one in self.rounds if one.quiet]
        return sum(quiet) >= LEAST_QUARTETS and len(quiet) >= LEAST_ROUNDS

    @property
    def log_ratios(self) -> list[float]:
        """Logarithm of first over second, one value per round: the median of its quartets."""
        if self._leaves_out:
            found = (one.quiet_log_ratio for one in self.rounds)
            return [ratio for ratio in found if ratio is not None]
        return [one.log_ratio for one in self.rounds]

    @property
    def kept(self) -> list[Sequence[Quartet]]:
        """The quartets by round, the disturbed ones left out where enough remain."""
        if self._leaves_out:
            return [one.quiet for one in self.rounds if one.quiet]
        return [one.quartets for one in self.rounds]

    @property
    def first_s(self) -> list[float]:
        """Seconds per call of the first callable, one value per block."""
        return [b.seconds for quartets in self.kept for one in quartets for b in one.first]

    @property
    def second_s(self) -> list[float]:
        """Seconds per call of the second callable, one value per block."""
        return [b.seconds for quartets in self.kept for one in quartets for b in one.second]

    @property
    def sides(self) -> tuple[list[Block], list[Block]]:
        """All blocks of the first and of the second, the disturbed ones too."""
        quartets = [quartet for one in self.rounds for quartet in one.quartets]
        first = [block for quartet in quartets for block in quartet.first]
        return first, [block for quartet in quartets for block in quartet.second]

    @property
    def blocks(self) -> list[Block]:
        """All blocks of both sides."""
        first, second = self.sides
        return first + second

    @property
    def switched_share(self) -> float | None:
        """Share of the blocks in which the system took the processor away; `None` if unknown."""
        known = [block.switches for block in self.blocks if block.switches is not None]
        return sum(count > 0 for count in known) / len(known) if known else None

    @property
    def faults_per_call(self) -> tuple[float | None, float | None]:
        """Median of the page faults per call of the first and the second; `None` where unknown."""
        first, second = map(_median_faults, self.sides)
        return first, second


def _median_faults(blocks: list[Block]) -> float | None:
    known = [block.faults for block in blocks if block.faults is not None]
    return median(known) if known else None
