"""The peaks of a device for layers that do not all compute in one dtype. No torch.

A bound has to hold however a runtime computes: the peak of a dtype is the largest of those that its
products may be computed at without loss.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dscost.devices.roofline import Ceilings

WHOLE = ("int8", "int16", "int32", "int64")
"""Whole numbers: none are multiplied faster than the smallest."""

HOLDING: Mapping[str, tuple[str, ...]] = {
    "float64": ("float64",),
    "float32": ("float32", "float64"),
    "float16": ("float16", "float32", "float64"),
    "bfloat16": ("bfloat16", "float32", "float64"),
}
"""What can hold all values of a dtype; whole numbers may be computed with in any."""


def fastest(dtypes: Iterable[str]) -> str:
    """Return which of several dtypes has the largest peak, or one of which no peak is known.

    >>> fastest({"float32", "int8", "float16"})
    'int8'
    """
    order = [*WHOLE, "float16", "bfloat16", "float32", "float64"]
    return min(sorted(dtypes), key=lambda dtype: order.index(dtype) if dtype in order else -1)


class Peaks(NamedTuple):
    """What a device can do in several dtypes.

    Args:
        own: What it can do in the dtype of the model.
        flops_per_s: All of its peaks that are known, by dtype.
    """

    own: Ceilings
    flops_per_s: Mapping[str, float]

    @classmethod
    def of_one(cls, ceilings: Ceilings) -> "Peaks":
        """Return those of a device of which one dtype is known."""
        return cls(ceilings, {ceilings.dtype: ceilings.flops_per_s})

    def called(self, device: str) -> "Peaks":
        """Return the same of a device by another name."""
        return self._replace(own=self.own._replace(device=device))

    def of(self, dtype: str | None) -> Ceilings:
        """Return what bounds a layer that multiplies in some dtype; `None` is the model's own.

        Where no peak is known of it, the largest that is known stands in for it.
        """
        if dtype is None:
            return self.own
        known = [self.flops_per_s[one] for one in HOLDING.get(dtype, ()) if one in self.flops_per_s]
        if not known or not self.has(dtype):
            known = list(self.flops_per_s.values())
        return self.own._replace(dtype=dtype, flops_per_s=max(known))

    def has(self, dtype: str | None) -> bool:
        """Whether a peak is known that no run in some dtype can beat."""
        if dtype is None:
            return True
        return ("int8" if dtype in WHOLE else dtype) in self.flops_per_s
