"""A torch model whose modules know how they are fused → the model that is deployed.

RepVGG, MobileOne and their kin train several branches in place of one convolution, and put them
together by a method of the module, which has one of three names.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dscost.errors import InputError
from dscost.foreign.failures import must_pass
from dscost.modules.copying import copied

if TYPE_CHECKING:
    from dscost.sources import ModuleSource

_BY_ITSELF = ("reparameterize", "switch_to_deploy")
"""Methods that change a module; `fuse` returns another in its place."""


def reparameterised(source: "ModuleSource") -> nn.Module | None:
    """Return a copy of a model that is fused as `timm.utils.model.reparameterize_model` does it.

    It is fused on the meta device, or with values where its code looks at them. Nothing where no
    module says how, or where it cannot be done.
    """
    if not any(map(_fuses, source.module.modules())):
        return None
    return _fused(source, on_meta=True) or _fused(source, on_meta=False)


def _fused(source: "ModuleSource", *, on_meta: bool) -> nn.Module | None:
    try:
        with source.importing(), torch.no_grad():
            if on_meta:
                with torch.device("meta"):
                    return _with_fused_children(copied(source.module, {})[0].to("meta"))
            if source.make_real is not None:
                return _with_fused_children(source.make_real())
            return _with_fused_children(copied(source.module, {})[0])
    except InputError:
        return None
    except Exception as error:  # a model's own code may raise anything
        if must_pass(error):
            raise
        return None


def _fuses(module: nn.Module) -> bool:
    return any(callable(getattr(module, name, None)) for name in ("fuse", *_BY_ITSELF))


def _with_fused_children(module: nn.Module) -> nn.Module:
    module.eval()
    for name, child in list(module.named_children()):
        fuse: Any = getattr(child, "fuse", None)
        if callable(fuse):
            new = fuse()
            if isinstance(new, nn.Module):
                setattr(module, name, new)
                child = new
        else:
            method = next((one for one in _BY_ITSELF if callable(getattr(child, one, None))), None)
            if method is not None:
                getattr(child, method)()
        _with_fused_children(child)
    return module
