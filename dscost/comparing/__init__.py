"""What differs between models: of the whole, and layer by layer."""
