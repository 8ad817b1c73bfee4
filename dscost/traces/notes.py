"""Sentences about how something in a network was counted, the same of torch and of ONNX."""

FOURIER_NOTE = "Fourier transforms count no MACs, by convention."
QUANTIZED_NOTE = (
    "Quantised layers are counted as they are; standard or depthwise-separable versions of them "
    "are not worked out."
)
