"""Stand-ins for the convolutions of a model that are to be converted, and a model with them.

A stand-in looks like the depthwise-separable convolution to come, and computes what its convolution
was found to apply, exactly: at full rank, as it were. It takes notes of what is done to it besides
calling it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torchs_module

from dscost.converting.sites import Site
from dscost.errors import some_of
from dscost.foreign.parts import each_part
from dscost.layers.orders import Form
from dscost.modules.convs import torch_conv
from dscost.modules.copying import copied, set_apart, shared_tensors
from dscost.rewriting.convolutions import Kernel
from dscost.rewriting.replacing import in_place_of, with_others

SHOWN = 3
"""Attributes in a reason."""

Sites = Mapping[str, Site]
"""What could be, or is to be, converted, by the name of the layer."""


class Notes:
    """What a model did with its stand-ins besides calling them; one for all copies of them."""

    # a trace copies what has attributes to set
    __slots__ = ("_found", "_is_open", "_missing", "asked_for_class")

    def __init__(self) -> None:
        self._is_open = False
        self._found: dict[str, dict[str, list[str]]] = {}
        self._missing: list[tuple[str, str]] = []
        self.asked_for_class: set[str] = set()
        """Layers whose class something asked for, which may not matter."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Notes":
        return self

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take notes meanwhile."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    def add(self, name: str, verb: str, attribute: str) -> None:
        """Note what is done to an attribute of a layer, if notes are taken now."""
        if self._is_open:
            attributes = self._found.setdefault(name, {}).setdefault(verb, [])
            if attribute not in attributes:
                attributes.append(attribute)

    def add_missing(self, name: str, attribute: str) -> None:
        """Note an attribute that a layer does not have yet; a call of it might have set it."""
        if self._is_open and not attribute.startswith("__"):  # Python itself asks for those
            self._missing.append((name, attribute))

    def take_missing(self) -> None:
        """Take attributes that were not there for what a run failed of."""
        with self.taken():
            for name, attribute in self._missing:
                self.add(name, "reads its", attribute)

    def add_class(self, name: str) -> None:
        """Note that something asked for the class of a layer."""
        if self._is_open:
            self.asked_for_class.add(name)

    @property
    def reasons(self) -> dict[str, str]:
        """Why layers have to stay."""
        reasons = {}
        for name, done in self._found.items():
            whats = [f"{verb} {some_of(attributes, SHOWN)}" for verb, attributes in done.items()]
            reasons[name] = f"the model {' and '.join(whats)}"
        return reasons


class _StandIn:
    """Mixed into the class of a replacement: it computes what it stands for, and notes the rest.

    What the convolution has and its replacement has not, or has with another value, is that of the
    convolution, so that the run goes on and shows everything at once.
    """

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        if name in own.get("_differing", ()):
            own["_notes"].add(own["_name"], "reads its", name)
            return getattr(own["_instead_of"], name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            own = object.__getattribute__(self, "__dict__")
            try:
                value = getattr(own["_instead_of"], name)
            except AttributeError:
                own["_notes"].add_missing(own["_name"], name)
                raise
            own["_notes"].add(own["_name"], "reads its", name)
            return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "training":
            self.__dict__["_notes"].add(self.__dict__["_name"], "sets its", name)
        super().__setattr__(name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        own = object.__getattribute__(self, "__dict__")
        own["_notes"].add_class(own["_name"])
        return type(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the convolution returns."""
        own = self.__dict__
        if len(args) + len(kwargs) != 1 or not kwargs.keys() <= {"input"}:
            own["_notes"].add(own["_name"], "calls it with", "more than its input")
            return own["_instead_of"](*args, **kwargs)
        return own["_computes"](*args, *kwargs.values())


_OF_REPLACEMENTS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    *("padding_mode", "norm", "activation", "depthwise", "pointwise", "depth_multiplier"),
    *("stages", "reduce"),
)


def staged(root: nn.Module, sites: Sites, notes: Notes, *, to_run: bool = False) -> nn.Module:
    """Return a copy of a model with stand-ins, of whom notes are taken: to be traced, or to be run.

    A trace writes to no tensor of it. One to be run has functions of its own, and tensors where its
    code might write to them.
    """
    new = {site.module: _stand_in(site, notes) for site in sites.values()}
    kept = spared(root) if to_run else shared_tensors(root)
    copy, memo = with_others(root, new, kept)
    if to_run:
        set_apart(copy, memo)
    return copy


def _stand_in(site: Site, notes: Notes) -> nn.Module:
    module, kernel = site.module, site.kernel
    assert module is not None
    new, _ = in_place_of(module, kernel, site.form or Form(1))
    # computed weights are not asked for: computing them may change the module
    differing = {"weight", "bias"}
    for name in _OF_REPLACEMENTS:
        value = getattr(module, name, None)
        if value is not None and value != getattr(new, name, None):
            differing.add(name)
    values = vars(module).values()
    is_computed = any(isinstance(value, Tensor) and not value.is_leaf for value in values)
    # copies of copies are made, which torch refuses then
    instead_of = copied(module, {})[0] if is_computed else module
    new.__dict__.update(
        _name=site.name,
        _notes=notes,
        _computes=_exact(kernel),
        _instead_of=instead_of,
        _differing=frozenset(differing),
    )
    new.__class__ = type(type(new).__name__, (_StandIn, type(new)), {})
    return new


def _exact(kernel: Kernel) -> nn.Module:
    """Return torch's convolution with what a module was found to apply; it shares the weights."""
    conv = torch_conv(kernel.conv, device="meta")
    conv.weight = nn.Parameter(kernel.weight.detach(), requires_grad=False)
    if kernel.bias is not None:
        conv.bias = nn.Parameter(kernel.bias.detach(), requires_grad=False)
    return conv if kernel.before is None else nn.Sequential(kernel.before, conv)


# -- which tensors a copy to be run may share


def spared(root: nn.Module) -> dict[Tensor, Tensor]:
    """Return the tensors shared with a copy to be run: none if its code might write to them."""
    everywhere = (torchs_module._global_forward_hooks, torchs_module._global_forward_pre_hooks)
    if any(everywhere) or not all(map(_only_reads, each_part(root))):
        return {}
    return shared_tensors(root)


_ONLY_READ = (
    *("activation", "batchnorm", "channelshuffle", "container", "conv", "dropout", "flatten"),
    *("linear", "module", "padding", "pooling"),
)
"""Where torch has modules that write to no tensor of theirs in the mode of inference."""
_READING = {"dscost.modules.building", *(f"torch.nn.modules.{name}" for name in _ONLY_READ)}


def _only_reads(part: nn.Module) -> bool:
    kind, own = type(part), vars(part)
    return (
        kind.__module__ in _READING
        and kind.forward.__module__ in _READING
        and not (own["_forward_hooks"] or own["_forward_pre_hooks"])
        and not any(map(callable, own.values()))  # such as a forward of its own
    )
