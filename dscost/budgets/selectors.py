"""Which layers a rule is about: by name, `layer1.*`, or by what they are, `type:Conv2d[groups=1,kernel>1]`."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from dscost.errors import InputError, UnknownNameError, did_you_mean, some_of
from dscost.results import Layer
from dscost.specs import ConvSpec

_SELECTOR = re.compile(r"(?:(?P<by>type|op|name):)?(?P<pattern>[^\[\]]*)(?:\[(?P<conditions>[^\[\]]*)\])?")
_CONDITION = re.compile(r"\s*(?P<field>\w+)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>\w+)\s*")

_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class ConvFacts(NamedTuple):
    """What a condition may ask of a convolution; of the sides of a kernel, stride or dilation the largest."""

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


class Kind(NamedTuple):
    """What a selector can ask of a layer beside its name.

    Args:
        type: Its class.
        op: What it computes.
        conv: Of the convolution, if it is one.
    """

    type: str
    op: str
    conv: ConvFacts | None = None

    @classmethod
    def of(cls, layer: Layer) -> "Kind":
        """Return the kind of a layer."""
        return cls(layer.type, layer.op, None if layer.conv is None else ConvFacts.of(layer.conv))

    def __str__(self) -> str:
        """Write it in one line, which `parse_kind` reads."""
        facts = "" if self.conv is None else f"[{','.join(f'{name}={v}' for name, v in self.conv._asdict().items())}]"
        return f"{self.op} {self.type}{facts}"


_KIND = re.compile(rf"(?P<op>[^ ]*) (?P<type>.*?)(?:\[{','.join(f'{name}=([0-9]+)' for name in FIELDS)}\])?", re.DOTALL)


def parse_kind(text: str) -> Kind:
    """Return the kind that a text stands for.

    Raises:
        InputError: It is none.

    >>> parse_kind("linear Linear")
    Kind(type='Linear', op='linear', conv=None)
    """
    found = _KIND.fullmatch(text)
    if found is None:
        raise InputError(f"expected an operation and a type, found '{text}'")
    facts = found.groups()[2:]
    return Kind(found["type"], found["op"], None if facts[0] is None else ConvFacts(*map(int, facts)))


EXAMPLE = "layer1.*, type:Conv2d or type:Conv2d[groups=1,kernel>1]"


class Condition(NamedTuple):
    """One thing asked of a convolution."""

    field: str
    sign: str
    value: int

    def holds(self, conv: ConvFacts | None) -> bool:
        """Whether that is a convolution of which it is true."""
        return conv is not None and _SIGNS[self.sign](getattr(conv, self.field), self.value)


class Selector(NamedTuple):
    """A pattern over layers; `*` stands for any characters, dots too."""

    text: str
    by: str
    pattern: str
    conditions: tuple[Condition, ...]

    @property
    def needs_kinds(self) -> bool:
        """Whether names alone do not tell which layers are meant."""
        return self.by != "name" or bool(self.conditions)

    def matches(self, layer: Layer) -> bool:
        """Whether a layer is meant."""
        subject = {"name": layer.name, "type": layer.type, "op": layer.op}[self.by]
        return fnmatchcase(subject, self.pattern) and (not self.conditions or self._holds(Kind.of(layer).conv))

    def matches_kind(self, name: str, kind: Kind | None) -> bool:
        """Whether a layer is meant of which no more is known than its name and, maybe, its kind."""
        if kind is None:
            return not self.needs_kinds and fnmatchcase(name, self.pattern)
        subject = {"name": name, "type": kind.type, "op": kind.op}[self.by]
        return fnmatchcase(subject, self.pattern) and self._holds(kind.conv)

    def _holds(self, conv: ConvFacts | None) -> bool:
        return all(condition.holds(conv) for condition in self.conditions)

    def unknown_name(self, layers: Iterable[Layer]) -> str | None:
        """Return what is wrong with a type or operation that looks like a slip of the pen; `None` of any other.

        A class of the user's own may be ruled out before anybody writes it, so a type is only wrong where it nearly is
        one that is known, and does not build its name on one.

        Args:
            layers: Whose types and operations are known, beside those of torch.
        """
        known = self._known(layers)
        if self.by == "name" or any(fnmatchcase(name, self.pattern) for name in known):
            return None
        stem = self.pattern.strip("*?")
        if self.by == "op":
            return str(UnknownNameError("operation", self.pattern, known))
        folded = [name.casefold() for name in known]
        if any(name in stem for name in known) or not get_close_matches(stem.casefold(), folded, n=1, cutoff=0.8):
            return None
        return str(UnknownNameError("type", self.pattern, known))

    def nearest(self, layers: Sequence[Layer]) -> str:
        """Return ` (did you mean 'x'?)` where no layer matches and one nearly does, or nothing."""
        known = self._known(layers)
        if any(fnmatchcase(name, self.pattern) for name in known):  # then it is for the conditions
            return ""
        return did_you_mean(self.pattern.strip("*?."), known)

    def _known(self, layers: Iterable[Layer]) -> list[str]:
        """Return what could stand in the place of the pattern: of names also their beginnings and their parts."""
        match self.by:
            case "type":
                return sorted({*TYPES, *(layer.type for layer in layers if layer.type)})
            case "op":
                return sorted({*OPS, *(layer.op for layer in layers)})
        paths = [layer.name.split(".") for layer in layers]
        starts = {".".join(path[:end]) for path in paths for end in range(1, len(path) + 1)}
        return sorted(starts.union(*paths))

    def leaves_out(self, layers: Iterable[Layer]) -> str | None:
        """Return which convolutions a rule on torch's own leaves out since their class is another, in words."""
        if self.by != "type":
            return None
        found = [
            layer.type
            for layer in layers
            if layer.conv is not None
            and layer.op == layer.conv.op
            and fnmatchcase(f"Conv{len(layer.conv.kernel_size)}d", self.pattern)
            and not fnmatchcase(layer.type, self.pattern)
            and self._holds(ConvFacts.of(layer.conv))
        ]
        if not found:
            return None
        number = f"{len(found)} convolution{'' if len(found) == 1 else 's'}"
        return f"{number} of type {some_of(sorted(set(found)), 3)} left out: op:convolution means all"


OPS = (
    *("activation", "add", "attention", "concatenation", "convolution", "copy", "elementwise", "embedding"),
    *("global_pooling", "identity", "idle", "linear", "matmul", "multiply", "normalization", "other", "pooling"),
    *("recurrent", "transposed_convolution", "view"),
)
"""What layers compute, in the words of a report."""

_OF_DIMENSIONS = (
    "AdaptiveAvgPool AdaptiveMaxPool AvgPool BatchNorm CircularPad ConstantPad Conv ConvTranspose Dropout "
    "FractionalMaxPool InstanceNorm LPPool LazyBatchNorm LazyConv LazyConvTranspose LazyInstanceNorm MaxPool MaxUnpool "
    "ReflectionPad ReplicationPad ZeroPad"
)
_OF_NONE = (
    "AlphaDropout Bilinear CELU ChannelShuffle CosineSimilarity CrossMapLRN2d Dropout ELU Embedding EmbeddingBag "
    "FeatureAlphaDropout Flatten Fold GELU GLU GRU GRUCell GroupNorm Hardshrink Hardsigmoid Hardswish Hardtanh "
    "Identity LSTM LSTMCell LayerNorm LazyLinear LeakyReLU Linear LocalResponseNorm LogSigmoid LogSoftmax Mish "
    "MultiheadAttention PReLU PairwiseDistance PixelShuffle PixelUnshuffle RMSNorm RNN RNNCell RReLU ReLU ReLU6 SELU "
    "SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign SyncBatchNorm Tanh Tanhshrink Threshold "
    "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer Unflatten "
    "Unfold Upsample UpsamplingBilinear2d UpsamplingNearest2d"
)
TYPES = frozenset(
    {"Add", "Multiply", *_OF_NONE.split(), *(f"{name}{n}d" for name in _OF_DIMENSIONS.split() for n in (1, 2, 3))}
)
"""The layers of `torch.nn` by class, and those that an architecture has beside them."""


def parse_selector(text: object) -> Selector:
    """Return the selector that a text stands for.

    Raises:
        InputError: It is none; the text says why and gives an example.

    >>> parse_selector("type:Conv2d[groups=1,kernel>1]").conditions
    (Condition(field='groups', sign='=', value=1), Condition(field='kernel', sign='>', value=1))
    """
    found = _SELECTOR.fullmatch(text) if isinstance(text, str) else None
    if found is None or not found["pattern"]:
        raise InputError(f"expected a pattern such as {EXAMPLE}, found {text!r}")
    conditions = found["conditions"]
    parts = [] if conditions is None else conditions.split(",")
    return Selector(str(text), found["by"] or "name", found["pattern"], tuple(_condition(part) for part in parts))


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise InputError(f"expected a condition such as groups=1 or kernel>1, found '{text}'")
    if found["field"] not in FIELDS:
        raise UnknownNameError("field of a convolution", found["field"], FIELDS)
    value = {"true": "1", "false": "0"}.get(found["value"], found["value"])
    if not value.isdecimal():
        raise InputError(f"expected a whole number in '{text.strip()}'")
    return Condition(found["field"], found["sign"], int(value))
