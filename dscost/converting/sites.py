"""The convolutions of a model, each with what may become of it and what that costs. No torch."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from dscost.converting.decisions import KEEP, Decision, form_of
from dscost.converting.decomposing import Array, Decomposition, Factors, as_array, max_rank
from dscost.errors import InputError, UnknownNameError
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.orders import DEPTHWISE_FIRST, ORDERS, Form, Order
from dscost.layers.variants import Convs, standard, why_not_separable
from dscost.networks.network import stage_costs
from dscost.notation.units import format_layer
from dscost.reports.figures import Cost, chain_cost, cost_of_calls
from dscost.traces import Event

Where = str | Sequence[str] | Callable[[str, Any], bool] | None
"""Globs on names of layers, or a function of name and module; all layers when none."""

Key = tuple[int, int, Form]
"""What layers have in common that share their new weights: identity of the kernel, groups, form."""


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
        decompositions: Of what it applies, by order; each at every rank, worked out when first
            asked for.
        runs: The operators that it ran, where they are convolutions that `conv` can describe.
        calls: How often it ran; unknown without an input.
        whole: What all calls cost as it is, where `conv` is unknown and it ran.
        form: What it is to become, once that is decided.
        stored: What tells its weights apart, where others may have them too; nothing of weights
            that it computes.
    """

    name: str
    module: Any
    conv: ConvSpec | None
    reason: str | None
    applied: Applied | None = None
    decompositions: Mapping[Order, Decomposition] = MappingProxyType({})
    runs: tuple[Event, ...] = ()
    calls: int | None = None
    form: Form | None = None
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
        assert self.form is not None
        return id(self.kernel.weight), self.kernel.conv.groups, self.form

    def max_rank(self, order: Order) -> int:
        """Return the rank at which it is reproduced in an order."""
        return max_rank(self.kernel.weight.shape, self.kernel.conv.groups, order)

    def forms(self, order: Order) -> list[Form]:
        """Return what it could become in an order, by rank."""
        return [Form(rank, order) for rank in range(1, self.max_rank(order) + 1)]

    def error(self, form: Form) -> float:
        """Return the error of its kernel in a form, relative."""
        return self.decompositions[form.order].errors[form.rank - 1]

    def best(self, rank: int, orders: Sequence[Order]) -> Form:
        """Return its form of least error, of some orders at a rank, or at less if that is full.

        Of errors that are the same but for rounding it is that of fewer MACs, or weights if it
        never ran; then the first.
        """
        forms = [Form(min(rank, self.max_rank(order)), order) for order in orders]
        if len(forms) == 1:
            return forms[0]

        def worth(form: Form) -> tuple[float, ...]:
            return round(self.error(form), 9), self.macs(form), self.params(form) or 0

        return min(forms, key=worth)

    @property
    def is_full(self) -> bool:
        """Whether its rank, which is decided, is that at which it is reproduced."""
        assert self.form is not None
        return self.form.rank == self.max_rank(self.form.order)

    def at_full_rank(self) -> "Site":
        """Return it at full rank, in the order that was decided."""
        assert self.form is not None
        return self._replace(form=self.forms(self.form.order)[-1])

    def factors(self, decomposition: Decomposition | None = None) -> Factors:
        """Return weights of its form, of its own decomposition or another one."""
        assert self.form is not None
        return (decomposition or self.decompositions[self.form.order]).at(self.form.rank)

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

    # -- what it costs: as it is, or in a form

    def params(self, form: Form | None = None) -> int | None:
        """Return weights and bias; unknown where `conv` is."""
        if self.conv is None:
            return None if self.whole is None else self.whole.params
        convs = form.stages(self.conv) if form else standard(self.conv)
        return sum(one.params for _, one in convs)

    def cost(self, form: Form | None = None) -> Cost | None:
        """Return what all calls cost; unknown where none is known."""
        if not self.runs:
            return self.whole
        costs = [chain_cost(self._stage_costs(run, form)) for run in self.runs]
        return cost_of_calls(costs, [self.name] * len(costs))

    def _stage_costs(self, run: Event, form: Form | None) -> list[Cost]:
        """Return what the stages of a call cost."""
        assert run.conv is not None
        shape = run.batched_input_shape
        convs = standard(run.conv) if form is None else form.stages(run.conv)
        mixed: Convs = ()
        if form is not None and form.order != DEPTHWISE_FIRST:
            mixed, convs = convs[:1], convs[1:]  # what is padded comes between the two
            shape = (shape[0], convs[0][1].in_channels, *shape[2:])
        before = stage_costs(mixed, self._unpadded(run), run.element_bytes) if mixed else ()
        stages = *before, *stage_costs(convs, shape, run.element_bytes)
        return [stage.cost for stage in stages]

    def _unpadded(self, run: Event) -> Shape:
        """Return the input of a call without what is padded before its operator sees it.

        Padding that is not of zeros torch does before, and uneven padding of ONNX is told of as if
        the input were larger.
        """
        assert run.conv is not None
        read = run.layouts[0][0] if run.layouts else run.input_shape
        missing = len(run.batched_input_shape) - len(read)
        dims = len(run.conv.kernel_size)
        paddings = self.kernel.conv.padding_total, run.conv.padding_total
        sides = zip(read[-dims:], *paddings, strict=True)
        extents = [size - max(0, whole - own) for size, whole, own in sides]
        return (*(1,) * missing, *read[:-dims], *extents)

    def macs(self, form: Form | None = None) -> int:
        """Return the MACs of all calls, none where it never runs."""
        cost = self.cost(form)
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
        form = form_of(decision)
        assert form is not None
        return self._replace(form=self.best(form.rank, (form.order,)))

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


def decompositions_of(kernel: Array, groups: int) -> dict[Order, Decomposition]:
    """Return the decompositions of a kernel `(N, M/G, Kh, Kw)`, by order."""
    return {order: Decomposition(kernel, groups, order=order) for order in ORDERS}


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
