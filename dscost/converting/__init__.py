"""Converting: a module made depthwise-separable, weights included, by a plan of what to convert."""
