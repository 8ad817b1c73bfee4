"""`dscost device`."""

from collections.abc import Iterator
from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, Fixed
from dscost.cli.places import device_files
from dscost.devices.roofline import Ceilings
from dscost.errors import InputError
from dscost.timing import DEVICES


def device(
    name: Annotated[
        str | None,
        typer.Argument(help="cpu or cuda to measure it, or what --on takes  [default: cpu]"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="What to measure: cpu or cuda  [default: cpu]")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Data type to compute with  [default: float32]")
    ] = None,
    threads: opt.Threads = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Measure again, whatever was measured before.")
    ] = False,
    named: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="NAME", help="Show a named device or a .yaml file by its data sheet."
        ),
    ] = None,
    asked: Fixed = DEFAULTS,
) -> None:
    """Show what this machine or a named device can do: peak, bandwidth, ridge."""
    from dscost.pages.device import DeviceSaid

    read = device_files([one for one in (name, named) if one is not None])
    out = asked.output("device", read=read)
    device, named = _chosen(name, device, named)
    kept = None
    if named is None:
        from dscost.pages.measuring_words import noise_line

        with out.progress() as progress:
            # what imports torch is imported where it is seen on a terminal
            from dscost.timing.ceilings import this_device

            found = this_device(
                device=device or "cpu",
                dtype=dtype or "float32",
                threads=threads,
                refresh=refresh,
                progress=progress,
            )
        ceilings, kept = found.ceilings, str(found.path) if found.path else None
        noise = noise_line(found.noise, with_budget=False)
        for sentence in (*_too_many(ceilings), *([noise] if noise else [])):
            out.note(sentence)
        if found.problem:
            out.note(f"These figures are not kept for later commands: {found.problem}.")
    else:
        from dscost.devices.sheets import find_device

        if refresh or threads is not None or device is not None:
            raise InputError(
                "--on shows a data sheet: --device, --threads and --refresh have no meaning with it"
            )
        ceilings = find_device(named, dtype or "float32")
    out.write(DeviceSaid(ceilings, kept))


def _too_many(ceilings: Ceilings) -> Iterator[str]:
    """Yield what is wrong with more threads than can run at once."""
    from dscost.timing.machine import usable_cores

    cores = usable_cores()
    if ceilings.threads is not None and ceilings.threads > cores:
        yield (
            f"{ceilings.threads} threads share {cores} usable cores: "
            "they wait for each other, and figures vary."
        )


def _chosen(
    name: str | None, device: str | None, named: str | None
) -> tuple[str | None, str | None]:
    """Return what to measure, or to show the data sheet of; a device is named once at most."""
    if name is None:
        return device, named
    if device is not None or named is not None:
        raise InputError(f"name the device once: as the argument '{name}', by --device or by --on")
    return (name, None) if name in DEVICES else (None, name)
