"""Decided sites → the same model with depthwise-separable convolutions, weights included."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from dscost.converting.calibrating import calibrate
from dscost.converting.decomposing import Factors, as_array
from dscost.converting.outcomes import layer_outcome
from dscost.converting.rehearsing import doing_the_same
from dscost.converting.reproducing import require_reproduced
from dscost.converting.results import Conversion, ErrorOf
from dscost.converting.sites import Key, Site
from dscost.foreign.parts import dtype_name
from dscost.foreign.randomness import own_random_numbers
from dscost.layers.orders import DEPTHWISE_FIRST
from dscost.modules.copying import shared_tensors
from dscost.rewriting.convolutions import Kernel, layout_of
from dscost.rewriting.replacing import in_place_of, with_others
from dscost.tracing import Arguments


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the caller's random numbers, modes of operators and inference mode out of it."""
    with _disable_current_modes(), own_random_numbers(), torch.inference_mode(False):
        yield


def applied(
    root: nn.Module,
    sites: Sequence[Site],
    *,
    tried: Arguments | None,
    batches: Sequence[Arguments] = (),
    method: str = "svd",
    keeps_tensors: bool = False,
) -> Conversion:
    """Return a copy of a model with depthwise-separable convolutions at the sites with a form.

    Args:
        root: Left as it is.
        sites: Its convolutions, with what becomes of each.
        tried: Arguments of its forward, to see that the copy will do the same; none if unknown.
        batches: Arguments with values, to fit weights to.
        method: `svd` or `random`.
        keeps_tensors: Whether the copy has the very tensors of what stays: nobody else trains them.

    Raises:
        InputError: The weights do not fit into the dtype, or a layer cannot be converted.
    """
    sites = doing_the_same(root, sites, tried)
    due = [site for site in sites if site.form is not None]
    fitted = _fitted(root, due, batches) if method == "svd" else {}
    converted, _ = replaced(root, sites, fitted, keeps_tensors=keeps_tensors)
    layers = []
    for site in sites:
        factors, error_of = _RANDOM if site.form is None else fitted.get(site.key, _RANDOM)
        layers.append(layer_outcome(site, None if factors is None else factors.error, error_of))
    return Conversion(converted, method, tuple(layers))


_Fitted = tuple[Factors | None, ErrorOf | None]
"""Weights for a convolution, and what their error is of."""
_RANDOM: _Fitted = (None, None)


def replaced(
    root: nn.Module,
    sites: Sequence[Site],
    fitted: "Mapping[Key, _Fitted] | None" = None,
    *,
    keeps_tensors: bool = False,
) -> tuple[nn.Module, dict[Any, nn.Module]]:
    """Return a copy of a model with others in place of the convolutions that have a form.

    Whether it then does the same is not looked at. Beside it come the new modules by the old ones.

    Args:
        root: Left as it is.
        sites: Its convolutions, with what becomes of each.
        fitted: Their weights, random where they are missing; by default the nearest ones.
        keeps_tensors: As of `applied`.
    """
    due = [site for site in sites if site.form is not None]
    fitted = _fitted(root, due, ()) if fitted is None else fitted
    maker = _Maker()
    new: dict[Any, nn.Module] = {}
    for site in due:
        factors, _ = fitted.get(site.key, _RANDOM)
        new[site.module] = maker.replacement(site, factors)
        if factors is not None:
            _require_reproduced(site, new[site.module])
    kept = shared_tensors(root) if keeps_tensors else {}
    converted, _ = with_others(root, new, {**kept, **maker.biases})
    return converted, new


def _require_reproduced(site: Site, new: Any) -> None:
    is_full = site.is_full
    kernel, made = site.kernel.weight.detach(), new.weight.detach()
    # no square of these is too large
    if not is_full and kernel.dtype != torch.float64 and made.sum().isfinite():
        return
    dtype = dtype_name(kernel.dtype)
    require_reproduced(site.name, as_array(kernel), as_array(made), dtype, is_full=is_full)


def _fitted(
    root: nn.Module, due: Sequence[Site], batches: Sequence[Arguments]
) -> dict[Key, _Fitted]:
    """Return the weights of every layer, each set once."""
    for site in due:
        site.require_values(": method='random' needs none")
    found: dict[Key, _Fitted] = {}
    partial: dict[Key, list[Site]] = {}
    for site in due:
        form = site.form
        if batches and form and form.order == DEPTHWISE_FIRST and not site.is_full:
            partial.setdefault(site.key, []).append(site)
        if site.key not in found:
            found[site.key] = site.factors(), "kernel"
    if partial:
        calibrated = calibrate(root, partial, batches)
        found |= {key: (factors, "output") for key, factors in calibrated.items()}
    return found


# -- making it


class _Maker:
    """Makes what takes the place of convolutions; parameters that these share are shared again."""

    def __init__(self) -> None:
        self._weights: dict[Key, tuple[nn.Parameter, nn.Parameter]] = {}
        self.biases: dict[Tensor, Tensor] = {}
        """New biases by old ones."""

    def replacement(self, site: Site, factors: Factors | None) -> nn.Module:
        """Return the depthwise-separable convolution of a site, of given weights or random ones."""
        old, kernel, form = site.module, site.kernel, site.form
        assert old is not None
        assert form is not None
        new, separable = in_place_of(old, kernel, form, device="meta")
        first, last = separable.stages
        if site.key not in self._weights:
            self._weights[site.key] = _weights(separable, old, kernel, factors)
        first.weight, last.weight = self._weights[site.key]
        if kernel.bias is not None:
            last.bias = self._bias(kernel.bias, kernel.trains_bias)
        return new

    def _bias(self, old: Tensor, trains: bool) -> Tensor:
        made = nn.Parameter(old.detach().clone(), trains)
        return self.biases.setdefault(old, made) if isinstance(old, nn.Parameter) else made


def _weights(
    separable: Any, old: Any, kernel: Kernel, factors: Factors | None
) -> tuple[nn.Parameter, nn.Parameter]:
    """Return the weights of both stages, where and how the one is that they stand for.

    Random ones keep the scale of their input, those of the second stage that of a ReLU's.
    """
    weight, layout = kernel.weight, layout_of(old) or torch.contiguous_format
    if factors is None:
        place: Any = {"dtype": torch.float32, "device": "meta" if weight.is_meta else "cpu"}
        first, last = (torch.empty(one.weight.shape, **place) for one in separable.stages)
        nn.init.kaiming_normal_(first, nonlinearity="linear")
        nn.init.kaiming_normal_(last, nonlinearity="relu")
    else:
        first, last = factors.in_order

    def made(one: Tensor) -> nn.Parameter:
        placed = one.to(weight.device, weight.dtype).clone(memory_format=layout)
        return nn.Parameter(placed, kernel.trains_weight)

    return made(first), made(last)
