"""Networks as data: architectures in YAML, their operations, and what can be swapped. No torch."""
