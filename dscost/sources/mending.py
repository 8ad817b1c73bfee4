"""A torchvision whose compiled operators do not fit this torch, imported all the same.

What imports code of users imports this too, and may do without torch: it is imported when needed.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dscost.errors import UnavailableError, first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

NOTE = (
    "This torchvision was built for another torch: dscost replaces its compiled operators. "
    "Counts are right, except that a detector keeps every proposal."
)

_library: list[Any] = []
"""The definitions of the operators live as long as this."""


def is_stood_in() -> bool:
    """Whether operators of torchvision are replaced."""
    return bool(_library)


def notes_on(model: "nn.Module") -> tuple[str, ...]:
    """Return what a reader must know where parts of a model are of such a torchvision."""
    from dscost.foreign.parts import each_part

    for part in each_part(model) if is_stood_in() else ():
        if type(part).__module__.startswith("torchvision."):
            return (NOTE,)
    return ()


@contextmanager
def torchvision_mended() -> Iterator[None]:
    """Make importing torchvision succeed where only its compiled operators are missing."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def import_torchvision() -> None:
    """Import torchvision, also one whose operators do not fit; else raise `UnavailableError`."""
    try:
        with torchvision_mended():
            importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise UnavailableError("torchvision is not installed: pip install 'dscost[zoo]'") from error
    except (ImportError, RuntimeError) as error:
        raise UnavailableError(f"torchvision cannot be imported: {first_line(error)}") from error


class _Finder(MetaPathFinder):
    """Finds torchvision as everybody does, with another loader."""

    def __init__(self) -> None:
        self._is_asked = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchvision" or self._is_asked:
            return None
        self._is_asked = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._is_asked = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Runs a torchvision as its own loader does, and again with stand-ins if operators are missing.

    Such a torchvision fails on import. The names of the operators are enough for architectures;
    `nms` is given a stand-in that keeps every box, in the order of their scores, and `roi_align`
    one that gives features of the right shape.
    """

    def __init__(self, own: Any) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._own.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        try:
            self._own.exec_module(module)
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            for name in [name for name in sys.modules if name.startswith("torchvision.")]:
                del sys.modules[name]
            _define_operators()
            self._own.exec_module(module)
        if is_stood_in():
            extension: Any = importlib.import_module("torchvision.extension")
            align: Any = importlib.import_module("torchvision.ops.roi_align")
            loaded: Any = sys.modules[align.__name__]
            extension._has_ops = loaded._has_ops = lambda: True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)  # files that lie in the package are read by its own loader


def _define_operators() -> None:
    if is_stood_in():
        return
    import torch

    make_library: Any = torch.library.Library  # it has no types
    library = make_library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, "
        "SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor"
    )
    library.impl("roi_align", _no_features, "CPU")
    library.impl("nms", lambda dets, scores, iou_threshold: scores.argsort(descending=True), "CPU")
    _library.append(library)


def _no_features(
    input: "Tensor", rois: "Tensor", scale: float, height: int, width: int, *_: Any
) -> "Tensor":
    return input.new_zeros(rois.shape[0], input.shape[1], height, width)
