"""What was known and what is counted now → what is to be known, where growth has to be accepted."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from dscost.budgets.accepting import Accepting
from dscost.budgets.baseline import Known, renamed_layers
from dscost.budgets.metrics import KEPT_OF_LAYERS
from dscost.budgets.raising import RaisedLimit
from dscost.notation.units import counted
from dscost.reports.result import Result


class Update(NamedTuple):
    """A baseline made anew.

    Args:
        models: What is to be written.
        accepted: Entry and metric of what grew and was accepted, as `entry/metric`.
        refused: Entry and metric of what grew and was not accepted: those entries stay.
        added: Entries that were not known.
        removed: Entries that no model has any more.
        replaced: Entries that were not comparable, and accepted: other figures stand there now.
        changed: Entries that are not comparable and were not accepted, with the differences: they
            stay as they were.
        shifted: Entries that were taken over although layers of theirs grew, since their totals did
            not: the layers, as `layer/metric`.
        unused: Patterns that nothing which needs accepting matches.
    """

    models: Mapping[str, Known]
    accepted: tuple[str, ...]
    refused: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    changed: Mapping[str, Sequence[str]] = MappingProxyType({})
    shifted: Mapping[str, Sequence[str]] = MappingProxyType({})
    unused: tuple[str, ...] = ()


class Kept(Result):
    """A baseline that was saved or updated.

    Args:
        path: The baseline file.
        action: What was asked for.
        update: What the baseline has now, and how it differs from what it had.
        counted: The entries of the budget that were counted.
        unloadable: Why other entries could not be counted: they stay as they were.
        on_unloadable: What the budget's policy makes of those: `ignore`, `warn` or `error`.
        is_written: Whether the file was written: an update that changes nothing leaves it alone.
        budget: The budget.
        raised: Its limits that were raised.
        is_nearest: Whether a command that names no budget means this one.
    """

    path: Path
    action: Literal["save", "update"]
    update: Update
    counted: tuple[str, ...]
    unloadable: Mapping[str, str]
    on_unloadable: str
    is_written: bool
    budget: Path = Path("dscost.yaml")
    raised: tuple[RaisedLimit, ...] = ()
    is_nearest: bool = True

    @property
    def exit_code(self) -> int:
        """1 where something that grew, is another model or was not counted was not taken over."""
        is_refused = self.update.changed or self.update.refused
        is_missing = self.unloadable and self.on_unloadable == "error"
        return 1 if is_refused or is_missing else 0

    def in_a_line(self) -> str:
        """Return where it is, how many models it has, and whether all were taken over."""
        models = counted(len(self.update.models), "model")
        return f"{self.path}: {models}{', not all taken over' if self.exit_code else ''}"


def updated(
    before: Mapping[str, Known],
    now: Mapping[str, Known],
    accept: Sequence[str] | Accepting,
    keep: Collection[str] = (),
) -> Update:
    """Return the baseline with improvements taken over, and what else is accepted.

    Accepted is what `Accepting` says. Entries to `keep` were not counted, and stay as they were.
    """
    models = {name: before[name] for name in keep if name in before}
    accepting = accept if isinstance(accept, Accepting) else Accepting(accept)
    changed: dict[str, list[str]] = {}
    shifted: dict[str, list[str]] = {}
    accepted: list[str] = []
    refused: list[str] = []
    replaced: list[str] = []
    for name, known in now.items():
        old = before.get(name, known)
        differences = old.differs_from(known.fingerprint)
        # figures of another target or input are no growth: they cannot be compared at all
        grown = [] if differences else _grown(old, known)
        models[name] = known
        if differences and not accepting.takes_all_of(name):
            changed[name], models[name] = differences, old
        elif differences:
            replaced.append(name)
        elif missing := [metric for metric in grown if not accepting.takes(name, metric)]:
            # all or nothing: half a model taken over would be figures that never were together
            refused += [f"{name}/{metric}" for metric in missing]
            models[name] = old
        else:
            accepted += [f"{name}/{metric}" for metric in grown]
            if layers := _grown_layers(old, known):
                shifted[name] = layers
                accepting.takes_all_of(name)  # whoever asked for that had something to accept
    return Update(
        models=models,
        accepted=tuple(accepted),
        refused=tuple(refused),
        added=tuple(name for name in now if name not in before),
        removed=tuple(name for name in before if name not in models),
        replaced=tuple(replaced),
        changed=changed,
        shifted=shifted,
        unused=accepting.unused,
    )


def _grown(old: Known, new: Known) -> list[str]:
    both = sorted(old.figures.keys() & new.figures)
    return [
        metric
        for metric in both
        if new.figures[metric] > old.figures[metric]
        or new.rules.get(metric) != old.rules.get(metric)  # counted otherwise, be it more or less
    ]


def _grown_layers(old: Known, new: Known) -> list[str]:
    """Return what grew of layers that were there before, where the whole has no more."""
    called = renamed_layers(old, new)
    # by a convention only where both know it
    kept = (*KEPT_OF_LAYERS, *(one for one in new.rules if old.rules.get(one) == new.rules[one]))
    told = [one for one in kept if new.figures.get(one, 0) <= old.figures.get(one, 0)]
    found = []
    for name in sorted(new.names):
        was = called.get(name, name)
        for metric in told if was in old.names else ():
            if new.layer_figure(name, metric) > old.layer_figure(was, metric):
                found.append(f"{name}/{metric}")
    return found
