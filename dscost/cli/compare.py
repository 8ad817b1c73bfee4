"""`dscost compare`."""

from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, All
from dscost.cli.places import target_files
from dscost.cli.streams import foreign_code
from dscost.pages import View


def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="Two or more of what dscost model takes, saved reports too; "
            "the first is what the others are held against.",
        ),
    ],
    asking: opt.Asking = opt.AS_IT_IS,
    batch: opt.OneBatch = None,
    trust: opt.Trust = False,
    dtype: opt.OneDtype = None,
    every_layer: Annotated[
        bool, typer.Option("--all", help="Show layers that are the same as well.")
    ] = False,
    depth: opt.Depth = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort layers by the change of a figure, by layer or order  [default: macs]"
        ),
    ] = None,
    top: opt.Top = None,
    asked: All = DEFAULTS,
) -> None:
    """Say what differs between models, in total and layer by layer. Nothing is timed.

    Settings, inputs and the like hold for every target that is no saved report.
    """
    from dscost.comparing.targets import compare as compare_models
    from dscost.pages.comparisons import ComparisonSaid

    view = View(depth=depth, sort=sort, top=top)
    out = asked.output("compare", view, read=target_files(targets))
    ComparisonSaid.check(out.view, out.says)
    request = asking.request(batch, dtype, trust=trust)
    targets = asking.models(targets, out.note)
    with out.progress() as progress, foreign_code(*targets):
        found = compare_models(
            targets, **request._asdict(), every_layer=every_layer, progress=progress
        )
    out.write(found)
