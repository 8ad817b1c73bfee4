"""What is decided of a layer: to keep it, or what it becomes; as plans and JSON spell it. No torch.

A rank alone is depthwise-first, as most are: `2`. The other order is said: `2 pointwise-first`.
"""

import json
import re
from typing import Literal

from dscost.errors import UnknownNameError
from dscost.layers.orders import DEPTHWISE_FIRST, ORDERS, Form, Order
from dscost.notation.json_schema import Schema

KEEP: Literal["keep"] = "keep"
"""What a plan says of a layer that stays as it is."""
Decision = int | str
"""A rank of 1 or more, a rank with its order, or `KEEP`."""

BEST = "best"
"""Asked for in place of an order: of every layer the one that suits it."""
CHOICES = (*ORDERS, BEST)

_TEXT = re.compile(rf"([1-9]\d*) +({'|'.join(ORDERS)})", re.ASCII)

DECISION: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": f"^{_TEXT.pattern}$".replace(r"\d", "[0-9]")},
        {"const": KEEP},
    ]
}


def decision_of(form: Form | None) -> Decision:
    """Return what is written of a form, or of a layer that is kept.

    >>> decision_of(Form(2)), decision_of(Form(2, "pointwise-first")), decision_of(None)
    (2, '2 pointwise-first', 'keep')
    """
    if form is None:
        return KEEP
    return form.rank if form.order == DEPTHWISE_FIRST else form.text


def form_of(decision: Decision) -> Form | None:
    """Return the form that a decision without a fault means; nothing of a layer that is kept.

    >>> form_of(2), form_of("2 pointwise-first"), form_of("keep")
    (Form(rank=2, order='depthwise-first'), Form(rank=2, order='pointwise-first'), None)
    """
    if not isinstance(decision, str):
        return Form(decision)
    found = _TEXT.fullmatch(decision)
    if found is None:
        return None
    (order,) = (one for one in ORDERS if one == found[2])
    return Form(int(found[1]), order)


def fault_of(value: object) -> str | None:
    """Return why something is no decision, `None` if it is one."""
    if type(value) is int and value >= 1:
        return None
    if isinstance(value, str) and (value == KEEP or _TEXT.fullmatch(value)):
        return None
    return f"expected a rank such as 2 or '2 pointwise-first', or keep, found {excerpt(value)}"


def excerpt(value: object) -> str:
    """Return the beginning of a value as JSON has it."""
    return "nothing" if value is None else json.dumps(value, default=repr)[:60]


def orders_of(asked: str) -> tuple[Order, ...]:
    """Return the orders that layers may have where one of `CHOICES` was asked for.

    Raises:
        UnknownNameError: It is none of them.
    """
    if asked not in CHOICES:
        raise UnknownNameError("order", str(asked), CHOICES)
    return tuple(order for order in ORDERS if asked in (order, BEST))
