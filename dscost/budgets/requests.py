"""An entry of a budget → the target that it means, and how that is counted."""

from pathlib import Path

from dscost.analysis import Request
from dscost.analysis.ratio_timing import Side
from dscost.budgets.records import Entry
from dscost.errors import UnknownNameError
from dscost.networks.architectures import Architecture, find_builtin, read_architecture
from dscost.sources import YAML_ENDINGS, split_file


def side_of(entry: Entry, folder: Path) -> Side:
    """Return an entry as it is counted and timed; its files are sought in the folder."""
    target = placed(entry.target, folder)
    settings, kwargs = dict(entry.settings), dict(entry.kwargs)
    given, batch = entry.input, entry.batch
    architecture = _architecture(target) if settings else None
    if architecture is None:  # a factory's settings are its keyword arguments
        settings, kwargs = {}, {**kwargs, **settings}
    elif given and entry.input_is_default and architecture.file.input_settings & settings.keys():
        first = given[0]
        if isinstance(first, int):
            batch, given = batch or first, None
    request = Request(given, batch, entry.dtype, settings, kwargs, entry.trust)
    return Side(entry.name, target, request, folder)


def _architecture(target: str) -> Architecture | None:
    """Return the architecture that a target names, or `None` where it is a torch model."""
    path, rest = split_file(target) or ("", "")
    if path.endswith(YAML_ENDINGS):
        return read_architecture(Path(path), rest.removeprefix(":") or None)
    try:
        return find_builtin(target)
    except UnknownNameError:
        return None


def placed(target: str, folder: Path) -> str:
    """Return a target whose file, if it is one, is sought beside the budget."""
    path, rest = split_file(target) or (None, "")
    return target if path is None or Path(path).is_absolute() else f"{folder / path}{rest}"
