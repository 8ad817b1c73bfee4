"""A model → the same model with its convolutions made depthwise-separable, their weights included."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import _disable_current_modes

from dscost.converting.calibrating import Key, calibrate
from dscost.converting.decomposing import Decomposed, decompose
from dscost.converting.loading import class_names, load_subject
from dscost.converting.plan_file import KEEP, Decision, Plan, plan_of
from dscost.converting.rehearsing import Part, guessed_arguments, require_the_same
from dscost.converting.sites import (
    MIN_CHANNELS,
    Site,
    Where,
    arguments_for,
    gives_several,
    require_finite,
    survey,
)
from dscost.errors import InputError, UnknownNameError
from dscost.foreign.parts import unwrapped
from dscost.foreign.randomness import own_random_numbers
from dscost.layers.convolution import ConvSpec, not_within, require
from dscost.modules.copying import copied, deep_copied, shared_tensors
from dscost.notation.inputs import inputs_of
from dscost.notation.units import format_layer
from dscost.reports.figures import Cost
from dscost.reports.records import plain
from dscost.rewriting.convolutions import carry_hooks, layout_of, padded_first, separable_of
from dscost.rewriting.kernels import Kernel
from dscost.tracing import Arguments

METHODS = ("svd", "random")
SHOWN = 3
"""Names of layers in an error."""

ErrorOf = Literal["kernel", "output"]
"""What an error is relative to: the norm of the kernel, or that of the layer's output on the
calibration inputs."""


class LayerConversion(NamedTuple):
    """What became of a convolution.

    Args:
        name: Of the layer.
        converted: Whether it is depthwise-separable now.
        reason: Why it was kept.
        rank: T of a layer that was converted.
        error: Relative, 0 to 1; unknown of random weights. It is no accuracy.
        error_of: What the error is of: `kernel`, or `output` on the calibration inputs, bias left
            out.
        calls: How often it runs; unknown without an input.
        params_before: Weights and bias; unknown where `conv` is.
        params_after: Likewise.
        before: Cost of all calls; unknown without an input.
        after: Likewise.
        conv: What it was; unknown of transposed, lazy and scripted convolutions.
    """

    name: str
    converted: bool
    reason: str | None
    rank: int | None
    error: float | None
    error_of: ErrorOf | None
    calls: int | None
    params_before: int | None
    params_after: int | None
    before: Cost | None
    after: Cost | None
    conv: ConvSpec | None

    def to_dict(self) -> dict[str, Any]:
        """Return every field under its name, JSON-ready."""
        return {name: plain(value) for name, value in self._asdict().items()}


class Conversion(NamedTuple):
    """A converted model, and what became of each of its convolutions.

    Args:
        module: A new module.
        method: `svd` or `random`.
        layers: Every convolution of the given model.
    """

    module: nn.Module
    method: str
    layers: tuple[LayerConversion, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the module, JSON-ready."""
        return {"method": self.method, "layers": [layer.to_dict() for layer in self.layers]}


def convert(
    target: "str | PathLike[str] | nn.Module",
    *,
    rank: int = 1,
    method: str = "svd",
    where: Where = None,
    plan: "Plan | Mapping[str, Decision] | str | PathLike[str] | None" = None,
    min_channels: int = MIN_CHANNELS,
    input: Any = None,
    trust: bool = False,
) -> nn.Module:
    """Return a copy of a model with its convolutions made depthwise-separable, as near to them as can be.

    Each becomes a `dscost.nn.DepthwiseSeparableConv2d` (1d, 3d) on its device, of its dtype,
    layout, mode and need of gradients, with the hooks of its forward. A module that the model holds
    more than once is converted once; weights that modules share stay shared. Transposed, 1×1 and
    depthwise convolutions stay as they are. So does one that does more than pad and convolve, in
    its class, a patched forward or a hook that would do something else to what takes its place; and
    one of which the model reads what a replacement has not, such as its weights. `conversion` has
    the reasons.

    At full rank the model returns what it did: with an input, copies of both are run on it and
    compared, in the mode of inference; on random values if only a shape is given, unless it is
    large. Without an input they are run on what the model states (`example_input_array`,
    `dummy_inputs`) or on what its first layer takes, if that works.

    Args:
        target: An `nn.Module`, which is left as it is; of torch.compile's wrapper, what it wraps is
            converted. Or any target of the command line, made with the initial weights that the
            command gives it.
        rank: T, the spatial filters per input channel. At `min(Kh·Kw, N/G)` a layer is reproduced;
            more means that.
        method: `svd` for the best weights in the Frobenius norm, or `random` for initial ones,
            drawn from torch's random state, which is left as it is.
        where: Names of layers, globs such as `"layer1.*"`, a list of them, or a function of name
            and module; all layers if nothing is given.
        plan: What to do by layer: a `Plan`, ranks or `"keep"` by name, or the path of a plan file;
            a layer that it does not name is kept. In place of `rank`, `where` and `min_channels`.
        min_channels: A convolution of fewer channels in or out is left alone.
        input: As `dscost.analyze` takes it: a shape, for costs; or tensors, whose values the
            weights are fitted to as well. For several inputs to fit to, something to iterate over
            that is no list: a generator, or a `torch.utils.data.DataLoader`; of its batches of
            images and labels the first entry is taken, where the forward takes that and not all of
            them. By default that of the plan, or what the target states; a module states none.
        trust: As of `dscost.analyze`.

    Raises:
        InputError: An argument is wrong, weights or what layers see are missing or not finite, or
            the model cannot be copied or run; or it would do something else once converted,
            whatever the rank, or run a convolution as before, since it holds one where a copy
            cannot replace it, as in a closure.
        UnavailableError: A target needs a library that is not installed.

    >>> model = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    >>> sum(weight.numel() for weight in convert(model).parameters()) == 64 * 9 + 64 * 64
    True
    """
    return conversion(
        target,
        rank=rank,
        method=method,
        where=where,
        plan=plan,
        min_channels=min_channels,
        input=input,
        trust=trust,
    ).module


def conversion(
    target: "str | PathLike[str] | nn.Module",
    *,
    rank: int = 1,
    method: str = "svd",
    where: Where = None,
    plan: "Plan | Mapping[str, Decision] | str | PathLike[str] | None" = None,
    min_channels: int = MIN_CHANNELS,
    input: Any = None,
    trust: bool = False,
) -> Conversion:
    """Return what `convert` returns, with what became of each convolution: kept or converted, error and costs.

    Args:
        target: As of `convert`, like everything below.
        rank: T.
        method: `svd` or `random`.
        where: Which layers.
        plan: What to do by layer.
        min_channels: A convolution of fewer is left alone.
        input: Without it costs are unknown, but for params.
        trust: Whether code that a `program.pt2` holds may run.

    Raises:
        InputError: As of `convert`.
        UnavailableError: Likewise.
    """
    _check(target, rank, method, where, plan)
    given = None if plan is None else plan_of(Path(plan) if isinstance(plan, PathLike) else plan)
    with ExitStack() as stack:
        stack.enter_context(_undisturbed())
        root, input, importing = _made(target, input, given, trust=trust)
        stack.enter_context(importing())
        arguments, batches = arguments_for(root, input)
        if given is None:
            sites = survey(root, where=where, min_channels=min_channels, arguments=arguments)
            layers = [_decided(site, {site.name: rank for site in sites}) for site in sites]
        else:
            layers = _by_plan(root, given, arguments)
        return _converted(root, _doing_the_same(root, layers, arguments), method, batches)


def conversion_of_own(root: nn.Module, plan: Plan, input: Any) -> Conversion:
    """Return the conversion of a model that nobody else has or trains: the new one has the tensors of it that stay.

    Args:
        root: Left as it is.
        plan: As of `convert`, like everything below.
        input: For costs, and to fit to.

    Raises:
        InputError: As of `convert`.
    """
    with _undisturbed():
        arguments, batches = arguments_for(root, input)
        layers = _doing_the_same(root, _by_plan(root, plan, arguments), arguments)
        return _converted(root, layers, "svd", batches, keeps_tensors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave the caller's random numbers, modes of operators and inference mode out of it."""
    with _disable_current_modes(), own_random_numbers(), torch.inference_mode(False):
        yield


def _made(
    target: "str | PathLike[str] | nn.Module", input: Any, plan: Plan | None, *, trust: bool
) -> tuple[nn.Module, Any, Callable[[], AbstractContextManager[None]]]:
    """Return the module that a target is, the input of its forward, and what is entered while it runs.

    Raises:
        InputError: There is no such target, or it does not take the input.
        UnavailableError: It needs a library that is not installed.
    """
    if isinstance(target, nn.Module):
        return unwrapped(target), input, nullcontext
    stated = None if gives_several(input) else input
    if stated is None and plan is not None and plan.inputs:
        with plan.naming_its_input():
            subject = load_subject(target, input=inputs_of(plan.inputs), trust=trust)
    else:
        subject = load_subject(target, input=stated, trust=trust)
    return subject.module, input if gives_several(input) else subject.arguments, subject.importing


def _check(target: object, rank: int, method: str, where: Where, plan: object) -> None:
    """Refuse arguments that cannot be meant.

    Raises:
        InputError: Some of them.
    """
    if not isinstance(target, nn.Module | str | PathLike):
        raise InputError(
            f"what is converted is an nn.Module, or the name or path of a model, found {target!r:.60}"
        )
    if method not in METHODS:
        raise UnknownNameError("method", str(method), METHODS)
    require(not_within("rank", rank))
    if plan is not None:
        given = [
            name
            for name, is_given in (("rank", rank != 1), ("where", where is not None))
            if is_given
        ]
        if given:
            raise InputError(
                f"a plan says which layers and ranks, so {' and '.join(given)} cannot be given with it"
            )
        if not isinstance(plan, Plan | Mapping | str | PathLike):
            raise InputError(
                f"a plan is a Plan, ranks by layer, or the path of a plan file, found {plan!r:.60}"
            )


class _Due(NamedTuple):
    """A convolution, and the rank that it is to have; none where it stays."""

    site: Site
    rank: int | None

    @property
    def kernel(self) -> Kernel:
        """What it applies."""
        assert self.site.kernel is not None
        return self.site.kernel

    @property
    def module(self) -> _ConvNd:
        """In the given model."""
        assert isinstance(self.site.module, _ConvNd)
        return self.site.module

    @property
    def key(self) -> Key:
        """The same for layers that share their weights and are to share them still."""
        assert self.rank is not None
        return id(self.kernel.weight), self.kernel.conv.groups, self.rank


def _by_plan(root: nn.Module, plan: Plan, arguments: Arguments | None) -> list[_Due]:
    """Return what a plan says of every convolution.

    Raises:
        InputError: The model has not what it names.
    """
    sites = survey(root, min_channels=1, arguments=arguments)
    left_alone = {site.name: site.reason for site in sites if site.reason}
    plan.check([site.name for site in sites if not site.reason], left_alone, class_names(root))
    return [_decided(site, plan.layers) for site in sites]


def _decided(site: Site, decisions: Mapping[str, Decision]) -> _Due:
    if site.reason is not None:
        return _Due(site, None)
    decision = decisions.get(site.name)
    if decision is None or decision == KEEP:
        reason = "the plan does not name it" if decision is None else "the plan keeps it"
        return _Due(site._replace(reason=reason), None)
    return _Due(site, min(decision, site.max_rank))


def _doing_the_same(
    root: nn.Module, layers: Sequence[_Due], arguments: Arguments | None
) -> Sequence[_Due]:
    """Return the layers; those stay whose class the model asks for.

    Raises:
        InputError: As of `require_the_same`.
    """
    arguments = arguments or guessed_arguments(root)
    if arguments is None:
        return layers
    parts = {
        one.site.name: Part(one.module, one.kernel, one.rank)
        for one in layers
        if one.rank is not None
    }
    asked = require_the_same(root, parts, arguments)
    return [
        _Due(one.site._replace(reason=asked[one.site.name]), None)
        if one.site.name in asked
        else one
        for one in layers
    ]


class _Fitted(NamedTuple):
    """Weights for a convolution, and how far it is off with them."""

    parts: Decomposed | None
    error: float | None
    error_of: ErrorOf | None


def _converted(
    root: nn.Module,
    layers: Sequence[_Due],
    method: str,
    batches: Sequence[Arguments],
    *,
    keeps_tensors: bool = False,
) -> Conversion:
    due = [layer for layer in layers if layer.rank is not None]
    untold = {layer.key: _Fitted(None, None, None) for layer in due}
    fitted = _fitted(root, due, batches) if method == "svd" else untold
    maker = _Maker()
    new: dict[Any, Any] = {}
    for layer in due:
        parts = fitted[layer.key].parts
        new[layer.module] = maker.replacement(layer, parts)
        if parts is not None:
            _require_reproduced(layer, new[layer.module])
    kept: dict[Any, Any] = {**shared_tensors(root)} if keeps_tensors else {}
    converted, memo = copied(root, {**kept, **new, **maker.biases})
    carry_hooks(new, lambda hooks: deep_copied(hooks, memo, of=root))
    told = [_told(layer, fitted[layer.key] if layer.rank is not None else None) for layer in layers]
    return Conversion(converted, method, tuple(told))


REPRODUCED = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""How far a kernel of full rank may be from the one it stands for, relative to its norm."""


def _require_reproduced(layer: _Due, new: Any) -> None:
    """Refuse weights that do not fit into the dtype, which an error computed in float64 does not tell.

    Raises:
        InputError: They are not finite, or at full rank not those of the kernel.
    """
    assert layer.rank is not None
    is_full, kernel, made = (
        layer.rank == layer.site.max_rank,
        layer.kernel.weight.detach(),
        new.weight.detach(),
    )
    if (
        not is_full and kernel.dtype != torch.float64 and made.sum().isfinite()
    ):  # no square of these is too large
        return
    found, wanted = (weight.to("cpu", torch.float64) for weight in (made, kernel))
    off = float((found - wanted).norm())
    within = REPRODUCED.get(kernel.dtype, 1.0) * float(wanted.norm())
    if not isfinite(off) or (is_full and off > within):
        dtype = str(kernel.dtype).removeprefix("torch.")
        raise InputError(
            f"the weights of '{layer.site.name}' are too large or too small for two factors in {dtype}: convert the "
            "model in float32"
        )


def _fitted(
    root: nn.Module, due: Sequence[_Due], batches: Sequence[Arguments]
) -> dict[Key, _Fitted]:
    """Return the weights of every layer, each set once.

    Raises:
        InputError: They are not finite, or missing; or the model cannot be run on the batches.
    """
    for layer in due:
        if layer.kernel.weight.is_meta:
            raise InputError(
                f"{format_layer(layer.site.name)} is on meta, without weights to decompose: method='random' needs none"
            )
        require_finite(layer.site.name, layer.kernel.weight)
    found: dict[Key, _Fitted] = {}
    partial: dict[Key, list[_Due]] = {}
    for layer in due:
        assert layer.rank is not None
        if batches and layer.rank < layer.site.max_rank:
            partial.setdefault(layer.key, []).append(layer)
        if layer.key not in found:
            weight, groups = layer.kernel.weight, layer.kernel.conv.groups
            parts = decompose(weight, layer.rank, groups)
            found[layer.key] = _Fitted(parts, parts.errors[layer.rank - 1], "kernel")
    if not partial:
        return found
    users = {
        key: [(layer.module, layer.kernel) for layer in sharing] for key, sharing in partial.items()
    }
    for key, calibrated in calibrate(root, users, batches).items():
        found[key] = _Fitted(calibrated.parts, calibrated.error, "output")
    return found


def _told(layer: _Due, fitted: _Fitted | None) -> LayerConversion:
    site, rank = layer
    before = site.cost()
    return LayerConversion(
        name=site.name,
        converted=rank is not None,
        reason=site.reason,
        rank=rank,
        error=None if fitted is None else fitted.error,
        error_of=None if fitted is None else fitted.error_of,
        calls=site.calls,
        params_before=site.params,
        params_after=site.params if rank is None else site.params_at(rank),
        before=before,
        after=before if rank is None else site.cost_at(rank),
        conv=site.conv,
    )


# -- making it


class _Maker:
    """Makes what takes the place of convolutions; parameters that these share are shared again."""

    def __init__(self) -> None:
        self._kernels: dict[Key, tuple[nn.Parameter, nn.Parameter]] = {}
        self.biases: dict[nn.Parameter, nn.Parameter] = {}
        """New biases by old ones."""

    def replacement(self, layer: _Due, parts: Decomposed | None) -> nn.Module:
        """Return the depthwise-separable convolution of a rank, with the given weights or random ones."""
        kernel, old, rank = layer.kernel, layer.module, layer.rank
        assert rank is not None
        conv = kernel.conv
        separable: Any = separable_of(conv, rank, like=kernel.weight, device="meta")
        if layer.key not in self._kernels:
            self._kernels[layer.key] = _parameters(separable, layer, parts)
        separable.depthwise.weight, separable.pointwise.weight = self._kernels[layer.key]
        if kernel.bias is not None:
            separable.pointwise.bias = self._bias(kernel)
        new = separable if kernel.before is None else padded_first(kernel.before, separable, old)
        return new.train(old.training)

    def _bias(self, kernel: Kernel) -> nn.Parameter:
        assert kernel.bias is not None
        made = nn.Parameter(kernel.bias.detach().clone(), kernel.trains_bias)
        return (
            self.biases.setdefault(kernel.bias, made)
            if isinstance(kernel.bias, nn.Parameter)
            else made
        )


def _parameters(
    separable: Any, layer: _Due, parts: Decomposed | None
) -> tuple[nn.Parameter, nn.Parameter]:
    """Return the kernels of both stages, where and how the one is that they stand for."""
    weight, layout = layer.kernel.weight, layout_of(layer.module) or torch.contiguous_format
    made = []
    shapes = (separable.depthwise.weight.shape, separable.pointwise.weight.shape)
    kernels = _random(shapes, "meta" if weight.is_meta else "cpu") if parts is None else parts[:2]
    for values in kernels:
        values = values.to(weight.device, weight.dtype).clone(memory_format=layout)
        made.append(nn.Parameter(values, layer.kernel.trains_weight))
    return made[0], made[1]


def _random(shapes: Sequence[torch.Size], device: str) -> tuple[Tensor, Tensor]:
    """Return kernels of both stages that keep the scale of their input, the second for a ReLU to come."""
    depthwise, pointwise = (
        torch.empty(shape, dtype=torch.float32, device=device) for shape in shapes
    )
    nn.init.kaiming_normal_(depthwise, nonlinearity="linear")
    return depthwise, nn.init.kaiming_normal_(pointwise, nonlinearity="relu")
