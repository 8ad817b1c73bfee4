"""Whose number is that: a figure that is stated of a model → the ways of counting that give it.

`searching.which` counts a model in every way that people count, first as it stands, and keeps what
rounds to the figure.
"""
