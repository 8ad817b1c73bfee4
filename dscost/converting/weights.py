"""Weights of files given to a model, whatever their prefixes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dscost.converting.weight_files import (
    SHOWN,
    check_weights_path,
    read_states,
    read_weights,
)
from dscost.errors import InputError, first_line, some_of
from dscost.foreign.parts import dtype_name
from dscost.notation.units import format_shape

__all__ = ["check_weights_path", "load_weights", "read_weights"]

WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
WITHIN = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch.compile, FSDP and activation checkpointing put before the names of the modules that
they wrap."""
CONVERTED = (
    "; these are weights of a converted model: load them into dscost.convert(make(), plan=…)"
)
"""What is said of weights that a conversion has split, given to the model as it was."""


def load_weights(
    module: nn.Module, path: Path, *, hint: str = "", ignore_extra: bool = False
) -> list[str]:
    """Give a module the weights of a file.

    Args:
        module: Changed in place.
        path: A file, or `file:KEY` where it holds several state dicts.
        hint: What else to say where they do not fit.
        ignore_extra: Whether weights that the module does not have are left out, and told of.

    Returns:
        What was done that the reader should know.

    Raises:
        InputError: The names or shapes are not those of the module.
    """
    states = read_states(path)
    own = module.state_dict(keep_vars=True)
    named = {key: _renamed(state, own) for key, state in states.items()}
    # the likeliest, of those that fit as well
    key = max(named, key=lambda one: _fit(named[one][0], own))
    state, changes = named[key]
    notes = [*_taken(key, states), *changes]
    extra = [name for name in state if name not in own]
    if extra and ignore_extra:
        state = {name: tensor for name, tensor in state.items() if name in own}
        notes.append(f"left out, since the model does not have them: {some_of(extra, SHOWN)}.")
    faults = list(_faults(module, own, state))
    if faults:
        why = CONVERTED if _are_of_converted(own, state) else hint
        if extra and not ignore_extra and all("not in the model" in fault for fault in faults):
            why = f"{why}; --ignore-extra leaves them out"
        raise InputError(f"{path} does not fit the model: {'; '.join(faults)}{why}")
    return [f"{path}: {note}" for note in (*notes, *_casts(own, state))]


def _taken(key: str, states: Mapping[str, Mapping[str, Tensor]]) -> Iterator[str]:
    """Yield which of several state dicts was taken."""
    others = [f"'{other}'" for other in states if other != key]
    if others:
        yield f"'{key}' was taken, not {some_of(others, SHOWN)}; FILE:KEY takes another."


def _fit(state: Mapping[str, Tensor], own: Mapping[str, Any]) -> int:
    """Return how many tensors of a model are there in the shape that they have in it."""
    return sum(mine.shape == given.shape for _, mine, given in _in_both(own, state))


def _in_both(
    own: Mapping[str, Any], state: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield the tensors of a model that are given too, but for those that have no shape yet."""
    for name, mine in own.items():
        if name in state and isinstance(mine, Tensor) and not is_lazy(mine):
            yield name, mine, state[name]


def _renamed(
    state: Mapping[str, Tensor], own: Mapping[str, Any]
) -> tuple[Mapping[str, Tensor], list[str]]:
    """Return weights under the names of the model, as far as one rule goes, and what was done."""
    notes = []
    for _ in WRAPPERS:  # each may be around the other
        for wrapper in WRAPPERS:
            wraps_own = any(name.startswith(wrapper) for name in own)
            if all(name.startswith(wrapper) for name in state) and not wraps_own:
                state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
                notes.append(f"'{wrapper}' before every name was left out.")
    for wrapper in WITHIN:
        if any(wrapper in name for name in state) and not any(wrapper in name for name in own):
            state = {name.replace(wrapper, ""): tensor for name, tensor in state.items()}
            notes.append(f"'{wrapper}' within names was left out.")
    if any(name in own for name in state):  # the rest is the user's mistake, not another naming
        return state, notes
    # the model within a larger one, as a backbone is: what is outside is told as left over
    for prefix in _prefixes(state, own):
        inside, outside = {}, {}
        for name, tensor in state.items():
            if name.startswith(prefix):
                inside[name.removeprefix(prefix)] = tensor
            else:
                outside[name] = tensor
        if not outside or not _missing(inside, own):
            every = "every name" if not outside else f"{len(inside)} of {len(state)} names"
            return {**outside, **inside}, [*notes, f"'{prefix}' before {every} was left out."]
    # the other way round: weights of a part, for a model that is nothing but a wrapper of it
    for prefix in _prefixes(own, state):
        if all(name.startswith(prefix) for name in own):
            longer = {f"{prefix}{name}": tensor for name, tensor in state.items()}
            return longer, [*notes, f"'{prefix}' was put before every name."]
    return state, notes


def _prefixes(longer: Mapping[str, Any], shorter: Mapping[str, Any]) -> list[str]:
    """Return what makes some name longer, `model.` for instance; the shortest first."""
    wanted = next(iter(shorter), "")
    found = {name.removesuffix(wanted) for name in longer if wanted and name.endswith(f".{wanted}")}
    return sorted(found, key=len)


def _missing(state: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    return any(state.keys().isdisjoint(twins) for twins in _tied(own).values())


def _are_of_converted(own: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether both stages of a convolution are given to a model that has the convolution itself."""
    for layer in (name.removesuffix("depthwise.weight") for name in given if name not in own):
        stages = {f"{layer}depthwise.weight", f"{layer}pointwise.weight"}
        # a padding that is a module is put before it
        if stages <= given.keys() and f"{layer.removesuffix('convolution.')}weight" in own:
            return True
    return False


def _faults(
    module: nn.Module, own: Mapping[str, Any], state: Mapping[str, Tensor]
) -> Iterator[str]:
    """Load the weights, and yield why they do not fit."""
    tied, both = _tied(own), list(_in_both(own, state))
    differing = {
        "of another shape": [
            f"{name} {_shape(given)} instead of {_shape(mine)}"
            for name, mine, given in both
            if given.shape != mine.shape
        ],
        "of another kind": [
            f"{name} {dtype_name(given.dtype)} instead of {dtype_name(mine.dtype)}"
            for name, mine, given in both
            if mine.is_floating_point() and not given.is_floating_point()
        ],
        "of values that differ though the model ties them": [
            f"{first} and {name}"
            for name, _, given in both
            if (first := next(twin for twin in tied[name] if twin in state)) != name
            and not torch.equal(state[first].to(given.dtype), given)
        ],
    }
    # nothing is loaded where something does not fit: torch is only asked whether it minds more
    unfit = any(differing.values())
    try:
        missing, unexpected = module.load_state_dict({} if unfit else state, strict=False)
    except RuntimeError as error:
        yield first_line(error)
        return
    if unfit:
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
    missing = [name for name in missing if state.keys().isdisjoint(tied.get(name, ()))]
    faults = {"missing": missing, "not in the model": unexpected, **differing}
    for what, names in faults.items():
        if names:
            yield f"{len(names)} {what} ({some_of(names, SHOWN)})"


def _tied(own: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return for each name all those that the same tensor has."""
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), []).append(name)
    return {name: same for same in names.values() for name in same}


def _casts(own: Mapping[str, Any], state: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield as what weights of another precision were read."""
    both = [(given, mine) for _, mine, given in _in_both(own, state) if mine.is_floating_point()]
    kinds = {(dtype_name(given.dtype), dtype_name(mine.dtype)) for given, mine in both}
    for given, mine in sorted(kinds):
        if given != mine:
            yield f"weights of {given} were read as {mine}, as the model has them."


def _shape(tensor: Tensor) -> str:
    return format_shape(tuple(tensor.shape)) or "()"
