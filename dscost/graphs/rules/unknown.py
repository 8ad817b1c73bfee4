"""Operators whose cost shapes do not tell."""

from dscost.graphs.nodes import MICROSOFT
from dscost.traces.rules import named

UNKNOWN = frozenset(
    (
        # determinants, inverses and gradients are made of products that depend on how they are
        # computed
        "ai.onnx::Det",
        f"{MICROSOFT}::Inverse",
        "ai.onnx.preview.training::Gradient",
        # kernels of support vectors: the kind decides
        *named("ai.onnx.ml", "SVMClassifier SVMRegressor"),
    )
)
"""Operators that are decided to be unknown; one that has no rule at all is unknown too."""
