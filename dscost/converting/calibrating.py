"""Weights of depthwise-separable layers fitted to what the layers see, not to their kernels alone.

What a layer sees is far from white: neighbouring pixels are alike, some channels are dead. So
distance is measured in the outputs. The filters of an input channel come of the singular value
decomposition of its matrix weighed by the second moments of its patches (`Decomposition`), which
takes the channels for uncorrelated; mixing weights then are those of least squares over all
channels of a group at once. The filters of the plain decomposition, their mixing weights fitted
in the same way, are tried as well, and the better of both is taken, so that no layer is worse on
the calibration inputs than it would be without them.

Inputs of a layer are those that it has in the model as given, every other layer untouched.
Everything is summed up in float64 on the CPU, in two passes over the inputs; a bias has no part in
it.

Source:
    He et al. 2019, Depth-wise Decomposition for Accelerating Separable Convolutions
    (arXiv:1910.09455).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dscost.converting.decomposing import Decomposition, Factors
from dscost.converting.sites import Key, Site
from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import device_of, set_training
from dscost.modules.copying import copied
from dscost.rewriting.convolutions import Kernel
from dscost.tracing import Arguments

CHUNK = 1 << 22
"""Numbers of patches that are held at a time."""

RIDGE = 1e-9
"""Share of the mean second moment that is added to all of them, for data that leaves directions
out."""

_CONVS: Mapping[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def calibrate(
    root: nn.Module, sharing: Mapping[Key, Sequence[Site]], batches: Sequence[Arguments]
) -> dict[Key, Factors]:
    """Return fitted weights of every kernel whose layers saw anything but zeros on the batches.

    Their error is that of the outputs, relative to their norm, bias left out. A copy of the model
    runs, in the mode of inference.

    Raises:
        InputError: It cannot be run on them; or a layer sees what is not finite.
    """
    running, memo = copied(root, {})
    set_training(running, False)
    sites = [site for same in sharing.values() for site in same]
    seen = {memo[id(site.module)]: site for site in sites}
    moments = {key: _Moments(same[0].kernel) for key, same in sharing.items()}
    _run(running, seen, batches, lambda site, x: moments[site.key].add(x, site.kernel))
    rivals: dict[Key, list[_Fit]] = {}
    weights: dict[Key, Tensor] = {}
    for key, (site, *_) in sharing.items():
        kernel, seen_by = site.kernel, moments.pop(key)
        if not seen_by.are_finite:
            wrong = "NaN, infinite or too large to calibrate on"
            raise InputError(f"'{site.name}' sees values on the inputs that are {wrong}")
        weighed = Decomposition(kernel.weight, kernel.conv.groups, seen_by.normalised())
        rivals[key] = [_Fit(kernel, start) for start in (site.factors(), site.factors(weighed))]
        weights[key] = kernel.weight.detach().to("cpu", torch.float64)

    def fit(site: Site, x: Tensor) -> None:
        kernel, weight = site.kernel, weights[site.key]
        conv = kernel.conv
        convolve = _CONVS[len(conv.kernel_size)]
        y = convolve(x, weight, stride=conv.stride, dilation=conv.dilation, groups=conv.groups)
        for rival in rivals[site.key]:
            rival.add(x, y, kernel)

    _run(running, seen, batches, fit)
    return {
        key: min((fit.result() for fit in fits), key=lambda result: result.error)
        for key, fits in rivals.items()
        if fits[0].energy
    }


def _run(
    running: nn.Module,
    seen: Mapping[nn.Module, Site],
    batches: Sequence[Arguments],
    look: Callable[[Site, Tensor], None],
) -> None:
    """Run a model and look at the padded input of every call of some modules, image by image."""

    def hook(
        module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        site = seen[module]
        kernel = site.kernel
        x: Tensor = next(iter((*args, *kwargs.values())))
        x = x if x.dim() == kernel.weight.dim() else x.unsqueeze(0)
        padded = kernel.padded(x.detach().to("cpu", torch.float64))
        for at in range(len(padded)):
            look(site, padded[at : at + 1])

    handles = [module.register_forward_hook(hook, with_kwargs=True) for module in seen]
    try:
        with torch.no_grad():
            for batch in batches:
                given = batch.on(device_of(running))
                running(*given.args, **given.kwargs)
    except (Exception, SystemExit) as error:
        if must_pass(error):
            raise
        name = type(running).__name__
        raise InputError(f"{name} cannot be run to calibrate it: {first_line(error)}") from error
    finally:
        for handle in handles:
            handle.remove()


class _Moments:
    """Second moments of the patches of every input channel, summed up."""

    def __init__(self, kernel: Kernel) -> None:
        area = kernel.conv.kernel_area
        shape = (kernel.conv.in_channels, area, area)
        self._sums = torch.zeros(shape, dtype=torch.float64, device="cpu")

    def add(self, image: Tensor, kernel: Kernel) -> None:
        """Take in a padded image `(1, M, H, W)`."""
        for channels, patches in _patches(image, kernel):
            self._sums[channels] += patches @ patches.mT

    @property
    def are_finite(self) -> bool:
        """Whether all that was taken in is finite, and so are its squares."""
        return bool(self._sums.isfinite().all())

    def normalised(self) -> Tensor:
        """Return the moments `(M, Kh·Kw, Kh·Kw)`, of mean 1 on each diagonal; positive definite."""
        area = self._sums.shape[-1]
        mean = self._sums.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        eye = torch.eye(area, dtype=torch.float64, device="cpu")
        scaled = torch.where(mean > 0, self._sums / mean, eye)
        return scaled + 1e-6 * eye


def _patches(image: Tensor, kernel: Kernel) -> Iterator[tuple[slice, Tensor]]:
    """Yield ranges of channels, and their patches, `(channels, Kh·Kw, positions)`."""
    conv = kernel.conv
    channel_step, *steps = image.stride()[1:]
    windows = zip(image.shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
    positions = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in windows]
    along_taps = [step * d for step, d in zip(steps, conv.dilation, strict=True)]
    along_map = [step * s for step, s in zip(steps, conv.stride, strict=True)]
    view = image[0].as_strided(
        (conv.in_channels, *conv.kernel_size, *positions),
        (channel_step, *along_taps, *along_map),
        image.storage_offset(),
    )
    at_a_time = max(1, CHUNK // (prod(positions) * conv.kernel_area))
    for start in range(0, conv.in_channels, at_a_time):
        channels = slice(start, start + at_a_time)
        yield channels, view[channels].reshape(-1, conv.kernel_area, prod(positions))


class _Fit:
    """Filters with mixing weights to start from, and the sums that tell how the weights should be.

    With Z the outputs of the filters and R what the starting weights leave of the layer's output Y,
    the correction of least squares is `E[R Zᵀ] · E[Z Zᵀ]⁻¹`, per group.
    """

    def __init__(self, kernel: Kernel, parts: Factors) -> None:
        conv, self._parts = kernel.conv, parts
        self._filters = parts.depthwise.reshape(conv.in_channels, -1, conv.kernel_area)
        self._mixing = parts.pointwise.reshape(conv.groups, conv.out_channels // conv.groups, -1)
        filters = self._mixing.shape[2]
        self._rz = torch.zeros_like(self._mixing)
        self._zz = torch.zeros(conv.groups, filters, filters, dtype=torch.float64, device="cpu")
        self._rr = self.energy = 0.0

    def add(self, image: Tensor, y: Tensor, kernel: Kernel) -> None:
        """Take in a padded image `(1, M, H, W)`, and what comes of it, `(1, N, H', W')`."""
        # of patches: torch's depthwise convolution in float64 takes ten times as long
        found = [self._filters[channels] @ patches for channels, patches in _patches(image, kernel)]
        z = torch.cat(found).reshape(*self._zz.shape[:2], -1)
        r = y.reshape(*self._mixing.shape[:2], -1) - self._mixing @ z
        self.energy += float(y.square().sum())
        self._rr += float(r.square().sum())
        self._rz += r @ z.mT
        self._zz += z @ z.mT

    def result(self) -> Factors:
        """Return the weights with the correction, and the error that is left."""
        filters = self._zz.shape[-1]
        mean = self._zz.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        eye = torch.eye(filters, dtype=torch.float64, device="cpu")
        ridge = torch.where(mean > 0, RIDGE * mean, 1.0) * eye
        correction = torch.linalg.solve(self._zz + ridge, self._rz.mT).mT
        gained = 2 * (correction * self._rz).sum() - ((correction @ self._zz) * correction).sum()
        error = sqrt(max(0.0, self._rr - float(gained)) / self.energy) if self.energy else 0.0
        mixing = self._parts.pointwise + correction.reshape(self._parts.pointwise.shape)
        return self._parts._replace(pointwise=mixing, error=error)
