"""Networks as data: architectures in YAML, their operations, and both directions of the trade. No torch."""
