"""A model run with stand-ins for its convolutions, before anything is converted.

Run on meta tensors, the model shows what else it does with its convolutions than call them. Run on
values, it has to return what the model itself returns, or something was overlooked.
"""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._pytree import tree_map

from dscost.converting.sites import Site
from dscost.converting.stand_ins import Notes, Sites, spared, staged
from dscost.errors import InputError, first_line, some_of
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import device_of, each_parameter, each_part, each_tensor
from dscost.foreign.randomness import own_random_numbers
from dscost.modules.copying import by_path, copied_to_run
from dscost.rewriting.kernels import are_close
from dscost.sources.stated import stated_by
from dscost.tracing import Arguments, Trace, arguments_of, trace
from dscost.tracing.meta_copies import STANDS_FOR
from dscost.tracing.object_contents import tensors_held_by

SHOWN = 3
"""Names of layers in an error."""

MOST_MACS = 20_000_000_000
"""MACs up to which a model is run on random values where only a shape was given: some seconds."""

GUESSED_SIZES = (64, 224)
"""Sizes of images that a model is tried on where none is given."""

MOST_TRIED = 64
"""Layers that are tried one by one where the whole differs."""


def without_needed(
    root: nn.Module, sites: Sequence[Site], arguments: Arguments | None
) -> tuple[Site, ...]:
    """Return the sites; those stay that a model does more with than call them.

    The model runs on meta tensors; without arguments nothing is found out.
    """
    if arguments is None:
        return tuple(sites)
    able = {site.name: site for site in sites if site.reason is None}
    needed = dict(_held_elsewhere(root, able))
    while rest := _others(able, needed):
        notes = Notes()
        try:
            with notes.taken():
                trace(staged(root, rest, notes), arguments)
        except InputError:  # told where it is decided what is converted
            notes.take_missing()
        if not notes.reasons:
            break
        needed |= notes.reasons
    return _staying(sites, needed)


def doing_the_same(
    root: nn.Module, sites: Sequence[Site], arguments: Arguments | None
) -> tuple[Site, ...]:
    """Return the sites, and refuse what makes a model compute something else, whatever the rank.

    Those with a rank are to be converted; of these stay those without which the model fails, and
    those whose class it asks for. On shapes alone a large model is not run on values.

    Raises:
        InputError: It does not run, or returns something else, or runs a convolution as before,
            once converted.
    """
    if arguments is None:
        return tuple(sites)
    due = {site.name: site for site in sites if site.form is not None}
    asked: dict[str, str] = {}
    while rest := _others(due, asked):
        notes = Notes()
        try:
            traced = _traced(staged(root, rest, notes), rest, arguments)
        except _DoesNotRunError:
            found = _why_fail(root, rest, arguments)
            if not found:
                raise
        else:
            found = _why_values_differ(root, rest, arguments, traced, notes)
        if not found:
            break
        asked |= found
    return _staying(sites, asked)


def guessed_arguments(root: nn.Module) -> Arguments | None:
    """Return arguments that a model runs on: what it states, or a tensor of its first channels.

    Nothing where none of these works, and where the model has no code of its own that could do
    anything unexpected.
    """
    if all(
        type(part).__module__.startswith("torch.nn.") and "forward" not in vars(part)
        for part in each_part(root)
    ):
        return None
    for guess in _guesses(root):
        with suppress(InputError):
            arguments = arguments_of(guess)
            trace(root, arguments)
            return arguments
    return None


def _guesses(root: nn.Module) -> Iterator[Any]:
    stated = None
    with suppress(InputError):  # what states it may fail
        stated = stated_by(root)
    if stated is not None:
        yield stated.value
    first = next((part for part in each_part(root) if isinstance(part, _ConvNd)), None)
    if first is not None and not isinstance(first.weight, UninitializedTensorMixin):
        dtype = next((tensor.dtype for tensor in each_parameter(first)), torch.float32)
        for size in GUESSED_SIZES:
            shape = (2, first.in_channels, *[size] * len(first.kernel_size))
            yield torch.empty(shape, dtype=dtype, device="meta")


def _others(sites: Sites, staying: Mapping[str, str]) -> dict[str, Site]:
    return {name: site for name, site in sites.items() if name not in staying}


def _staying(sites: Sequence[Site], reasons: Mapping[str, str]) -> tuple[Site, ...]:
    staying = []
    for site in sites:
        if site.name in reasons:
            site = site._replace(reason=reasons[site.name], applied=None, form=None)
        staying.append(site)
    return tuple(staying)


def _held_elsewhere(root: nn.Module, sites: Sites) -> Iterator[tuple[str, str]]:
    """Yield the convolutions whose parameters a model holds as attributes or in closures too.

    What computes with those would go on with the weights as they were, which are trained no more.
    """
    own: dict[int, str] = {}
    for name, site in sites.items():
        assert site.module is not None
        own |= {id(one): name for one in site.module._parameters.values() if one is not None}
    for module in by_path(root).values():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        held = [value for name, value in vars(module).items() if name not in _EVERY_MODULES]
        for tensor in tensors_held_by(held):
            if id(tensor) in own:
                yield own[id(tensor)], "the model holds its parameters elsewhere too"


_EVERY_MODULES = frozenset(vars(nn.Module()))


# -- on meta


class _DoesNotRunError(InputError):
    """A model with stand-ins fails."""


def _why_fail(root: nn.Module, sites: Sites, arguments: Arguments) -> dict[str, str]:
    """Return the convolutions without which a model fails, and of what."""
    found: dict[str, str] = {}
    for name in list(sites)[:MOST_TRIED]:
        alone = {name: sites[name]}
        try:
            _traced(staged(root, alone, Notes()), alone, arguments)
        except _DoesNotRunError as error:
            why = first_line(error.__cause__ or error)
            found[name] = f"the model does more with it than call it: {why}"
        except InputError:  # told of the whole
            continue
    return found


def _traced(running: nn.Module, sites: Sites, arguments: Arguments) -> Trace:
    """Return the trace of a model with stand-ins, if it runs, and without what they stand for."""
    replaced = {id(site.module): name for name, site in sites.items()}
    still_run: set[str] = set()
    # threads that were there before may run the model itself
    others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}

    def watch(module: nn.Module, args: tuple[Any, ...]) -> None:
        original = module.__dict__.get(STANDS_FOR, id(module))
        if original in replaced and threading.get_ident() not in others:
            still_run.add(replaced[original])

    handle = register_module_forward_pre_hook(watch)
    try:
        traced = trace(running, arguments)
    except InputError as error:
        cause = error.__cause__ or error
        raise _DoesNotRunError(
            f"{type(running).__name__} does not run once converted, since it does more with a "
            f"convolution than call it: {first_line(cause)} (keep that layer, by where or a plan)"
        ) from cause
    finally:
        handle.remove()
    if still_run:
        names = some_of([f"'{name}'" for name in sites if name in still_run], SHOWN)
        raise InputError(
            f"{type(running).__name__} runs {names} as before once converted: something that is "
            "not copied with a model, such as a closure, holds what was to be replaced (keep that "
            "layer, by where or a plan)"
        )
    return traced


# -- on values


def _why_values_differ(
    root: nn.Module, sites: Sites, arguments: Arguments, traced: Trace, notes: Notes
) -> dict[str, str]:
    """Return why layers have to stay for a model to return what it did.

    Nothing where it does, or cannot be run.

    Raises:
        InputError: It returns something else, and nothing tells why.
    """
    if any(tensor.is_meta for tensor in each_tensor(root)):
        return {}
    if not arguments.have_values and sum(event.macs for event in traced.events) > MOST_MACS:
        return {}
    with own_random_numbers():
        given = _with_values(root, arguments)
        expected = _returned(copied_to_run(root, spared(root)), given)
        if expected is None:  # nothing that it returns can be held against anything
            return {}
        running = staged(root, sites, notes, to_run=True)
        with notes.taken():
            found = _returned(running, given)
        if _are_close(expected, found):
            return {}
        again = _returned(copied_to_run(root, spared(root)), given)
        if not _are_close(expected, again):
            return {}
        alone = []
        for name in list(sites)[:MOST_TRIED]:
            running = staged(root, {name: sites[name]}, Notes(), to_run=True)
            if not _are_close(expected, _returned(running, given)):
                alone.append(name)
    asked = [name for name in alone if name in notes.asked_for_class]
    if not asked:
        raise InputError(_computes_something_else(type(root).__name__, alone))
    return dict.fromkeys(asked, "the model asks for its class")


def _computes_something_else(model: str, layers: Sequence[str]) -> str:
    if not layers:
        told, which = "its convolutions are converted, whatever the rank: it does", "those layers"
    elif len(layers) == 1:
        told, which = f"'{layers[0]}' is converted, whatever the rank: it does", "that layer"
    else:
        names = some_of([f"'{name}'" for name in layers], SHOWN)
        told, which = f"{names} are converted, whatever the rank: they do", "those layers"
    return (
        f"{model} computes something else once {told} more there than a convolution "
        f"(keep {which}, by where or a plan)"
    )


def _with_values(root: nn.Module, arguments: Arguments) -> Arguments:
    """Return arguments where the model is, with random numbers in place of shapes."""
    torch.manual_seed(0)

    def valued(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_meta and value.is_floating_point():
            return torch.randn(value.shape).to(value.dtype)
        return value

    args, kwargs = tree_map(valued, (arguments.args, dict(arguments.kwargs)))
    return Arguments(args, kwargs).on(device_of(root))


def _returned(running: nn.Module, given: Arguments) -> list[Any] | None:
    """Return all tensors and numbers in what a model returns, for inference; `None` if it fails."""
    for part in each_part(running):  # not by `set_training`: it asks stand-ins for their class
        part.__dict__["training"] = False
    device = str(given.tensors[0].device) if given.tensors else "cpu"
    own = given.on(device)
    torch.manual_seed(0)
    random.seed(0)
    try:
        with torch.no_grad():
            return _leaves(running(*own.args, **own.kwargs))
    except (Exception, SystemExit) as error:
        if must_pass(error):
            raise
        return None


def _are_close(expected: list[Any] | None, found: list[Any] | None) -> bool:
    if expected is None or found is None:
        return expected is found
    return len(expected) == len(found) and all(map(are_close, expected, found))


def _leaves(value: Any, depth: int = 0) -> list[Any]:
    """Return the tensors and numbers in a value, also those in attributes of objects."""
    if isinstance(value, Tensor | int | float | complex):
        return [value]
    if value is None or isinstance(value, str | bytes | type | nn.Module) or depth > 6:
        return []
    if isinstance(value, Mapping):
        parts: Any = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif is_dataclass(value):
        parts = [getattr(value, field.name, None) for field in fields(value)]
    else:
        parts = getattr(value, "__dict__", {}).values()
    return [leaf for part in parts for leaf in _leaves(part, depth + 1)]
