"""Sweeps: many layers, or models, each counted and timed, into one table and what it says."""
