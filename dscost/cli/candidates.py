"""What may stand in a place of a command line: names to complete it by, none of which needs torch.

Of a place for a file there are none, and the shell offers its own.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import typer

from dscost.cli.colours import CHOICES
from dscost.cli.completing import words
from dscost.cli.model_files import FORMAT, WRITE_MODELS
from dscost.timing import ALLOCATORS, CLOCKS, DEVICES, MEMORY_FORMATS, MODES

Candidates = Callable[[typer.Context, str], list[str]]
"""Returns them, given what has been written before and what is there of the word itself."""

_TARGET_ENDINGS = (".py", ".yaml", ".yml", ".json", ".pt2", ".onnx")


def candidates(command: str, parameter: str) -> Candidates | None:
    """Return what a parameter of a command takes, where that can be listed."""
    found = _OF_COMMANDS.get((command, parameter)) or _EVERYWHERE.get(parameter)
    if found is None:
        return None

    def named(ctx: typer.Context, incomplete: str) -> list[str]:
        return list(found(ctx, incomplete))

    return named


_Found = Callable[[typer.Context, str], Iterable[str]]


def _one_of(names: Iterable[str]) -> _Found:
    return lambda ctx, incomplete: names


def _several_of(names: Iterable[str]) -> _Found:
    """Return a list that is separated by commas: its last name is completed."""
    return lambda ctx, incomplete: _lists(names, incomplete)


def _lists(names: Iterable[str], incomplete: str) -> list[str]:
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name not in before.split(",")]


def _nothing(ctx: typer.Context, incomplete: str) -> list[str]:
    return []


def _targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return built-in networks, and files of this folder that may be a model; elsewhere nothing."""
    from pathlib import Path

    from dscost.networks.architectures import builtin_names

    if "/" in incomplete or incomplete.startswith((".", "~")):
        return []
    files = (
        f"{path.name}/" if path.is_dir() else path.name
        for path in sorted(Path().iterdir())
        if path.suffix in _TARGET_ENDINGS or path.is_dir()
    )
    names = [name for name in builtin_names() if name.startswith(incomplete)]
    if not names:  # the shell knows files better
        return []
    return [*names, *(name for name in files if not name.startswith("."))]


def _settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the settings of the built-in network that is named before."""
    from dscost.errors import DscostError
    from dscost.networks.architectures import find_builtin

    if "=" in incomplete:
        return []
    for word in words():  # what stands before an option without its value is not parsed
        with suppress(DscostError):  # it is something else
            return [f"{name}=" for name in find_builtin(word).settings]
    return []


def _variants(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from dscost.layers.variants import VARIANTS

    return VARIANTS


def _lists_of_variants(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    return _lists(_variants(ctx, incomplete), incomplete)


def _dtypes(ctx: typer.Context, incomplete: str) -> list[str]:
    from dscost.notation.units import DTYPE_BYTES

    return _lists(DTYPE_BYTES, incomplete)


def _runtimes(ctx: typer.Context, incomplete: str) -> list[str]:
    from dscost.runtimes import RUNTIMES

    return _lists(RUNTIMES, incomplete)


def _named_devices(ctx: typer.Context, incomplete: str) -> list[str]:
    from dscost.devices.sheets import device_names

    return device_names()


def _conventions(ctx: typer.Context, incomplete: str) -> list[str]:
    from dscost.conventions import convention_names

    return convention_names()


def _devices(ctx: typer.Context, incomplete: str) -> list[str]:
    return [*DEVICES, *_named_devices(ctx, incomplete)]


def _formats(ctx: typer.Context, incomplete: str) -> list[str]:
    from dscost.pages.picture_names import OF_COMMANDS
    from dscost.rendering import format_names

    command = ctx.command.name or ""
    return format_names(judges=command == "check", draws=command in OF_COMMANDS)


def _exports(ctx: typer.Context, incomplete: str) -> list[str]:
    if "=" in incomplete:
        return []
    models = [FORMAT] if ctx.command.name in WRITE_MODELS else []
    return [f"{name}=" for name in (*_formats(ctx, incomplete), *models)]


def _pictures(ctx: typer.Context, incomplete: str) -> list[str]:
    from dscost.pages.picture_names import OF_COMMANDS

    if "=" in incomplete:
        return []
    return [f"{name}=" for name in OF_COMMANDS.get(ctx.command.name or "", ())]


def _columns(ctx: typer.Context, incomplete: str) -> list[str]:
    from dscost.pages.comparisons import ComparisonSaid
    from dscost.pages.conversions import ConversionSaid
    from dscost.pages.reports import VARIANT_COLUMNS, ReportsSaid
    from dscost.pages.sweeps import SweepSaid

    shown: Mapping[str, Iterable[str]] = {
        "layer": [column.key for column in VARIANT_COLUMNS],
        "model": ReportsSaid.columns,
        "compare": ComparisonSaid.columns,
        "convert": ConversionSaid.columns,
        "sweep": SweepSaid.columns,
    }
    return _lists(shown.get(ctx.command.name or "", ()), incomplete)


def _sort_keys(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from dscost.pages.comparisons import ComparisonSaid
    from dscost.pages.reports import ReportsSaid
    from dscost.pages.sweeps import SweepSaid

    of_commands = {"compare": ComparisonSaid.sort_keys, "sweep": SweepSaid.sort_keys}
    return of_commands.get(ctx.command.name or "", ReportsSaid.sort_keys)


def _kinds(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from dscost.cli.listing import KINDS

    return KINDS


def _list_sort_keys(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from dscost.cli.listing import KINDS
    from dscost.pages.listings import sort_keys_of

    return sort_keys_of(next((word for word in words() if word in KINDS), "models"))


def _schemas(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from dscost.schemas import SCHEMAS

    return SCHEMAS


def _actions(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from dscost.cli.baseline import ACTIONS

    return ACTIONS


def _commands(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from dscost.cli.app import COMMANDS

    return COMMANDS


def _sweeps(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return built-in sweeps; of files the shell knows more."""
    from dscost.configs import config_folder

    names = sorted(path.stem for path in config_folder("sweeps").glob("*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


_EVERYWHERE: Mapping[str, _Found] = {
    "target": _targets,
    "targets": _targets,
    "models": _targets,
    "variant": _variants,
    "sweep_file": _sweeps,
    "setting": _settings,
    "dtype": _dtypes,
    "device": _one_of(DEVICES),
    "on": _named_devices,
    "convention": _conventions,
    "memory_format": _several_of(MEMORY_FORMATS),
    "mode": _several_of(MODES),
    "runtime": _runtimes,
    "clock": _one_of(CLOCKS),
    "allocator": _one_of(ALLOCATORS),
    "goals": _one_of(("macs=", "params=", "latency_s=", "error=")),
    "format_name": _formats,
    "export": _exports,
    "plot": _pictures,
    "columns": _columns,
    "sort": _sort_keys,
    "color": _one_of(CHOICES),
    **dict.fromkeys(
        ("path", "proof", "plan", "save", "save_plan", "weights", "budget", "config"), _nothing
    ),
}
_OF_COMMANDS: Mapping[tuple[str, str], _Found] = {
    ("device", "name"): _devices,
    ("sweep", "variant"): _lists_of_variants,
    ("device", "named"): _named_devices,
    ("list", "what"): _kinds,
    ("list", "sort"): _list_sort_keys,
    ("schema", "what"): _schemas,
    ("baseline", "action"): _actions,
    ("help", "command"): _commands,
}
