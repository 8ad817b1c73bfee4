"""Operators whose cost shapes do not tell, and those that run graphs."""

from dscost.traces.rules import named

UNKNOWN = frozenset(
    (
        # determinants, inverses and gradients are made of products that depend on how they are
        # computed
        "ai.onnx::Det",
        "com.microsoft::Inverse",
        "ai.onnx.preview.training::Gradient",
        # kernels of support vectors: the kind decides
        *named("ai.onnx.ml", "SVMClassifier SVMRegressor"),
    )
)
"""Operators that are decided to be unknown; one that has no rule at all is unknown too."""

RUNNING = frozenset(named("ai.onnx", "If Loop Scan SequenceMap"))
"""Operators that run graphs, which are counted as what is in them."""
