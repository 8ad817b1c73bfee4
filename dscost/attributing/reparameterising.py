"""A torch model whose modules know how they are fused → the model that is deployed.

RepVGG, MobileOne and their kin train several branches in place of one convolution, and put them
together by a method of the module, which has one of three names.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from dscost.errors import InputError
from dscost.foreign.failures import must_pass
from dscost.modules.copying import copied


def reparameterised(
    module: nn.Module, importing: Callable[[], AbstractContextManager[None]]
) -> nn.Module | None:
    """Return a copy of a model that is fused as `timm.utils.model.reparameterize_model` does it.

    Nothing where no module says how, or where it cannot be done without values.
    """
    if not any(_fuses(part) for part in module.modules()):
        return None
    try:
        with importing():
            copy, _ = copied(module, {})
            _fuse_children(copy.eval())
            return copy
    except InputError:
        return None
    except Exception as error:  # a model's own code may raise anything
        if must_pass(error):
            raise
        return None


def _fuses(module: nn.Module) -> bool:
    return any(callable(getattr(module, name, None)) for name in _BY_ITSELF) or _is_replaced(module)


_BY_ITSELF = ("reparameterize", "switch_to_deploy")


def _is_replaced(module: nn.Module) -> bool:
    """Whether what the module's `fuse` returns takes its place; some have one that does not."""
    return callable(getattr(module, "fuse", None))


def _fuse_children(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if _is_replaced(child):
            fuse: Any = child.fuse
            new = fuse()
            if isinstance(new, nn.Module):
                setattr(module, name, new)
        else:
            method = next((one for one in _BY_ITSELF if callable(getattr(child, one, None))), None)
            if method is not None:
                getattr(child, method)()
        _fuse_children(child)
