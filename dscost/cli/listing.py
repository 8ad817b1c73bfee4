"""`dscost list`."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from dscost.cli.output_options import DEFAULTS, Plain
from dscost.errors import UnknownNameError

Rows = list[tuple[str, str]]


def _models() -> Rows:
    from dscost.networks.architectures import builtins

    return [(entry.name, f"{entry.file.description}. {entry.file.source}") for entry in builtins()]


def _variants() -> Rows:
    from dscost.layers.variants import VARIANTS

    rows = []
    for name in VARIANTS:
        one = VARIANTS[name]
        usage = f"[{one.usage}] " if one.parameter else ""
        gives_up = f"Gives up {one.gives_up}. " if one.gives_up else ""
        rows.append((name, f"{usage}{one.formula}: {one.summary}. {gives_up}{one.source}"))
    return rows


def _devices() -> Rows:
    from dscost.devices.sheets import devices

    return [
        (one.key, f"{one.name}: {', '.join(one.flops_per_s)}. {one.source}") for one in devices()
    ]


def _metrics() -> Rows:
    from dscost.reports.figures import MEANINGS

    return [(name, f"[{unit}] {meaning}") for name, (unit, meaning) in MEANINGS.items()]


def _formats() -> Rows:
    from dscost.rendering import RENDERERS, renderer

    rows = []
    for name in RENDERERS:
        one = renderer(name)
        endings = f"[{' '.join(one.endings)}] " if one.endings else ""
        whose = " For what is judged: dscost check." if one.says == "findings" else ""
        rows.append((name, f"{endings}{one.meaning}{whose}"))
    return rows


def _columns() -> Rows:
    from dscost.pages.reports import column_headers

    return list(column_headers().items())


def _targets() -> Rows:
    from dscost.sources import TARGETS

    return list(TARGETS.items())


KINDS: Mapping[str, Callable[[], Rows]] = {
    "models": _models,
    "targets": _targets,
    "variants": _variants,
    "metrics": _metrics,
    "formats": _formats,
    "columns": _columns,
    "devices": _devices,
}


def list_names(
    what: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.")] = "models",
    asked: Plain = DEFAULTS,
) -> None:
    """List models, targets, variants, metrics, formats, columns or devices.

    Only convolutions and data movement of a variant are counted, no norms or activations.
    Formulas give the ratio of weights; M and N are channels, G the groups.
    """
    from dscost.pages.listings import Listing

    if what not in KINDS:
        raise UnknownNameError("list", what, KINDS)
    out = asked.output("list")
    out.write(Listing(what, dict(KINDS[what]())))
