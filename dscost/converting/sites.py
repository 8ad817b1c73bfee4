"""The convolutions of a model, each with what may become of it and what that costs. No torch."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any, NamedTuple, Protocol

import numpy as np

from dscost.converting.decomposing import Array, Decomposition, Factors, as_array, max_rank
from dscost.converting.plan_file import KEEP, Decision
from dscost.errors import InputError, UnknownNameError
from dscost.layers.convolution import ConvSpec
from dscost.layers.variants import Convs, depthwise_separable, standard, why_not_separable
from dscost.networks.network import stage_costs
from dscost.notation.units import format_layer
from dscost.reports.figures import Cost, chain_cost, cost_of_calls
from dscost.traces import Event

Where = str | Sequence[str] | Callable[[str, Any], bool] | None
"""Globs on names of layers, or a function of name and module; all layers when none."""

Key = tuple[int, int, int]
"""What layers have in common that share their new weights: identity of the kernel, groups, rank."""


class Applied(Protocol):
    """What a convolution applies: of torch, or of an ONNX file."""

    @property
    def conv(self) -> ConvSpec:
        """The convolution."""

    @property
    def weight(self) -> Array:
        """Its weights, `(N, M/G, Kh, Kw)`; the same object where they are shared."""


class Site(NamedTuple):
    """A convolution of the model, whether it may be converted, and whether it will be.

    Args:
        name: Path of the module, the first of several.
        module: In the given model, or the node of a graph; nothing where a function computes the
            convolution.
        conv: As its attributes tell, or as it ran; unknown of transposed, lazy and scripted ones.
        reason: Why it stays as it is; `None` if it can be converted, and is to be.
        applied: What it applies, where it can be converted.
        decomposition: Of what it applies; at every rank, worked out when first asked for.
        runs: The operators that it ran, where they are convolutions that `conv` can describe.
        calls: How often it ran; unknown without an input.
        whole: What all calls cost as it is, where `conv` is unknown and it ran.
        rank: T that it is to have, once that is decided.
        stored: What tells its weights apart, where others may have them too; nothing of weights
            that it computes.
    """

    name: str
    module: Any
    conv: ConvSpec | None
    reason: str | None
    applied: Applied | None = None
    decomposition: Decomposition | None = None
    runs: tuple[Event, ...] = ()
    calls: int | None = None
    rank: int | None = None
    whole: Cost | None = None
    stored: Hashable = None

    @property
    def kernel(self) -> Any:
        """What it applies; it can be converted."""
        assert self.applied is not None
        return self.applied

    @property
    def key(self) -> Key:
        """The same for sites that share their weights and are to share them still."""
        assert self.rank is not None
        return id(self.kernel.weight), self.kernel.conv.groups, self.rank

    @property
    def max_rank(self) -> int:
        """The rank at which it is reproduced."""
        return max_rank(self.kernel.weight.shape, self.kernel.conv.groups)

    @property
    def ranks(self) -> range:
        """The ranks that it could have."""
        return range(1, self.max_rank + 1)

    @property
    def errors(self) -> tuple[float, ...]:
        """Of its kernel, relative, by rank."""
        assert self.decomposition is not None
        return self.decomposition.errors

    def factors(self, decomposition: Decomposition | None = None) -> Factors:
        """Return weights of its rank, of its own decomposition or another one."""
        decomposition = decomposition or self.decomposition
        assert decomposition is not None
        assert self.rank is not None
        return decomposition.at(self.rank)

    @property
    def swappable(self) -> int:
        """How many convolutions it is that could be depthwise-separable, whatever keeps them.

        As a report counts them: not those that never run, those of a function by their weights.
        """
        if self.module is None:
            kernels = {run.kernel: run.conv for run in self.runs}
            return sum(
                conv is not None and not why_not_separable(conv) for conv in kernels.values()
            )
        can_be = self.conv is not None and why_not_separable(self.conv) is None
        return int(can_be and self.calls != 0)

    # -- what it costs: as it is, or at a rank

    def params(self, rank: int | None = None) -> int | None:
        """Return weights and bias; unknown where `conv` is."""
        if self.conv is None:
            return None if self.whole is None else self.whole.params
        return sum(one.params for _, one in _written(self.conv, rank))

    def cost(self, rank: int | None = None) -> Cost | None:
        """Return what all calls cost; unknown where none is known."""
        if not self.runs:
            return self.whole
        costs = []
        for run in self.runs:
            assert run.conv is not None
            convs = _written(run.conv, rank)
            stages = stage_costs(convs, run.batched_input_shape, run.element_bytes)
            costs.append(chain_cost([stage.cost for stage in stages]))
        return cost_of_calls(costs, [self.name] * len(costs))

    def macs(self, rank: int | None = None) -> int:
        """Return the MACs of all calls, none where it never runs."""
        cost = self.cost(rank)
        return cost.macs if cost else 0

    # -- what is done to it

    def decided(self, decisions: Mapping[str, Decision]) -> "Site":
        """Return what is done to it; a rank above the largest means that one."""
        decision = decisions.get(self.name)
        if self.reason is not None:
            return self
        if decision is None or decision == KEEP:
            reason = "the plan does not name it" if decision is None else "the plan keeps it"
            return self._replace(reason=reason)
        return self._replace(rank=min(decision, self.max_rank))

    def require_values(self, otherwise: str = "") -> None:
        """Refuse weights that nothing can be computed of; `otherwise` says what does without them.

        Raises:
            InputError: There are none, or some are infinite or no numbers.
        """
        weight = self.kernel.weight
        if getattr(weight, "is_meta", False):
            named = format_layer(self.name)
            raise InputError(f"{named} is on meta, without weights to decompose{otherwise}")
        # quick: a sum of anything else is not; one of numbers may not be, where they are large
        with np.errstate(all="ignore"):
            total = float((weight.detach() if hasattr(weight, "detach") else weight).sum())
        if isfinite(total):
            return
        values = as_array(weight)
        wrong = int((~np.isfinite(values)).sum())
        if wrong:
            raise InputError(
                f"the weights of '{self.name}' are not finite: {wrong:,} of {values.size:,} "
                "are NaN or infinite"
            )


def _written(conv: ConvSpec, rank: int | None) -> Convs:
    return standard(conv) if rank is None else depthwise_separable(conv, rank)


def wanted_by(where: Where, found: Mapping[str, Any]) -> dict[str, bool]:
    """Return for each convolution whether `where` asks for it; a glob has to match some.

    Raises:
        InputError: It does not, or is no glob.
    """
    if where is None:
        return dict.fromkeys(found, True)
    if callable(where):
        return {name: bool(where(name, module)) for name, module in found.items()}
    globs = (where,) if isinstance(where, str) or not isinstance(where, Sequence) else tuple(where)
    for glob in globs:
        if not isinstance(glob, str):
            raise InputError(
                f"where is a glob on layer names, a list of them, or a function, found {glob!r:.60}"
            )
        if not found:
            raise InputError(f"where asks for '{glob}', but the model has no convolution")
        if not any(fnmatchcase(name, glob) for name in found):
            raise UnknownNameError("convolution", glob, found)
    return {name: any(fnmatchcase(name, glob) for glob in globs) for name in found}
