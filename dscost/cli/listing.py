"""`dscost list`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from dscost.cli.model_files import FORMAT, MEANING
from dscost.cli.output_options import DEFAULTS, Listed
from dscost.errors import UnknownNameError
from dscost.pages import View

if TYPE_CHECKING:
    from dscost.pages.listings import Entry

Entries = list["Entry"]


def _models() -> Entries:
    """Count every built-in network: all take a quarter of a second together."""
    from dscost.networks.architectures import build, builtins
    from dscost.networks.network import network_cost
    from dscost.notation.units import dtype_bytes
    from dscost.pages.listings import Entry

    entries = []
    for one in builtins():
        network = build(one, overrides={})
        cost = network_cost(network.operations, dtype_bytes("float32"))
        figures = {
            "params": cost.params,
            "macs": cost.macs,
            "input": ",".join(map(str, network.input_shape)),
            "year": one.file.year,
        }
        entries.append(Entry(one.name, one.file.description or "", one.file.source or "", figures))
    return entries


def _variants() -> Entries:
    from dscost.layers.variants import VARIANTS
    from dscost.pages.listings import Entry

    entries = []
    for name in VARIANTS:
        one = VARIANTS[name]
        usage = f"[{one.usage}] " if one.parameter else ""
        gives_up = f" Gives up {one.gives_up}." if one.gives_up else ""
        meaning = f"{usage}{one.formula}: {one.summary}.{gives_up}"
        entries.append(Entry(name, meaning, one.source))
    return entries


def _devices() -> Entries:
    from dscost.devices.sheets import devices
    from dscost.pages.listings import Entry

    entries = []
    for one in devices():
        peak = one.flops_per_s.get("float32")
        figures = {
            "flops_per_s": peak,
            "bytes_per_s": one.bytes_per_s,
            "ridge_flops_per_byte": None if peak is None else peak / one.bytes_per_s,
            "float16_flops_per_s": one.flops_per_s.get("float16"),
            "int8_flops_per_s": one.flops_per_s.get("int8"),
        }
        entries.append(Entry(one.key, one.name, one.source, figures))
    return entries


def _conventions() -> Entries:
    from dscost.conventions import convention_names, find_convention
    from dscost.pages.listings import Entry

    entries = []
    for one in map(find_convention, convention_names()):
        source, figures = f"{'; '.join(one.source)}.", {"counts": one.counts}
        entries.append(Entry(one.key, f"[{one.counts}] {one.means}", source, figures, one.faults))
    return entries


def _metrics() -> Entries:
    from dscost.reports.figures import MEANINGS

    return _named({name: f"[{unit}] {meaning}" for name, (unit, meaning) in MEANINGS.items()})


def _formats() -> Entries:
    from dscost.rendering import RENDERERS, renderer

    meanings = {}
    for name in RENDERERS:
        one = renderer(name)
        endings = f"[{' '.join(one.endings)}] " if one.endings else ""
        whose = " For what is judged: dscost check." if one.says == "findings" else ""
        meanings[name] = f"{endings}{one.meaning}{whose}"
    return _named({**meanings, FORMAT: MEANING})


def _columns() -> Entries:
    from dscost.pages.reports import column_headers

    return _named(column_headers())


def _targets() -> Entries:
    from dscost.sources import TARGETS

    return _named(TARGETS)


def _runtimes() -> Entries:
    from dscost.pages.listings import Entry
    from dscost.runtimes import RUNTIMES

    entries = []
    for name in RUNTIMES:
        one = RUNTIMES[name]
        missing = one.missing
        figures = {
            "version": None if missing else one.version,
            "dtypes": ",".join(one.dtypes),
            "install": one.pip_line if missing else None,
        }
        here = f"not installed: {one.pip_line}" if missing else one.version or "here"
        what = f"[{here}] {one.title} ({', '.join(one.dtypes)}): {one.meaning}."
        entries.append(Entry(name, what, figures=figures))
    return entries


def _sweeps() -> Entries:
    from dscost.configs import config_folder
    from dscost.notation.marked_yaml import Problems, read_yaml
    from dscost.pages.listings import Entry
    from dscost.sweeping.grid_files import grids_in

    entries = []
    for path in sorted(config_folder("sweeps").glob("*.yaml")):
        problems = Problems()
        root = read_yaml(path, problems)
        layers = sum(grid.size for grid in grids_in(root, str(path), problems))
        entries.append(Entry(path.stem, root.plain["description"], figures={"layers": layers}))
    return entries


def _tables() -> Entries:
    from dscost.sweeping.emitting import TABLE_FORMATS

    return _named({name: TABLE_FORMATS[name].meaning for name in TABLE_FORMATS})


def _pictures() -> Entries:
    from dscost.pages.picture_names import MEANINGS, OF_COMMANDS

    of = {name: [one for one in OF_COMMANDS if name in OF_COMMANDS[one]] for name in MEANINGS}
    return _named({name: f"[{', '.join(of[name])}] {MEANINGS[name]}." for name in MEANINGS})


def _named(meanings: Mapping[str, str]) -> Entries:
    from dscost.pages.listings import Entry

    return [Entry(name, meaning) for name, meaning in meanings.items()]


KINDS: Mapping[str, Callable[[], Entries]] = {
    "models": _models,
    "targets": _targets,
    "variants": _variants,
    "conventions": _conventions,
    "metrics": _metrics,
    "formats": _formats,
    "columns": _columns,
    "devices": _devices,
    "runtimes": _runtimes,
    "sweeps": _sweeps,
    "tables": _tables,
    "pictures": _pictures,
}


def list_names(
    what: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.")] = "models",
    sort: Annotated[
        str | None,
        typer.Option(help="Sort models or devices by a figure, largest first, such as params."),
    ] = None,
    asked: Listed = DEFAULTS,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Say where figures, rules and variants are from."),
    ] = False,
) -> None:
    """List models, variants, devices, conventions and what else a command takes by name.

    Only convolutions and data movement of a variant are counted, no norms or activations.
    Formulas give the ratio of weights; M and N are channels, G the groups. Of a runtime stands
    what one call that is timed includes.
    """
    from dscost.pages.listings import Listing

    if what not in KINDS:
        raise UnknownNameError("list", what, KINDS)
    out = asked.output("list", View(sort=sort))
    out.write(Listing(what, KINDS[what](), cites=verbose))
