"""What `dscost sweep` sweeps, as people type it: a grid of layers, a file of grids, or models."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dscost.cli import options as opt
from dscost.cli.places import Read, target_files
from dscost.errors import InputError

if TYPE_CHECKING:
    from dscost.layers.choosing import Asked
    from dscost.sweeping.grids import Grid
    from dscost.sweeping.model_grids import Said
    from dscost.sweeping.model_layers import ModelLayers

OPTIONS = {
    "in_channels": "--cin",
    "out_channels": "--cout",
    "kernel_size": "-k",
    "input_size": "--size",
    "sweep_file": "a file",
    "models": "--model",
    "layers_of": "--layers-of",
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


LAYERS = Axes()


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
    layers_of: Annotated[
        str | None,
        typer.Option(
            "--layers-of",
            metavar="MODEL",
            help="Sweep the layers of this architecture as it has them, each distinct one once; "
            "a built-in name or net.yaml.",
        ),
    ] = None
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUES",
            help="Settings of the model that --model or --layers-of names, such as "
            "width=0.25:1.0:0.25,1.3; repeatable.",
        ),
    ] = None
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="SIZES",
            help="Inputs of the model that --model or --layers-of names: sides 128,160 or 160x224, "
            "or whole shapes 1,3,224,224; repeatable.",
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


class Swept(NamedTuple):
    """All that is said of what is to be swept.

    Args:
        sweep_file: A file of grids, or the name of a built-in one.
        axes: Of a grid of layers.
        of_models: Models instead.
        variant: What each is compared with.
        dims: Spatial dimensions.
        dtype: Of weights and activations.
    """

    sweep_file: str | None
    axes: Axes
    of_models: Models
    variant: list[str] | None
    dims: int | None
    dtype: str | None

    @property
    def targets(self) -> list[str]:
        """The models, as they are given."""
        return self.of_models.models or []

    def files(self) -> Iterator[Read]:
        """Yield the files that are read."""
        if self.sweep_file:
            yield "the sweep", Path(self.sweep_file)
        yield from target_files(self.targets)
        if self.of_models.layers_of:
            yield from target_files([self.of_models.layers_of])

    def grids(self) -> "Sequence[Grid]":
        """Return the grids of layers; none where models are swept.

        Raises:
            InputError: Something that is said of them is wrong, or is not of layers.
        """
        if self.targets or self.of_models.layers_of is not None:
            return ()
        if self.of_models != NO_MODELS:
            raise InputError("--set and --input are of --model; the input of layers is --size")
        if self.sweep_file is None:
            from dscost.sweeping.making_grids import Setup, grid_of

            setup = Setup(_variants(self.variant), dims=self.dims, dtype=self.dtype or "float32")
            return [grid_of(self.axes.given(), setup, spelled)]
        from dscost.sweeping.sweep import grids_of_file

        beside = {"variant": self.variant, "dims": self.dims, "dtype": self.dtype}
        return grids_of_file(self.sweep_file, {**self.axes.given(), **beside}, spelled)

    def first_columns(self, grids: "Sequence[Grid]") -> list[str]:
        """Return the columns that stand before those of every sweep.

        Raises:
            InputError: What is said of the settings of models is none.
        """
        if self.targets:
            return ["model", *self.of_models.settings(), "input"]
        return ["grid"] if any(grid.name for grid in grids) else []

    def model_layers(self) -> "ModelLayers | None":
        """Return the layers of a model, if these are swept.

        Raises:
            InputError: Something is said that the model says.
        """
        target, setting, inputs = self.of_models[1:]
        if target is None:
            return None
        from dscost.sweeping.layer_sweep import find_layers
        from dscost.sweeping.sweep import LAYERS_OF_MODEL, refuse_layers

        others = {"models": self.of_models.models, "variant": self.variant, "dims": self.dims}
        said = {**self.axes.given(), **others, "sweep_file": self.sweep_file}
        refuse_layers(said, spelled, LAYERS_OF_MODEL)
        settings = opt.parse_settings(setting or ())
        dtype = self.dtype or "float32"
        return find_layers(target, settings=settings, given=inputs, dtype=dtype, spelled=spelled)

    def models(self, targets: Sequence[str]) -> "Said":
        """Return what is said of models, by names that are whole.

        Raises:
            InputError: Something is said that is of layers.
        """
        from dscost.sweeping.model_grids import Said
        from dscost.sweeping.sweep import refuse_layers

        of_layers = {"batch": None, "dims": self.dims, "sweep_file": self.sweep_file}
        refuse_layers({**self.axes.given(), **of_layers}, spelled)
        versions = [name for text in self.variant or () for name in opt.parse_names(text)]
        settings, inputs = self.of_models.settings(), self.of_models.inputs
        return Said(targets, settings, inputs, self.axes.batch, self.dtype, versions)


def _variants(texts: list[str] | None) -> "tuple[Asked, ...]":
    """Return the variants of a command line; `standard` alone is none."""
    from dscost.layers.choosing import parse_variants
    from dscost.layers.variants import SEPARABLE, STANDARD

    names = [name for text in texts or [SEPARABLE] for name in opt.parse_names(text)]
    return parse_variants(name for name in names if name != STANDARD)


def spelled(axis: str) -> str:
    """Return how something is called on the command line."""
    return OPTIONS.get(axis, f"--{axis}")
