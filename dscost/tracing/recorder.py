"""A dispatch mode that sees every operator of a forward pass and keeps what it costs.

Under inference mode operators arrive whole: `conv2d`, `linear`, `scaled_dot_product_attention`, not
their parts. For those that make up most networks the result is worked out by a short cut; torch's
own meta kernels are ten times slower.
"""

from typing import Any

from dscost.foreign.dispatch import Args, Kwargs, tensors_in, written_by
from dscost.foreign.failures import Place, place_of_caller
from dscost.traces.carrying import ALONG_AXES
from dscost.traces.notes import FOURIER_NOTE, QUANTIZED_NOTE
from dscost.traces.rules import FORMULAS, FOURIER, Rule, named, word_of
from dscost.tracing.books import Books
from dscost.tracing.higher_order import run_higher_order
from dscost.tracing.operators import (
    VIEWS,
    answer_of,
    axes_along,
    conv_of,
    factors_of,
    operator_name,
    parts_of,
    real_products,
    shapes_of,
    takes_packed,
    word_of_moving,
)
from dscost.tracing.packed import packed_in
from dscost.tracing.shortcuts import ALWAYS, shortcuts_in_force
from dscost.tracing.sparse import (
    FACTORS,
    SPARSE,
    address_of,
    any_sparse,
    dense_macs,
    dense_parts,
    product_without_values,
    sparse_macs,
    sparse_view,
)

COMPLEX_NOTE = "Complex multiply-accumulates count as four real ones."
SPARSE_NOTE = "Products with sparse tensors count by the entries that are stored."

LOOKING = {
    *named("aten", "_local_scalar_dense item is_nonzero equal allclose _assert_async _is_all_true")
}
"""Operators that read values and return no tensor."""


class Recorder(Books):  # type: ignore[no-untyped-call]
    """Sees every operator, has its result worked out and records it.

    Attributes:
        autocasts: Whether the model entered autocast.
        looked_at_drawn: Where the model first looked at random numbers.
    """

    supports_higher_order_operators = True
    autocasts = False
    looked_at_drawn: Place | None = None
    _handlers = ALWAYS

    def take_shortcuts(self) -> None:
        """Work out the results of common operators without torch, from now on."""
        self._handlers = shortcuts_in_force()

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        handler = self._handlers.get(func)
        if handler is not None:
            result = handler(self, func, args, kwargs)
            if result is None:  # torch must work it out
                return self._generic(func, args, kwargs or {})
        elif func not in VIEWS:
            return self._generic(func, args, kwargs or {})
        elif args[0].layout in SPARSE:
            result = sparse_view(func, args, kwargs or {})
        else:
            result = func(*args, **kwargs) if kwargs else func(*args)
        return result if self._switch is None else self._passed_on(func, args, kwargs, result)

    def _passed_on(self, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        """Return a result, which in training needs a gradient where torch says so."""
        if self._switch is not None:
            results = tensors_in(result) or written_by(func, args, kwargs or {})
            self._switch.pass_on(func, tensors_in((args, kwargs)), results)
        return result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare operators the wrapper that hides a mode from torch.compile: nothing is compiled."""
        return False

    def enters_autocast(self) -> None:
        """Keep in mind that the model uses autocast."""
        self.autocasts = True

    # -- operators without a short cut

    def _generic(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        """Return the result of an operator as torch works it out, whole or in parts."""
        operator = operator_name(func)
        if operator in FACTORS and any_sparse(args):
            return self._sparse_product(func, operator, args, kwargs)
        answer = answer_of(func)
        if answer == "higher_order":
            return run_higher_order(self, func, args, kwargs)
        in_parts = parts_of(func, answer)
        if in_parts is not None:
            with self:  # the parts arrive here one by one
                result = in_parts(*args, **kwargs)
            if result is not NotImplemented:
                return result
        try:
            result = self.compute(func, args, kwargs)
        except Exception as error:
            self.missed(error)
            raise
        self._passed_on(func, args, kwargs, result)
        recorded = len(self.events)
        rule = FORMULAS.get(operator)
        if rule is not None:
            self._record_product(func, rule, args, kwargs, result)
        else:
            if answer == "unknown":
                self.met_unknown(operator)
            self._record_moving(func, operator, args, kwargs, result)
        if takes_packed(func):
            if answer == "formula":
                self.note(QUANTIZED_NOTE)
            elif answer == "unknown":
                self.note(f"What {operator} holds in an object of its own is not among the params.")
            if len(self.events) > recorded:
                self._read_packed(args)
        return result

    def compute(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        """Return what an operator gives; random numbers are nobody else's."""
        if func in VIEWS and any_sparse(args):
            return sparse_view(func, args, kwargs)
        return self._drawn.compute(func, args, kwargs)

    def _record_product(
        self, func: Any, rule: Rule, args: Args, kwargs: Kwargs, result: Any
    ) -> None:
        """Record an operator with a formula."""
        operator = operator_name(func)
        results = dense_parts(tensors_in(result))
        operands = dense_parts(tensors_in((factors_of(func, args), kwargs)))
        keywords = {name: value for name, value in kwargs.items() if name != "out"}
        first = results[0] if results else None
        out = () if first is None else tuple(first.shape)
        macs = rule.macs(*shapes_of(args), **shapes_of(keywords), out=out)
        is_empty = first is None or not first.numel()
        conv = None if is_empty else conv_of(operator, args, kwargs)
        self.record(operator, operands, results, macs, conv=conv)
        if first is not None and first.is_complex():
            self.note(COMPLEX_NOTE)
            real_macs = macs * real_products(operator, operands)
            self.amend(macs=real_macs, unusual="complex", plain_macs=macs)

    def _record_moving(
        self, func: Any, operator: str, args: Args, kwargs: Kwargs, result: Any
    ) -> None:
        """Record an operator without MACs, unless it is a view or makes a constant."""
        results, operands = dense_parts(tensors_in(result)), dense_parts(tensors_in((args, kwargs)))
        if operator in FOURIER:
            self.note(FOURIER_NOTE)
        # what shares memory with an operand is a view, or was written in place
        before = {address_of(one) for one in operands}
        fresh = [one for one in results if address_of(one) not in before]
        if self._drawn.spread(before, fresh) and operator in LOOKING:
            self.looked_at_drawn = self.looked_at_drawn or place_of_caller()
        if not operands:
            for constant in fresh:
                self._born(constant.untyped_storage(), address_of(constant))
                self.constant(constant)
        elif fresh or (func._schema.is_mutable and func not in VIEWS):
            axes = axes_along(func, args, kwargs) if operator in ALONG_AXES else ()
            op = word_of_moving(func, operands, results, args, kwargs)
            self.record(operator, operands, fresh or results, op=op, axes=axes)
        elif operator in LOOKING:
            self.reads(operands)

    def _sparse_product(self, func: Any, operator: str, args: Args, kwargs: Kwargs) -> Any:
        result = product_without_values(func, operator, args, kwargs)
        macs = sparse_macs(operator, args)
        if macs is None:
            self.met_unknown(operator)
        self.note(SPARSE_NOTE)
        self._passed_on(func, args, kwargs, result)
        operands, results = dense_parts(tensors_in((args, kwargs))), dense_parts(tensors_in(result))
        self.record(operator, operands, results, macs or 0, op=word_of(operator) or "matmul")
        self.amend(unusual="sparse", plain_macs=dense_macs(operator, args))
        return result

    def _read_packed(self, args: Args) -> None:
        """Let the last operator have read the packed weights among its arguments."""
        event = self.events[-1]
        held = [self._holds.packed_as(value, event.module) for value in packed_in(args)]
        names = tuple(one.name for one in held)
        self.read.update(names)
        size = sum(one.nbytes for one in held)
        self.amend(weights=event.weights + names, traffic_bytes=event.traffic_bytes + size)
