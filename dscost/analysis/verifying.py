"""A model counted by two independent methods, and where they differ."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.analysis import module_source

if TYPE_CHECKING:
    from dscost.tracing import Trace

# operators that we count and `FlopCounterMode` of torch 2.13 has no formula for
_WITHOUT_FORMULA = {f"aten::{name}" for name in ("mv", "dot", "vdot", "inner", "addmv", "addbmm", "bilinear")}


class Difference(NamedTuple):
    """A module on which the two counts differ, and why where that is known."""

    module: str
    type: str
    ours: int
    theirs: int
    reason: str


class Verification(NamedTuple):
    """Two counts of one model.

    Args:
        target: What was counted.
        ours: MACs by our tracer.
        theirs: MACs by torch's `FlopCounterMode`.
        differences: The innermost modules on which they differ.
        notes: What the reader must know.
        is_whole: Whether nothing ran that neither method sees.
    """

    target: str
    ours: int
    theirs: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    is_whole: bool = True

    @property
    def agrees(self) -> bool:
        """Whether both counts are the same, module by module, and of everything that ran."""
        return self.ours == self.theirs and not self.differences and self.is_whole

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "target": self.target,
            "agrees": self.agrees,
            "macs": {"dscost": self.ours, "flop_counter_mode": self.theirs},
            "differences": [difference._asdict() for difference in self.differences],
            "notes": list(self.notes),
        }


def verify(target: Any, **options: Any) -> Verification:
    """Count a model by our tracer and by torch's `FlopCounterMode`.

    Args:
        target: As in `dscost.analyze`.
        options: `input`, `batch`, `dtype`, `settings` and `kwargs`, as in `dscost.analyze`.

    Raises:
        InputError: The target or an option is wrong, or one of the counters cannot run the model.
    """
    from dscost.tracing import trace
    from dscost.tracing.flopcounter import flop_counter_macs

    source, arguments, name = module_source(target, **options)
    traced = trace(source.module, arguments, make_real=source.make_real)
    theirs = flop_counter_macs(source.module, arguments, make_real=source.make_real)
    ours = _with_children(traced)
    paths = [path for path in traced.calls if ours[path] != theirs.get(path, 0)]
    innermost = [path for path in paths if not any(_is_inside(other, path) for other in paths)]
    return Verification(
        target=name,
        ours=ours.get("", 0),
        theirs=theirs[""],
        differences=tuple(
            Difference(path, traced.types.get(path, ""), ours[path], theirs.get(path, 0), _reason(traced, path))
            for path in innermost
        ),
        notes=(*source.notes, *(doubt.text for doubt in traced.doubts)),
        is_whole=all(doubt.kind != "unseen" for doubt in traced.doubts),
    )


def _with_children(traced: "Trace") -> Mapping[str, int]:
    """Return the MACs of every module that ran, those of its children included."""
    macs = dict.fromkeys(traced.calls, 0)
    for event in traced.events:
        for path in set(event.stack):
            macs[path] = macs.get(path, 0) + event.macs
    return macs


def _is_inside(path: str, parent: str) -> bool:
    return path != parent and (not parent or path.startswith(f"{parent}."))


def _reason(traced: "Trace", path: str) -> str:
    operators = {event.operator for event in traced.events if event.module == path and event.macs}
    lacking = sorted(operators & _WITHOUT_FORMULA)
    if lacking:
        return f"FlopCounterMode has no formula for {', '.join(lacking)}"
    if any("attention" in operator for operator in operators) and any(
        doubt.kind == "value_dependent" for doubt in traced.doubts
    ):
        return "FlopCounterMode loses fused attention on the CPU"
    return "unknown"
