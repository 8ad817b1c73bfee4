"""What tells a function that scores from others, as far as that can be told: its code. No torch."""

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from dscost.sources.code_files import Named


def hash_of_file(named: Named) -> str:
    """Return what tells a file of code, and those beside it that it imports, from others."""
    path = Path(named.target.rpartition(":")[0]).resolve()
    with named.importing():
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    beside = {Path(file).resolve() for file in files if isinstance(file, str)}
    found = sha256(path.read_bytes())
    for other in sorted(one for one in beside if path.parent in one.parents and one != path):
        if other.suffix == path.suffix and other.is_file():
            found.update(other.read_bytes())
    return found.hexdigest()


def hash_of_function(function: Any) -> str | None:
    """Return what tells a function of Python from others: its code, and what it has been given."""
    bound = getattr(function, "__wrapped__", function)
    code = getattr(bound, "__code__", None) or getattr(type(bound).__call__, "__code__", None)
    if code is None:
        return None
    found = sha256()
    _add_code(code, found)
    cells = getattr(bound, "__closure__", None) or ()
    held = [_plain_cell(cell) for cell in cells]
    found.update(repr((held, getattr(bound, "__defaults__", None))).encode())
    return found.hexdigest()


def _add_code(code: Any, found: Any) -> None:
    found.update(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            _add_code(constant, found)
        else:
            found.update(repr(constant).encode())


def _plain_cell(cell: Any) -> Any:
    """Return what a closure holds, where its words tell it from others; else its type."""
    try:
        value = cell.cell_contents
    except ValueError:  # it is not filled yet
        return None
    return value if isinstance(value, int | float | str | bytes) else type(value).__name__
