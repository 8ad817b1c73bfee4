"""What a rule can ask of a layer beside its name, and what a baseline keeps of that in a line."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec
from dscost.reports.records import Layer


class ConvFacts(NamedTuple):
    """What a condition may ask of a convolution; of several sides the largest."""

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    dilation: int
    groups: int
    bias: int

    @classmethod
    def of(cls, conv: ConvSpec) -> "ConvFacts":
        """Return the facts of a convolution."""
        sides = max(conv.kernel_size), max(conv.stride), max(conv.dilation)
        return cls(conv.in_channels, conv.out_channels, *sides, conv.groups, int(conv.bias))


FIELDS = ConvFacts._fields
"""What a condition may name."""


class Part(NamedTuple):
    """One of several operators that a layer runs, with the MACs of all its calls."""

    op: str
    conv: ConvFacts | None
    params: int = 0
    macs: int = 0

    def __str__(self) -> str:
        """Write it in one line."""
        return f"{self.op}{_bracketed(self.conv)} params={self.params} macs={self.macs}"


class Kind(NamedTuple):
    """What a selector can ask of a layer beside its name: its class, and what it computes."""

    type: str
    op: str
    conv: ConvFacts | None = None
    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, layer: Layer) -> "Kind":
        """Return the kind of a layer."""
        parts = [Part(x.op, _facts(x.conv), x.cost.params, x.cost.macs) for x in layer.operators]
        return cls(layer.type, layer.op, _facts(layer.conv), tuple(parts))

    def __str__(self) -> str:
        """Write it in one line, which `parse_kind` reads."""
        parts = f" ({'; '.join(map(str, self.parts))})" if self.parts else ""
        return f"{self.op} {self.type}{_bracketed(self.conv)}{parts}"


def difference(was: Kind, now: Kind) -> str | None:
    """Return what a layer is that it was not, in a few words; `None` where no kind tells.

    >>> sides = "stride=1,dilation=1,groups=1,bias=0]"
    >>> was, wide, large = (
    ...     parse_kind(f"conv Conv2d[in_channels={n},out_channels={n},kernel={k},{sides}")
    ...     for n, k in ((256, 3), (288, 3), (288, 5))
    ... )
    >>> difference(was, wide), difference(was, large), difference(was, was)
    ('256 → 288 channels', '256 → 288 channels, kernel 3 → 5', None)
    """
    if was.type != now.type:
        return f"{was.type} → {now.type}"
    if was.conv is None or now.conv is None or was.conv == now.conv:
        return None
    pairs = {name: (getattr(was.conv, name), getattr(now.conv, name)) for name in FIELDS}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    said = []
    first, last = (changed.pop(name, None) for name in ("in_channels", "out_channels"))
    if first and first == last:
        said.append(f"{first[0]} → {first[1]} channels")
    else:
        said += [f"{first[0]} → {first[1]} input channels"] if first else []
        said += [f"{last[0]} → {last[1]} output channels"] if last else []
    return ", ".join([*said, *(f"{name} {a} → {b}" for name, (a, b) in changed.items())])


def _facts(conv: ConvSpec | None) -> ConvFacts | None:
    return None if conv is None else ConvFacts.of(conv)


def _bracketed(facts: ConvFacts | None) -> str:
    if facts is None:
        return ""
    return f"[{','.join(f'{name}={value}' for name, value in facts._asdict().items())}]"


_FACTS = rf"(?:\[{','.join(f'{name}=([0-9]+)' for name in FIELDS)}\])?"
_PART = rf"(\w*){_FACTS} params=([0-9]+) macs=([0-9]+)"
_ANY_PART = re.sub(r"\((?!\?)", "(?:", _PART)
_KIND = re.compile(
    rf"(?P<op>[^ ]*) (?P<type>.*?){_FACTS}(?P<parts> \({_ANY_PART}(?:; {_ANY_PART})*\))?", re.DOTALL
)


def parse_kind(text: str) -> Kind:
    """Return the kind that a text stands for.

    >>> parse_kind("linear Linear")
    Kind(type='Linear', op='linear', conv=None, parts=())
    """
    found = _KIND.fullmatch(text)
    if found is None:
        raise InputError(f"expected an operation and a type, found '{text}'")
    facts = found.groups()[2 : 2 + len(FIELDS)]
    parts = tuple(_part(one) for one in re.finditer(_PART, found["parts"] or ""))
    return Kind(found["type"], found["op"], _read_facts(facts), parts)


def _part(found: re.Match[str]) -> Part:
    op, *facts, params, macs = found.groups()
    return Part(op, _read_facts(facts), int(params), int(macs))


def _read_facts(facts: Sequence[str | None]) -> ConvFacts | None:
    return None if facts[0] is None else ConvFacts(*(int(fact or 0) for fact in facts))
