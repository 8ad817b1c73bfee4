"""Code that makes a converted model, run: it makes that model and no other, or is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from dscost.converting.exporting import for_inference
from dscost.converting.loading import Subject
from dscost.errors import InputError, first_line, some_of
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import device_of
from dscost.rewriting.kernels import are_close

INSTEAD = "--save cheaper.pt2 saves all of it"
"""What to do about a model that no code makes."""


def try_code(text: str, subject: Subject, module: nn.Module, path: Path) -> None:
    """Run code that is to make a converted model, as if it were in a file.

    Raises:
        InputError: It fails, or makes another model.
    """
    try:
        with subject.importing():
            names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path.resolve())}
            exec(compile(text, str(path), "exec"), names)
            made: nn.Module = names["make"]()
            reason = _why_another(made, module, subject)
    except Exception as error:
        if must_pass(error):
            raise
        reason = first_line(error)
    if reason is not None:
        raise InputError(f"code with these layers does not make this model: {reason}; {INSTEAD}")


def _why_another(made: nn.Module, module: nn.Module, subject: Subject) -> str | None:
    """Return in what a model that was made is not the converted one, once it has its weights."""
    wanted, found = (one.state_dict(keep_vars=True) for one in (module, made))
    different = sorted(wanted.keys() ^ found.keys())
    if different:
        return f"other weights: {some_of(different, 3)}"
    for what, of in {"other ties": _ties, "other weights": _kinds}.items():
        if of(wanted) != of(found):
            return what
    made.load_state_dict(module.state_dict())
    return None if _do_the_same(made, module, subject) else "it returns something else"


def _ties(state: Mapping[str, Tensor]) -> list[int]:
    """Return for each tensor the place of the first that is the same."""
    first: dict[int, int] = {}
    return [first.setdefault(id(state[name]), at) for at, name in enumerate(sorted(state))]


def _kinds(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        name: (one.shape, one.dtype, one.device, one.requires_grad, one.stride())
        for name, one in state.items()
        if isinstance(one, Tensor)
    }


def _do_the_same(made: nn.Module, module: nn.Module, subject: Subject) -> bool:
    here = subject.arguments.with_values(
        device=device_of(module), dtype=subject.dtype, memory_format="contiguous"
    )
    results = []
    for one in (made, module):
        with for_inference(one):
            torch.manual_seed(0)
            given = here.changed(lambda _, tensor: tensor.clone())
            results.append(tree_leaves(one(*given.args, **given.kwargs)))
    a, b = results
    return len(a) == len(b) and all(map(are_close, a, b))
