"""The convolutions of a model: which can be made depthwise-separable, which were asked for, and where they run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from dscost.analysis import Request, module_source
from dscost.converting.decomposing import max_rank
from dscost.converting.rehearsing import Part, guessed_arguments, why_needed
from dscost.errors import InputError, UnknownNameError
from dscost.foreign.parts import each_parameter, each_part, unwrapped
from dscost.layers.convolution import ConvSpec, not_within, require
from dscost.layers.variants import Convs, depthwise_separable, standard, why_not_separable
from dscost.modules.copying import by_path
from dscost.networks.network import stage_costs
from dscost.reports.figures import Cost, chain_cost, cost_of_calls
from dscost.rewriting.kernels import Kernel, kernel_of, spec_of, why_stays
from dscost.tracing import Arguments, Event, Trace, arguments_of, trace

MIN_CHANNELS = 32
"""Convolutions of fewer channels in or out are left alone: separated, such a stem computes little
less, and slower."""

Where = str | Sequence[str] | Callable[[str, nn.Module], bool] | None
"""Globs on names of layers, or a function of name and module; all layers when none."""


class Site(NamedTuple):
    """A convolution of the model.

    Args:
        name: Of the module, by its first path.
        module: In the given model; nothing where a function computes the convolution.
        conv: As its attributes tell it, or as it ran.
        reason: Why it stays as it is; `None` if it can be converted, and is to be.
        kernel: What it applies, where there is no reason.
        runs: The operators that it ran, where they are convolutions that `conv` can describe.
        calls: How often it ran; unknown without an input.
    """

    name: str
    module: nn.Module | None
    conv: ConvSpec | None
    reason: str | None
    kernel: Kernel | None = None
    runs: tuple[Event, ...] = ()
    calls: int | None = None

    @property
    def dtype(self) -> str | None:
        """Of its weights; unknown where a function computes it or it has none."""
        tensor = next(each_parameter(self.module), None) if self.module is not None else None
        return None if tensor is None else str(tensor.dtype).removeprefix("torch.")

    @property
    def max_rank(self) -> int:
        """The rank at which it is reproduced."""
        assert self.kernel is not None
        return max_rank(self.kernel.weight.shape, self.kernel.conv.groups)

    @property
    def params(self) -> int | None:
        """Weights and bias as they are; unknown where there is no convolution to tell."""
        return None if self.conv is None else self.conv.params

    def params_at(self, rank: int) -> int:
        """Return the weights and bias at a rank."""
        assert self.conv is not None
        return sum(conv.params for _, conv in depthwise_separable(self.conv, rank))

    def cost(self) -> Cost | None:
        """Return what all calls cost as they are; unknown without an input, and for a transposed convolution."""
        return self._cost(standard)

    def cost_at(self, rank: int) -> Cost | None:
        """Return what all calls cost at a rank; unknown without an input."""
        return self._cost(lambda conv: depthwise_separable(conv, rank))

    def _cost(self, written: Callable[[ConvSpec], Convs]) -> Cost | None:
        if not self.runs:
            return None
        costs = []
        for run in self.runs:
            assert run.conv is not None
            stages = stage_costs(written(run.conv), run.batched_input_shape, run.element_bytes)
            costs.append(chain_cost([stage.cost for stage in stages]))
        return cost_of_calls(costs, [self.name] * len(costs))


def survey(
    root: nn.Module,
    *,
    where: Where = None,
    min_channels: int = MIN_CHANNELS,
    arguments: Arguments | None = None,
) -> tuple[Site, ...]:
    """Return every convolution of a model, in the order of its modules; with an input, those of functions last.

    Args:
        root: Left as it is.
        where: Which layers are wanted.
        min_channels: Convolutions of fewer channels in or out stay.
        arguments: Of its forward.

    Raises:
        InputError: It cannot be run on the arguments, its weights are not here, or a glob matches
            no convolution.
    """
    require(not_within("min_channels", min_channels))
    _require_values_here(root)
    runs, calls = _runs(root, arguments)
    found = {name: module for name, module in by_path(root).items() if _is_convolution(module)}
    wanted = _wanted(found, where)
    sites = [
        _site(name, module, wanted=wanted[name], min_channels=min_channels)._replace(
            runs=tuple(runs.get(name, ())), calls=None if arguments is None else calls.get(name, 0)
        )
        for name, module in found.items()
    ]
    tried = arguments or guessed_arguments(root)
    if tried is not None:
        parts = {
            site.name: Part(site.module, site.kernel)
            for site in sites
            if site.module and site.kernel
        }
        needed = why_needed(root, parts, tried)
        sites = [
            site._replace(reason=needed[site.name], kernel=None) if site.name in needed else site
            for site in sites
        ]
    return (*sites, *_of_functions(runs, found))


def arguments_for(root: nn.Module, input: Any) -> tuple[Arguments | None, tuple[Arguments, ...]]:
    """Return the arguments that a model is traced on, and all those with values, to calibrate on.

    Args:
        root: The model.
        input: As `dscost.analyze` takes it; or something to iterate over, such as a generator or a
            `torch.utils.data.DataLoader`, that gives one input after the other, labels behind it
            left out; or nothing.

    Raises:
        InputError: It is none of these; or some of several inputs have values and others not.
    """
    if input is None:
        return None, ()
    root = unwrapped(root)
    if gives_several(input):
        batches = [arguments_of(_without_labels(root, one)) for one in input]
        if not batches:
            raise InputError("input gives nothing: expected at least one input")
    else:
        _, arguments, _ = module_source(root, Request(input))
        _require_one_call(root, arguments, given=input)
        batches = [arguments]
    valued = [
        bool(batch.tensors) and not any(tensor.is_meta for tensor in batch.tensors)
        for batch in batches
    ]
    if any(valued) and not all(valued):
        found = valued.index(False) + 1
        raise InputError(
            f"input {found} of {len(batches)} has no values to calibrate on, others have"
        )
    return batches[0], tuple(batches) if all(valued) else ()


def gives_several(input: Any) -> bool:
    """Whether an input is something to iterate over that gives one input after the other, no input itself."""
    return hasattr(input, "__iter__") and not isinstance(input, Sequence | Mapping | Tensor | str)


def _without_labels(root: nn.Module, batch: Any) -> Any:
    """Return a batch; of several entries the first alone, where a forward takes that and not all of them."""
    if not isinstance(batch, list | tuple) or len(batch) < 2 or not isinstance(batch[0], Tensor):
        return batch
    takes_first_alone = not _takes(root, *batch) and _takes(root, batch[0])
    return batch[0] if takes_first_alone else batch


def _require_one_call(root: nn.Module, arguments: Arguments, *, given: Any) -> None:
    """Refuse a list of batches, which is read as the arguments of one call.

    Raises:
        InputError: A forward takes the first entry of a list, but not all of them.
    """
    args, kwargs = arguments
    if len(args) > 1 and not _takes(root, *args, **kwargs) and _takes(root, args[0], **kwargs):
        raise InputError(
            f"{type(root).__name__} does not take {len(args)} inputs: a {type(given).__name__} is several arguments of "
            "one call; for several batches give a generator: (x for x in batches)"
        )


def _takes(root: nn.Module, *args: Any, **kwargs: Any) -> bool:
    """Whether the signature of a forward, where it has one, has place for some arguments."""
    try:
        signature(root.forward).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # of what has no signature
        return True
    return True


def _is_convolution(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):
        return any("Conv" in getattr(part, "original_name", "") for part in each_part(module))
    home = type(module).__module__
    return isinstance(module, _ConvNd) or ("quantized" in home and hasattr(module, "transposed"))


def _runs(
    root: nn.Module, arguments: Arguments | None
) -> tuple[Mapping[str, list[Event]], Mapping[str, int]]:
    """Return the convolutions that every module ran, and how often each module ran."""
    runs: dict[str, list[Event]] = {}
    if arguments is None:
        return runs, {}
    traced = _traced(root, arguments)
    for event in traced.events:
        if event.conv is not None:
            runs.setdefault(event.module, []).append(event)
    return runs, traced.calls


def _traced(root: nn.Module, arguments: Arguments) -> Trace:
    """Return what a model does; of an input of another dtype than its weights an error says what to give.

    Raises:
        InputError: It cannot be run on the arguments.
    """
    try:
        return trace(root, arguments)
    except InputError as error:
        weights = {
            parameter.dtype for parameter in each_parameter(root) if parameter.is_floating_point()
        }
        given = {tensor.dtype for tensor in arguments.tensors}
        if len(weights) != 1 or not given or weights & given or "type" not in str(error.__cause__):
            raise
        raise InputError(
            f"{error} (the weights are {next(iter(weights))}: give input.to({next(iter(weights))}))"
        ) from error


def _site(name: str, module: nn.Module, *, wanted: bool, min_channels: int) -> Site:
    conv = spec_of(module)
    reason = why_stays(module)
    if reason is None and not wanted:
        reason = "where does not ask for it"
    if reason is None and conv is not None:
        reason = _too_few(conv, min_channels)
    if reason is not None:
        return Site(name, module, conv, reason)
    assert isinstance(module, _ConvNd)
    kernel = kernel_of(module)
    if isinstance(kernel, str):
        return Site(name, module, conv, kernel)
    reason = why_not_separable(kernel.conv)
    return Site(name, module, kernel.conv, reason, None if reason else kernel)


_ELSEWHERE = {
    "FakeTensor": "are fake, without values: make it outside of FakeTensorMode",
    "DTensor": "are spread over processes: convert it before fully_shard or parallelize_module",
}
"""Kinds of tensor that a model cannot be converted with, and what to do."""


def _require_values_here(root: nn.Module) -> None:
    """Refuse a model whose weights are nowhere, or elsewhere in part.

    Raises:
        InputError: They are.
    """
    for parameter in each_parameter(root):
        for kind in (*type(parameter).__mro__, *type(parameter.data).__mro__):
            if kind.__name__ in _ELSEWHERE:
                raise InputError(
                    f"{type(root).__name__} cannot be converted: its weights {_ELSEWHERE[kind.__name__]}"
                )


def require_finite(name: str, weight: Tensor) -> None:
    """Refuse weights that nothing can be computed of.

    Raises:
        InputError: Some are infinite or no numbers.
    """
    values = weight.detach()
    if (
        values.sum().isfinite()
    ):  # quick: a sum of anything else is not; one of numbers may not be, where they are large
        return
    wrong = int((~values.isfinite()).sum())
    if wrong:
        raise InputError(
            f"the weights of '{name}' are not finite: {wrong:,} of {weight.numel():,} are NaN or infinite"
        )


def _too_few(conv: ConvSpec, min_channels: int) -> str | None:
    for side, channels in (("input", conv.in_channels), ("output", conv.out_channels)):
        if channels < min_channels:
            many = f"{side} channel is" if channels == 1 else f"{side} channels are"
            return f"its {channels} {many} fewer than min_channels={min_channels}"
    return None


def _of_functions(
    runs: Mapping[str, Sequence[Event]], found: Mapping[str, nn.Module]
) -> Iterator[Site]:
    """Yield the convolutions that ran outside of any module of a convolution."""
    for name, events in runs.items():
        if name not in found:
            reason = "it is computed by a function, not by a Conv2d"
            yield Site(name, None, events[0].conv, reason, runs=tuple(events), calls=len(events))


def _wanted(found: Mapping[str, nn.Module], where: Where) -> dict[str, bool]:
    """Return for each convolution whether `where` asks for it.

    Raises:
        InputError: A glob matches none of them, or `where` is something else.
    """
    if where is None:
        return dict.fromkeys(found, True)
    if callable(where):
        return {name: bool(where(name, module)) for name, module in found.items()}
    globs = (
        (where,)
        if isinstance(where, str)
        else tuple(where)
        if isinstance(where, Sequence)
        else (where,)
    )
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
