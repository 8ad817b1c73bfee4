"""`dscost sweep`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, All
from dscost.cli.places import target_files
from dscost.cli.printing import Output
from dscost.errors import InputError
from dscost.pages import View

if TYPE_CHECKING:
    from dscost.layers.choosing import Asked
    from dscost.sweeping.grids import Grid
    from dscost.sweeping.records import Sweep

OPTIONS = {
    "in_channels": "--cin",
    "out_channels": "--cout",
    "kernel_size": "-k",
    "input_size": "--size",
    "sweep_file": "a file",
}
"""How axes are called on the command line, where that is not their name."""


class Axes(NamedTuple):
    """The axes of a grid, as the command line says."""

    in_channels: Annotated[
        str | None,
        typer.Option(
            *("--cin", "--in-channels"),
            metavar="VALUES",
            help="Input channels: 8:64:8 (first:last:step), 16,32,64, or both mixed.",
        ),
    ] = None
    out_channels: Annotated[
        str | None,
        typer.Option(
            *("--cout", "--out-channels"),
            metavar="VALUES",
            help="Output channels, or what they follow by: cin, '2 * cin', 'round8(1.5 * cin)'. "
            "Every other axis may follow so, too.",
        ),
    ] = None
    kernel: Annotated[
        str | None,
        typer.Option(
            *("-k", "--kernel", "--kernel-size"), metavar="VALUES", help="Kernel sizes, 1,3,5x3."
        ),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(
            *("--size", "--input-size"),
            metavar="VALUES",
            help="Input sizes, 7,14,28 or 31x40  [default: 14]",
        ),
    ] = None
    stride: Annotated[
        str | None, typer.Option(metavar="VALUES", help="Steps, 1,2 or 2x1  [default: 1]")
    ] = None
    padding: Annotated[
        str | None,
        typer.Option(
            metavar="VALUES", help="0,1, 'k // 2' or same  [default: keeps the size at stride 1]"
        ),
    ] = None
    dilation: Annotated[
        str | None, typer.Option(metavar="VALUES", help="Distances between taps  [default: 1]")
    ] = None
    groups: Annotated[
        str | None,
        typer.Option(metavar="VALUES", help="Groups of channels, 1,2,4 or cin  [default: 1]"),
    ] = None
    bias: Annotated[
        str | None,
        typer.Option(metavar="VALUES", help="true, false or true,false  [default: false]"),
    ] = None
    batch: Annotated[
        str | None, typer.Option(metavar="VALUES", help="Inputs at once, 1,8,32  [default: 1]")
    ] = None

    def given(self) -> Mapping[str, object]:
        """Return what is said of each axis."""
        long = {"kernel": "kernel_size", "size": "input_size"}
        return {long.get(name, name): value for name, value in self._asdict().items()}


NOTHING = Axes()


class Models(NamedTuple):
    """Models that are swept instead of layers, as the command line says."""

    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="TARGET",
            help="Sweep this model instead of layers, what dscost model takes; repeatable.",
        ),
    ] = None
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUES",
            help="Settings of it, such as width=0.25:1.0:0.25,1.3; repeatable.",
        ),
    ] = None
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="SIZES",
            help="Its inputs: sides 128,160 or 160x224, or whole shapes 1,3,224,224; repeatable.",
        ),
    ] = None

    def settings(self) -> dict[str, str]:
        """Return what is said of each setting."""
        found: dict[str, str] = {}
        for pair in self.setting or ():
            name, equals, values = pair.partition("=")
            if not equals or not re.fullmatch(r"\w+", name.strip()):
                example = "NAME=VALUES such as width=0.25:1.0:0.25"
                raise InputError(f"--set: expected {example}, found '{pair}'")
            if name.strip() in found:
                raise InputError(f"--set: {name.strip()} is given twice: write a,b")
            found[name.strip()] = values
        return found


NO_MODELS = Models()


def sweep(
    sweep_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[SWEEP.yaml]",
            help="A file of grids (configs/sweeps/README.md), or the name of a built-in one, "
            "instead of the options of a grid.",
        ),
    ] = None,
    axes: Axes = NOTHING,
    of_models: Models = NO_MODELS,
    dims: Annotated[
        int | None,
        typer.Option(
            metavar="1|2|3", help="Spatial dimensions  [default: as there are sizes, else 2]"
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:VALUE][,…]",
            help="What each layer is compared with (dscost list variants); standard for nothing; "
            "repeatable  [default: depthwise_separable]",
        ),
    ] = None,
    dtype: opt.OneDtype = None,
    sort: Annotated[str | None, typer.Option(help="Sort rows by a figure, largest first.")] = None,
    top: Annotated[
        int | None,
        typer.Option("-n", "--top", min=1, metavar="N", help="Show only the first N rows."),
    ] = None,
    asked: All = DEFAULTS,
) -> None:
    """Count a whole grid of layers, each as it is and in cheaper variants, into one table."""
    from dscost.pages.sweeps import SweepSaid
    from dscost.sweeping.swept import counted_sweep

    read = [("the sweep", Path(sweep_file))] if sweep_file else []
    read += target_files(of_models.models or ())
    out = asked.output("sweep", View(sort=sort, top=top), read=read)
    SweepSaid.check(out.view, out.says)
    beside = Beside(variant, dims, dtype)
    if of_models.models:
        found = _counted_models(out, sweep_file, axes, of_models, beside)
    else:
        if of_models != NO_MODELS:
            raise InputError("--set and --input are of --model; the input of layers is --size")
        found = counted_sweep(_grids(sweep_file, axes, beside))
    if found.impossible:
        out.lacks([found.left_out])
    out.write(found)


class Beside(NamedTuple):
    """What is said of a grid beside its axes."""

    variant: list[str] | None = None
    dims: int | None = None
    dtype: str | None = None


def _grids(sweep_file: str | None, axes: Axes, beside: Beside) -> "Sequence[Grid]":
    """Return the grids of a file, or the one of the options."""
    if sweep_file is None:
        from dscost.sweeping.making_grids import Setup, grid_of

        setup = Setup(_variants(beside.variant), dims=beside.dims, dtype=beside.dtype or "float32")
        return [grid_of(axes.given(), setup, _spelled)]
    from dscost.sweeping.sweep import grids_of_file

    return grids_of_file(sweep_file, {**axes.given(), **beside._asdict()}, _spelled)


def _counted_models(
    out: Output, sweep_file: str | None, axes: Axes, of_models: Models, beside: Beside
) -> "Sweep":
    """Return the table of models."""
    from dscost.cli.streams import foreign_code
    from dscost.sweeping.model_grids import Said, model_grid
    from dscost.sweeping.sweep import refuse_layers
    from dscost.sweeping.swept import counted_models

    layers = {**axes.given(), "batch": None, "dims": beside.dims, "sweep_file": sweep_file}
    refuse_layers(layers, _spelled)
    versions = [name for text in beside.variant or () for name in opt.parse_names(text)]
    models = opt.Asking().models(of_models.models or (), out.note)
    said = Said(models, of_models.settings(), of_models.inputs, axes.batch, beside.dtype, versions)
    with out.progress() as progress, foreign_code(*models):
        return counted_models(model_grid(said, _spelled), progress)


def _variants(texts: list[str] | None) -> "tuple[Asked, ...]":
    """Return the variants of a command line; `standard` alone is none."""
    from dscost.layers.choosing import parse_variants
    from dscost.layers.variants import SEPARABLE, STANDARD

    names = [name for text in texts or [SEPARABLE] for name in opt.parse_names(text)]
    return parse_variants(name for name in names if name != STANDARD)


def _spelled(axis: str) -> str:
    return OPTIONS.get(axis, f"--{axis}")
