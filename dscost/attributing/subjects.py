"""A target → what counts it anew, on other images and in other versions, as far as it can be."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

from dscost.analysis.targets import Request, found_source, with_arguments
from dscost.attributing.seen import AS_IS, Prospect, Seen, known
from dscost.conventions import Convention, functions_of
from dscost.errors import InputError, SpecError
from dscost.layers.convolution import Shape
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.reports.records import Report

if TYPE_CHECKING:
    from os import PathLike

    from torch import nn

    from dscost.analysis.counting import CountedModel
    from dscost.networks.architectures import Network
    from dscost.networks.network import Operation
    from dscost.sources import ArchitectureSource, GraphSource, ModuleSource
    from dscost.timing import Progress

OTHERS: Mapping[str, str] = {STANDARD: "made standard", SEPARABLE: "made depthwise-separable"}
"""Versions of a model, beside it as it is, in words."""


class Subject(Protocol):
    """A model that can be looked at."""

    most_resolutions: int
    """How many others are tried at most: to trace a model takes as long as to run it."""
    macs_off: float
    """How far its MACs on other images may be from `Seen.macs_on`, as a share."""
    limits: str
    """What cannot be asked of it, in a sentence; empty where all can."""

    @property
    def keeps_layers(self) -> bool:
        """Whether it has the same layers on images of all sizes, and as many parameters."""
        ...

    def as_is(self) -> Seen:
        """Return it as it stands, on its own input.

        Raises:
            InputError: It cannot be run on that.
        """
        ...

    def on_images(self, resolution: int) -> Prospect:
        """Return it as it stands, on square images of another size.

        Raises:
            InputError: It cannot be run on them.
        """
        ...

    def versions(self) -> Iterator[Prospect]:
        """Yield it made standard and made depthwise-separable, where that is not what it is."""
        ...

    def reparameterised(self) -> Seen | None:
        """Return it as it is deployed, where its modules say how they are fused."""
        ...


def subject_of(
    target: "str | PathLike[str] | nn.Module",
    request: Request,
    conventions: Sequence[Convention],
    progress: "Progress | None" = None,
) -> tuple[Subject, str]:
    """Return what a target stands for, to be looked at, and what it is called.

    Raises:
        InputError: The target, the input or a setting is wrong.
        UnavailableError: The target needs a library that is not installed.
    """
    from dscost.sources import ArchitectureSource, GraphSource, SavedSource

    source, name = found_source(target, request, progress=progress)
    if isinstance(source, SavedSource):
        if request.changes:
            given = ", ".join(f"--{'set' if one == 'settings' else one}" for one in request.changes)
            raise InputError(f"{name} is a saved report, counted already: {given} cannot change it")
        return _OfReport(source.report), name
    if isinstance(source, ArchitectureSource):
        return _OfArchitecture(source, request), name
    if isinstance(source, GraphSource):
        return _OfGraph(source, request, name), name
    return _OfModule(source, request, target, name, functions_of(conventions), progress), name


class _OfArchitecture:
    most_resolutions, limits = 100, ""
    macs_off = 0.06  # VGG16's, whose pooling rounds down, are 3.5 % fewer at 299 by 299

    def __init__(self, source: "ArchitectureSource", request: Request) -> None:
        self._source, self._request = source, request

    @cached_property
    def keeps_layers(self) -> bool:
        from dscost.networks.network import macs_on_input

        *sizes, height, width = self._network.input_shape
        try:
            macs_on_input(self._network.operations, (*sizes, 2 * height, 2 * width))
        except SpecError:  # a linear layer reads all positions
            return False
        return True

    def as_is(self) -> Seen:
        network = self._network
        return _of_operations(network.operations, network.input_shape)

    def on_images(self, resolution: int) -> Prospect:
        from dscost.networks.network import macs_on_input, on_input

        operations = self._network.operations
        shape = (*self._network.input_shape[:2], resolution, resolution)
        try:
            macs = macs_on_input(operations, shape)
        except SpecError:  # its last layer is as large as the images make it
            return _prospect(self._built(shape).operations, shape)
        return Prospect(
            macs,
            _params(operations),
            lambda: _of_operations(on_input(operations, shape), shape),
            keeps_layers=True,
        )

    @cached_property
    def _network(self) -> "Network":
        from dscost.analysis.targets import one_shape

        return self._built(one_shape(self._request.input, self._request.dtype))

    def _built(self, shape: Shape | None) -> "Network":
        from dscost.networks.architectures import build

        settings, batch = self._request.settings or {}, self._request.batch
        return build(self._source.architecture, overrides=settings, shape=shape, batch=batch)

    def versions(self) -> Iterator[Prospect]:
        from dscost.networks.swaps import find_swaps, with_variant

        operations, shape = self._network.operations, self._network.input_shape
        swaps = find_swaps(operations)
        for name, words in OTHERS.items() if swaps else ():
            yield _prospect(with_variant(operations, swaps, name), shape, (words,))

    def reparameterised(self) -> Seen | None:
        return None


def _prospect(
    operations: "Sequence[Operation]", shape: Shape, changes: tuple[str, ...] = ()
) -> Prospect:
    from dscost.networks.network import network_macs

    seen = cache(lambda: _of_operations(operations, shape)._replace(changes=changes))
    return Prospect(network_macs(operations), _params(operations), seen)


def _params(operations: "Sequence[Operation]") -> int:
    return sum(one.spec.params for one in operations)


def _of_operations(operations: "Sequence[Operation]", shape: Shape) -> Seen:
    from dscost.conventions.operations import repeating_calls
    from dscost.networks.network import network_cost

    cost, calls = network_cost(operations, 4), repeating_calls(operations)
    return Seen((shape,), cost.macs, cost.params, cost.activations, calls)


SIZE_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "torchvision": ("image_size",),
    "timm": ("img_size",),
    "python": ("image_size", "img_size"),
    "file": ("image_size", "img_size"),
}
"""What factories call the size of the images that they make a model for, by the kind of source."""


class _OfModule:
    most_resolutions, keeps_layers = 4, True
    macs_off = (
        0.3  # those of attention grow with the square of the area: ViT's by 27 % from 224 to 384
    )

    def __init__(
        self,
        source: "ModuleSource",
        request: Request,
        target: "str | PathLike[str] | nn.Module",
        name: str,
        functions: frozenset[str],
        progress: "Progress | None",
    ) -> None:
        self._source, self._request, self._name = source, request, name
        self._target, self._keywords = target, SIZE_KEYWORDS.get(source.kind, ())
        self._is_made_anew = False
        self._functions, self._progress = functions, progress
        self.limits = ""
        if source.kind == "export":
            from dscost.conventions.exported import EXPORT_NOTE

            self.limits = EXPORT_NOTE

    def as_is(self) -> Seen:
        return self._own

    def on_images(self, resolution: int) -> Prospect:
        return known(self._on_images(resolution))

    def _on_images(self, resolution: int) -> Seen:
        (own,) = self._own.inputs
        request = self._request._replace(input=(*own[:2], resolution, resolution))
        try:
            if not self._is_made_anew:
                return _of_counted(self._count(self._source, request), AS_IS)
        except InputError:
            found = self._made_for(resolution, request)
            if found is None:
                self.limits = _ONE_SIZE + (_SAID_BY if self._source.kind in SIZE_KEYWORDS else ".")
                raise
        else:
            found = self._made_for(resolution, request)
            if found is None:
                raise InputError(f"{self._name} cannot be made for images of {resolution}")
        self._is_made_anew = True
        return found

    def _made_for(self, resolution: int, request: Request) -> Seen | None:
        """Return it as its factory makes it for images of a size, if that can be said to it."""
        from dscost.sources import ModuleSource

        for keyword in self._keywords:
            kwargs = {**(request.kwargs or {}), keyword: resolution}
            try:
                source, _ = found_source(self._target, request._replace(kwargs=kwargs))
                if isinstance(source, ModuleSource):
                    found = _of_counted(self._count(source, request), AS_IS)
                    self._keywords = (keyword,)
                    return found
            except InputError:  # it has no such argument, or cannot be of that size
                continue
        return None

    def versions(self) -> Iterator[Prospect]:
        yield from _other_versions(self._counted)

    def reparameterised(self) -> Seen | None:
        return self._deployed

    @cached_property
    def _deployed(self) -> Seen | None:
        from dscost.attributing.reparameterising import reparameterised

        module = reparameterised(self._source)
        if module is None:
            return None
        source = self._source._replace(module=module, make_real=None)
        try:
            found = _of_counted(self._count(source, self._request), AS_IS)
        except InputError:  # what fuses itself need not run without values
            return None
        own = self._own
        if (found.macs, found.params) == (own.macs, own.params):
            return None
        return found._replace(changes=("reparameterised",))

    @cached_property
    def _own(self) -> Seen:
        return _of_counted(self._counted, AS_IS)

    @cached_property
    def _counted(self) -> "CountedModel":
        return self._count(self._source, self._request)

    def _count(self, source: "ModuleSource", request: Request) -> "CountedModel":
        from dscost.analysis.traced import analyze_module

        module, arguments = with_arguments(source, self._name, request)
        if self._progress:
            shapes = " and ".join("×".join(map(str, one.shape)) for one in arguments.tensors)
            self._progress(None, f"tracing {self._name} at {shapes}")
        return analyze_module(module, arguments, target=self._name, functions=self._functions)


_ONE_SIZE = "It does not take images of all sizes: not all could be tried"
_SAID_BY = "; where its factory takes the size, say it there: --kwargs image_size=384."


class _OfGraph:
    most_resolutions, macs_off, keeps_layers = 0, 0.0, True

    def __init__(self, source: "GraphSource", request: Request, name: str) -> None:
        from dscost.analysis.graphs import STANDING_NOTE, count_graph, unknown_to_others

        self._counted = count_graph(source, request, target=name, strict=False, train=False)
        versions: Any = self._counted.versions
        unknown = unknown_to_others(versions.trace)
        self._beyond = f"No convention of others was tried: {unknown}." if unknown else ""
        self.limits = "" if unknown else STANDING_NOTE

    def as_is(self) -> Seen:
        return self._own

    def on_images(self, resolution: int) -> Prospect:
        raise InputError(_ONE_INPUT)

    @cached_property
    def _own(self) -> Seen:
        return _of_counted(self._counted, AS_IS)._replace(beyond=self._beyond)

    def versions(self) -> Iterator[Prospect]:
        yield from _other_versions(self._counted)

    def reparameterised(self) -> Seen | None:
        return None


class _OfReport:
    most_resolutions, macs_off, keeps_layers = 0, 0.0, True
    limits = (
        "Of a saved report only the figures that it has are known: what was not counted is not."
    )

    def __init__(self, report: Report) -> None:
        self._report = report

    def as_is(self) -> Seen:
        return _of_report(self._report, AS_IS)

    def on_images(self, resolution: int) -> Prospect:
        raise InputError(_ONE_INPUT)

    def versions(self) -> Iterator[Prospect]:
        yield from _other_totals(self._report)

    def reparameterised(self) -> Seen | None:
        return None


_ONE_INPUT = "it was counted on its own input, and has no figure on another"


def _other_versions(counted: "CountedModel") -> Iterator[Prospect]:
    for name, words in OTHERS.items():
        yield known(_of_counted(counted, name)._replace(changes=(words,)))


def _other_totals(report: Report) -> Iterator[Prospect]:
    for name, words in OTHERS.items():
        yield known(_of_report(report, name)._replace(changes=(words,)))


def _of_report(report: Report, version: str) -> Seen:
    cost = getattr(report.totals, version)
    saved = {key: found[version] for key, found in report.by_convention.items() if version in found}
    return Seen(
        tuple(one.shape for one in report.inputs),
        cost.macs,
        cost.params,
        cost.activations,
        None,
        saved,
        unknown=tuple(report.coverage.unknown),
        conventions=report.conventions,
    )


def _of_counted(counted: "CountedModel", version: str) -> Seen:
    found = _of_report(counted.report, version)
    versions: Any = counted.versions
    if not hasattr(versions, "calls"):
        return found
    return found._replace(calls=list(versions.calls(version, counted.swaps)))
