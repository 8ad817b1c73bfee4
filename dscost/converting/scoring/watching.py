"""What a model takes, where only the function that scores it knows: seen as it is called."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from dscost.analysis import Request
from dscost.analysis.targets import found_source
from dscost.converting.applying import undisturbed
from dscost.converting.loading import Subject, Target, load_subject, real_module
from dscost.converting.scoring.asking import Scorer
from dscost.converting.scoring.calling import Stopped, watched
from dscost.errors import InputError, NoShapeError
from dscost.foreign.parts import set_training
from dscost.modules.copying import copied
from dscost.tracing import Arguments, trace


def load_scored(target: Target, request: Request, scorer: Scorer | None, **given: Any) -> Subject:
    """Return what `load_subject` does; of a model that states no input, on what a score gives it.

    Raises:
        InputError: As of `load_subject`; or the function fails before it calls the model.
        UnavailableError: Something that is needed is not installed.
    """
    try:
        return load_subject(target, request, **given)
    except NoShapeError as error:
        if scorer is None:
            raise
        seen = _seen(target, request, scorer)
        if seen is None:
            name = scorer.score.name
            raise NoShapeError(f"{error}; {name} does not call it, which would tell") from error
    return load_subject(target, request._replace(input=seen), **given)


def _seen(target: Target, request: Request, scorer: Scorer) -> Any:
    """Return the arguments of the first call of a model, of one sample where that works."""
    # a class of a file is made only where some input is given
    source, _ = found_source(target, request._replace(input=()))
    module = real_module(source, 0, is_changed=True)  # type: ignore[arg-type]
    found: list[Arguments] = []

    def look(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        found.append(Arguments(args, dict(kwargs)))
        raise Stopped

    with undisturbed(), source.importing():  # type: ignore[union-attr]
        own, _ = copied(module, {})
        set_training(own, False)
        looking = own.register_forward_pre_hook(look, with_kwargs=True)
        try:
            with torch.no_grad():
                watched(scorer.score, own, scorer.timeout_s)
        except InputError:
            if not found:
                raise
        looking.remove()
        if not found:
            return None
        arguments = _on_meta(found[0])
        one = _first_sample(arguments)
        if one is not None:
            with suppress(InputError):
                trace(own, one)
                return one
    return arguments


def _on_meta(arguments: Arguments) -> Arguments:
    """Return arguments without values, but for whole numbers, which a model may look at."""

    def shape(value: Any) -> Any:
        is_plain = isinstance(value, Tensor) and value.is_floating_point()
        return torch.empty_like(value, device="meta") if is_plain else value

    args, kwargs = tree_map(shape, (arguments.args, dict(arguments.kwargs)))
    return Arguments(args, kwargs)


def _first_sample(arguments: Arguments) -> Arguments | None:
    """Return the first sample of a batch, where all tensors begin with the same axis."""
    sizes = {tensor.shape[0] for tensor in arguments.tensors if tensor.dim()}
    if len(sizes) != 1 or sizes == {1}:
        return None

    def first(value: Any) -> Any:
        return value[:1] if isinstance(value, Tensor) and value.dim() else value

    args, kwargs = tree_map(first, (arguments.args, dict(arguments.kwargs)))
    return Arguments(args, kwargs)
