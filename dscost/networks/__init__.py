"""Networks as data: architectures in YAML, their operations, and the trade. No torch."""
