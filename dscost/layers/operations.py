"""What layers compute, in the words of a report."""

OPERATIONS = (
    *("activation", "add", "attention", "concatenation", "convolution", "copy", "elementwise"),
    *("embedding", "global_pooling", "identity", "idle", "linear", "matmul", "multiply"),
    *("normalization", "other", "pooling", "recurrent", "transposed_convolution", "view"),
)
"""All of them; a selector of a budget may name each as `op:…`."""

LAYERS = ("convolution", "linear", "transposed_convolution")
"""Those that write what the figure `activations` counts."""
