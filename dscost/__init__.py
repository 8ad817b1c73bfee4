"""What a convolution costs: on paper and on your machine, as it is and depthwise-separable.

>>> import dscost
>>> report = dscost.layer(in_channels=256, out_channels=256, kernel_size=3)
>>> report.totals.depthwise_separable.params
67840

Names load when they are used, so importing dscost costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dscost.analysis import analyze, device, layer
    from dscost.analysis.verification import Verification
    from dscost.analysis.verifying import verify
    from dscost.analysis.verifying_against import PeerVerification
    from dscost.attributing.records import Attribution
    from dscost.attributing.searching import which
    from dscost.budgets.checking import check
    from dscost.budgets.findings import CheckResult, CheckResults
    from dscost.budgets.keeping import baseline, save_baseline, update_baseline
    from dscost.comparing.differences import Comparison
    from dscost.comparing.targets import compare
    from dscost.conventions.known import register_convention
    from dscost.converting.convert import conversion, convert
    from dscost.converting.planning import plan, sensitivity
    from dscost.converting.results import Conversion
    from dscost.converting.writing import export_onnx
    from dscost.errors import DscostError
    from dscost.layers.convolution import ConvSpec, conv2d
    from dscost.layers.variants import register_variant
    from dscost.rendering import register_renderer
    from dscost.rendering.picturing import Drawing
    from dscost.reports.records import Report
    from dscost.runtimes import register_runtime
    from dscost.sweeping.records import Sweep
    from dscost.sweeping.sweep import sweep
    from dscost.traces.rules import register_formula
    from dscost.version import __version__

__all__ = [
    "Attribution",
    "CheckResult",
    "CheckResults",
    "Comparison",
    "ConvSpec",
    "Conversion",
    "Drawing",
    "DscostError",
    "PeerVerification",
    "Report",
    "Sweep",
    "Verification",
    "__version__",
    "analyze",
    "baseline",
    "check",
    "compare",
    "conv2d",
    "conversion",
    "convert",
    "device",
    "export_onnx",
    "layer",
    "plan",
    "register_convention",
    "register_formula",
    "register_renderer",
    "register_runtime",
    "register_variant",
    "save_baseline",
    "sensitivity",
    "sweep",
    "update_baseline",
    "verify",
    "which",
]
"""What is stable, with what `dscost.nn`, `dscost.pages` and `dscost.specs` have in their `__all__`.

Everything else may be another tomorrow; `dscost.specs` is kept for one release.
"""

_HOMES = {
    "__version__": "dscost.version",
    "Attribution": "dscost.attributing.records",
    "CheckResult": "dscost.budgets.findings",
    "CheckResults": "dscost.budgets.findings",
    "Comparison": "dscost.comparing.differences",
    "ConvSpec": "dscost.layers.convolution",
    "Conversion": "dscost.converting.results",
    "Drawing": "dscost.rendering.picturing",
    "DscostError": "dscost.errors",
    "PeerVerification": "dscost.analysis.verifying_against",
    "Report": "dscost.reports.records",
    "Sweep": "dscost.sweeping.records",
    "Verification": "dscost.analysis.verification",
    "analyze": "dscost.analysis",
    "baseline": "dscost.budgets.keeping",
    "check": "dscost.budgets.checking",
    "compare": "dscost.comparing.targets",
    "conv2d": "dscost.layers.convolution",
    "conversion": "dscost.converting.convert",
    "convert": "dscost.converting.convert",
    "device": "dscost.analysis",
    "export_onnx": "dscost.converting.writing",
    "layer": "dscost.analysis",
    "plan": "dscost.converting.planning",
    "register_convention": "dscost.conventions.known",
    "register_formula": "dscost.traces.rules",
    "register_renderer": "dscost.rendering",
    "register_runtime": "dscost.runtimes",
    "register_variant": "dscost.layers.variants",
    "save_baseline": "dscost.budgets.keeping",
    "sensitivity": "dscost.converting.planning",
    "sweep": "dscost.sweeping.sweep",
    "update_baseline": "dscost.budgets.keeping",
    "verify": "dscost.analysis.verifying",
    "which": "dscost.attributing.searching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dscost' has no attribute '{name}'")
    from importlib import import_module
    from types import FunctionType

    from dscost.errors import needing_torch
    from dscost.signatures import naming_arguments

    with needing_torch(before=f"dscost.{name}: "):
        found = getattr(import_module(_HOMES[name]), name)
    if isinstance(found, FunctionType):
        found = naming_arguments(found)
    globals()[name] = found  # it is asked for here once, and stays the same
    return found


def __dir__() -> list[str]:
    return __all__
