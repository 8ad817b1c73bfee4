"""Converting: a module made depthwise-separable, its weights included, and the plan of which layers to convert."""
