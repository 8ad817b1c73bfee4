"""What people write: numbers, units, shapes, values, YAML and JSON, read with their places. No torch."""
