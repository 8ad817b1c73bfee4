"""Which layers a rule is about: by name, `layer1.*`, or by kind, `type:Conv2d[groups=1]`."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from dscost.budgets.kinds import FIELDS, ConvFacts, Kind, Part
from dscost.errors import InputError, UnknownNameError, did_you_mean, some_of
from dscost.layers.convolution import ConvSpec
from dscost.layers.operations import OPERATIONS
from dscost.notation.units import counted
from dscost.reports.records import Layer

_SELECTOR = re.compile(r"(?:(?P<by>\w+):)?(?P<pattern>[^\[\]]*)(?:\[(?P<conditions>[^\[\]]*)\])?")
BY = ("type", "op", "name")
"""What may stand before a colon."""
_OF_REGULAR_EXPRESSIONS = re.compile(r"[\^$\\|+(){}]")
_CONDITION = re.compile(r"\s*(?P<field>\w+)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>\w+)\s*")

_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def selector_pattern() -> str:
    """Return the pattern of what `parse_selector` takes, as far as JSON Schema can say it."""
    condition = rf"\s*(?:{'|'.join(FIELDS)})\s*(?:!=|<=|>=|=|<|>)\s*(?:true|false|[0-9]+)\s*"
    conditions = rf"(?:\[{condition}(?:,{condition})*\])?"
    # a name may be anything where one says that it is a name
    name = r"name:(?!\s)[^\[\]]*[^\[\]\s]"
    other = r"(?:(?:type|op):)?(?!\s)[^\[\]:,^$\\|+(){}]*[^\[\]:,^$\\|+(){}\s]"
    return rf"^(?:{name}|{other}){conditions}$"


EXAMPLE = "layer1.*, type:Conv2d or type:Conv2d[groups=1,kernel>1]"


class Condition(NamedTuple):
    """One thing asked of a convolution."""

    field: str
    sign: str
    value: int

    def holds(self, conv: ConvFacts | None) -> bool:
        """Whether that is a convolution of which it is true."""
        return conv is not None and _SIGNS[self.sign](getattr(conv, self.field), self.value)


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """Return what matches a whole text against a pattern."""
    return re.compile(translate(pattern)).match


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
        """Whether a layer is meant, or something that it computes."""
        return self.matches_kind(layer.name, Kind.of(layer) if self.needs_kinds else None)

    def matches_kind(self, name: str, kind: Kind | None) -> bool:
        """Whether a layer is meant of which no more is known than its name and, maybe, its kind."""
        if kind is None:
            return not self.needs_kinds and self._fits(name)
        called = {"name": name, "type": kind.type}.get(self.by)
        if called is not None and not self._fits(called):
            return False
        return any(map(self._means, kind.parts or (Part(kind.op, kind.conv),)))

    def among(self, names: Sequence[str], kinds: Sequence[Kind]) -> list[int]:
        """Return which of many layers are meant."""
        if not self.needs_kinds:
            fits, pieces = _glob(self.pattern), re.split(r"[*?]", self.pattern)
            first, longest, last = pieces[0], max(pieces, key=len), pieces[-1]
            # most layers are not meant, and plain text tells that sooner
            return [
                at
                for at, name in enumerate(names)
                if name.endswith(last) and longest in name and name.startswith(first) and fits(name)
            ]
        return [at for at, name in enumerate(names) if self.matches_kind(name, kinds[at])]

    def means_all_of(self, layer: Layer) -> bool:
        """Whether a layer is meant, and all that it computes."""
        return self.matches(layer) and self.parts_meant(Kind.of(layer)) is None

    def parts_meant(self, kind: Kind) -> tuple[int, ...] | None:
        """Return which parts of a layer that is meant are; `None` where all of it is."""
        meant = tuple(at for at, part in enumerate(kind.parts) if self._means(part))
        return None if len(meant) == len(kind.parts) else meant

    def _means(self, part: Part) -> bool:
        return (self.by != "op" or self._fits(part.op)) and self._holds(part.conv)

    def _fits(self, subject: str) -> bool:
        return _glob(self.pattern)(subject) is not None

    def _holds(self, conv: ConvFacts | None) -> bool:
        return all(condition.holds(conv) for condition in self.conditions)

    def unknown_name(self, layers: Iterable[Layer]) -> str | None:
        """Return what is wrong with a type or operation that looks like a slip of the pen, if so.

        A class of the user's own may be ruled out before anybody writes it, so a type is only wrong
        where it nearly is one that is known, of torch or of a layer, and does not build its name on
        one.
        """
        if self.by == "name":
            return None
        known = self._known(layers)
        if any(map(self._fits, known)):
            return None
        if self.by == "op":
            return str(UnknownNameError("operation", self.pattern, known))
        stem = self.pattern.strip("*?")
        folded = [name.casefold() for name in known]
        is_near = get_close_matches(stem.casefold(), folded, n=1, cutoff=0.8)
        if any(name in stem for name in known) or not is_near:
            return None
        return str(UnknownNameError("type", self.pattern, known))

    def nearest(self, layers: Sequence[Layer]) -> str:
        """Return ` (did you mean 'x'?)` where no layer matches and one nearly does, or nothing."""
        known = self._known(layers)
        if any(map(self._fits, known)):  # then it is for the conditions
            return ""
        return did_you_mean(self.pattern.strip("*?."), known)

    def _known(self, layers: Iterable[Layer]) -> list[str]:
        """Return what could be the pattern: of names also their beginnings and their parts."""
        match self.by:
            case "type":
                return sorted({*TYPES, *(layer.type for layer in layers if layer.type)})
            case "op":
                return sorted({*OPERATIONS, *(layer.op for layer in layers)})
        paths = [layer.name.split(".") for layer in layers]
        starts = {".".join(path[:end]) for path in paths for end in range(1, len(path) + 1)}
        return sorted(starts.union(*paths))

    def leaves_out(self, layers: Iterable[Layer]) -> str | None:
        """Return in words the convolutions that a rule on torch's own classes leaves out."""
        if self.by != "type":
            return None
        others = [layer for layer in layers if not self._fits(layer.type)]
        found = [one.type for one in others if any(map(self._is_of_torch, _convs(one)))]
        if not found:
            return None
        number, types = counted(len(found), "convolution"), some_of(sorted(set(found)), 3)
        return f"{number} of type {types} left out: op:convolution means all"

    def _is_of_torch(self, conv: ConvSpec) -> bool:
        """Whether a convolution would be meant if torch's own class computed it."""
        return self._fits(f"Conv{len(conv.kernel_size)}d") and self._holds(ConvFacts.of(conv))


def _convs(layer: Layer) -> list[ConvSpec]:
    """Return the convolutions, but no transposed ones, that a layer runs."""
    parts = layer.operators or (layer,)
    convs = [one.conv for one in parts if one.conv is not None and one.op == one.conv.op]
    return [conv for conv in convs if not conv.transposed]


_OF_DIMENSIONS = (
    "AdaptiveAvgPool AdaptiveMaxPool AvgPool BatchNorm CircularPad ConstantPad Conv "
    "ConvTranspose Dropout FractionalMaxPool InstanceNorm LPPool LazyBatchNorm LazyConv "
    "LazyConvTranspose LazyInstanceNorm MaxPool MaxUnpool ReflectionPad ReplicationPad ZeroPad"
)
_OF_NONE = (
    "AlphaDropout Bilinear CELU ChannelShuffle CosineSimilarity CrossMapLRN2d Dropout ELU "
    "Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold GELU GLU GRU GRUCell GroupNorm "
    "Hardshrink Hardsigmoid Hardswish Hardtanh Identity LSTM LSTMCell LayerNorm LazyLinear "
    "LeakyReLU Linear LocalResponseNorm LogSigmoid LogSoftmax Mish MultiheadAttention PReLU "
    "PairwiseDistance PixelShuffle PixelUnshuffle RMSNorm RNN RNNCell RReLU ReLU ReLU6 SELU "
    "SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign SyncBatchNorm Tanh "
    "Tanhshrink Threshold Transformer TransformerDecoder TransformerDecoderLayer "
    "TransformerEncoder TransformerEncoderLayer Unflatten Unfold Upsample UpsamplingBilinear2d "
    "UpsamplingNearest2d"
)
TYPES = frozenset(
    {
        "Add",
        "Multiply",
        *_OF_NONE.split(),
        *(f"{name}{n}d" for name in _OF_DIMENSIONS.split() for n in (1, 2, 3)),
    }
)
"""The layers of `torch.nn` by class, and those that an architecture has beside them."""


def parse_selector(text: object) -> Selector:
    """Return the selector that a text stands for.

    What looks like a slip is refused: a rule that means nothing bans nothing. `name:` in front says
    that a name is meant as it stands, whatever is in it.

    >>> parse_selector("type:Conv2d[groups=1,kernel>1]").conditions
    (Condition(field='groups', sign='=', value=1), Condition(field='kernel', sign='>', value=1))
    """
    found = _SELECTOR.fullmatch(text) if isinstance(text, str) else None
    if found is None or not found["pattern"].strip():
        raise InputError(f"expected a pattern such as {EXAMPLE}, found {text!r:.{_MOST_SHOWN}}")
    by, pattern = found["by"], found["pattern"]
    if by is not None and by not in BY:
        hint = f"; name:{by}:{pattern:.20} is a layer that is called so"
        raise UnknownNameError("kind of pattern", by, BY, hint)
    _refuse_slips(str(text), by, pattern)
    parts = [] if found["conditions"] is None else found["conditions"].split(",")
    selector = Selector(str(text), by or "name", pattern, tuple(_condition(part) for part in parts))
    why_not = _why_impossible(selector)
    if why_not:
        raise InputError(f"'{text:.{_MOST_SHOWN}}' can match nothing: {why_not}")
    return selector


_MOST_SHOWN = 60
"""Characters of a text that an error repeats."""


def _refuse_slips(text: str, by: str | None, pattern: str) -> None:
    shown = f"'{text:.{_MOST_SHOWN}}'"
    if text != text.strip() or pattern != pattern.strip():
        meant = f"{by or 'name'}:{pattern.strip()}".removeprefix("name:")
        expected = "expected no blanks around a pattern"
        raise InputError(f"{expected}, found {shown}: write '{meant:.40}'")
    if by == "name":
        return
    if "," in pattern:
        raise InputError(f"expected one pattern, found {shown}: write a rule for each")
    sign = _OF_REGULAR_EXPRESSIONS.search(pattern)
    if sign:
        raise InputError(
            "a pattern is no regular expression: * stands for any characters, ? for one; "
            f"found '{sign[0]}' in {shown} (name:… is a name as it stands)"
        )
    if by is None and pattern in TYPES:
        raise InputError(
            f"'{pattern}' is the class of a layer: write 'type:{pattern}', "
            f"or 'name:{pattern}' for a layer called so"
        )
    if by == "op" and not any(fnmatchcase(op, pattern) for op in OPERATIONS):
        raise UnknownNameError("operation", pattern, OPERATIONS)


def _why_impossible(selector: Selector) -> str | None:
    """Return why no layer can fulfil the conditions of a selector; `None` where one can."""
    if not selector.conditions:
        return None
    is_conv = "Conv" in selector.pattern and "Transpose" not in selector.pattern
    is_other_op = selector.by == "op" and not fnmatchcase("convolution", selector.pattern)
    if is_other_op or (selector.by == "type" and selector.pattern in TYPES and not is_conv):
        return _ABOUT_CONVOLUTIONS.format(selector.pattern)
    for field in dict.fromkeys(condition.field for condition in selector.conditions):
        asked = [condition for condition in selector.conditions if condition.field == field]
        least, most = (0, 1) if field == "bias" else (1, inf)
        # between two values that conditions name they hold of all or of none
        near = {least, *(one.value + step for one in asked for step in (-1, 0, 1))}
        possible = [value for value in near if least <= value <= most]
        if not any(all(_SIGNS[one.sign](value, one.value) for one in asked) for value in possible):
            return f"no {field} is {' and '.join(f'{one.sign} {one.value}' for one in asked)}"
    return None


_ABOUT_CONVOLUTIONS = (
    "conditions are about convolutions, transposed ones not included, and no {} is one"
)


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        expected = "expected a condition such as groups=1 or kernel>1"
        raise InputError(f"{expected}, found '{text:.{_MOST_SHOWN}}'")
    if found["field"] not in FIELDS:
        raise UnknownNameError("field of a convolution", f"{found['field']:.{_MOST_SHOWN}}", FIELDS)
    value = {"true": "1", "false": "0"}.get(found["value"], found["value"])
    if not (value.isascii() and value.isdecimal()):
        raise InputError(f"expected a whole number in '{text.strip():.{_MOST_SHOWN}}'")
    if len(value) > MOST_DIGITS:
        raise InputError(f"a number of {len(value):,} digits, at most {MOST_DIGITS} are read")
    return Condition(found["field"], found["sign"], int(value))


MOST_DIGITS = 18
"""Of a number in a condition."""
