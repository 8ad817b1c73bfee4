"""What devices can do at most: datasheets by name, and the roofline. No torch."""
