"""What tells a function that scores from others, as far as that can be told: its code. No torch."""

import sys
from dis import get_instructions
from hashlib import sha256
from pathlib import Path
from typing import Any

from dscost.sources.code_files import Named


def hash_of_file(named: Named) -> str:
    """Return what tells a file of code, and those beside it that it imports, from others."""
    path = Path(named.target.rpartition(":")[0]).resolve()
    with named.importing():
        loaded = dict(sys.modules)
    files = {getattr(one, "__file__", None) for name, one in loaded.items() if not _is_ours(name)}
    beside = {Path(file).resolve() for file in files if isinstance(file, str)}
    found = sha256(path.read_bytes())
    for other in sorted(one for one in beside if _is_beside(one, path)):
        found.update(other.read_bytes())
    return found.hexdigest()


def _is_ours(module: str) -> bool:
    """Whether a module is one of dscost: which are loaded by now differs, and a version tells."""
    return module.partition(".")[0] == "dscost"


def _is_beside(other: Path, path: Path) -> bool:
    """Whether a file of code is somebody's own, not of an environment that lies there too."""
    is_installed = not _INSTALLED.isdisjoint(other.parts)
    is_code = other.suffix == path.suffix and other.is_file()
    return is_code and not is_installed and other != path and path.parent in other.parents


_INSTALLED = {"site-packages", "dist-packages"}


def hash_of_function(function: Any) -> str | None:
    """Return what tells a function of Python from others: its code, and what it has been given."""
    bound = getattr(function, "__wrapped__", function)
    code = getattr(bound, "__code__", None) or getattr(type(bound).__call__, "__code__", None)
    if code is None:
        return None
    found = sha256()
    _add_code(code, found)
    cells = zip(code.co_freevars, getattr(bound, "__closure__", None) or (), strict=False)
    # what it counts for itself is another after every call
    counted = {one.argval for one in get_instructions(code) if one.opname == "STORE_DEREF"}
    held = [_told(_content(cell)) for name, cell in cells if name not in counted]
    defaults = [_told(one) for one in getattr(bound, "__defaults__", None) or ()]
    found.update(repr((held, defaults)).encode())
    return found.hexdigest()


def _add_code(code: Any, found: Any) -> None:
    found.update(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            _add_code(constant, found)
        else:
            found.update(_told(constant).encode())


def _content(cell: Any) -> Any:
    """Return what a cell of a closure holds, nothing where it is not filled yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _told(value: Any) -> str:
    """Return words that are the same in every process; of what has none of its own, its type."""
    if isinstance(value, frozenset):  # its order differs from process to process
        return repr(sorted(map(_told, value)))
    if isinstance(value, tuple):  # a list is what may change from call to call
        return repr([_told(one) for one in value])
    is_plain = value is None or isinstance(value, int | float | complex | str | bytes)
    return repr(value) if is_plain or value is Ellipsis else type(value).__name__
