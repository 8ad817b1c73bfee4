"""What people write: numbers, units, shapes, values, YAML and JSON, read with places. No torch."""
