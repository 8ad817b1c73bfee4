"""Formats that are found by themselves: each module here registers one.

They are loaded when a format is asked for that is not among the four most common ones, and when
all are to be named.
"""

from importlib import import_module
from pkgutil import iter_modules

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")
