"""`dscost schema`."""

import json
from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.printing import tell, write_out
from dscost.files import check_folder, write_whole
from dscost.schemas import SCHEMAS
from dscost.schemas import schema as schema_of


def schema(
    what: Annotated[str, typer.Argument(help=f"One of: {', '.join(SCHEMAS)}.")],
    path: opt.OutputPath = None,
    quiet: opt.Quiet = False,
) -> None:
    """Print the JSON Schema of a budget, an architecture, or what commands write as JSON."""
    text = json.dumps(schema_of(what), indent=2, ensure_ascii=False) + "\n"
    if path is None:
        write_out(text, format_name="json")
        return
    check_folder(path)
    write_whole(path, text)
    if not quiet:
        tell(f"wrote {path}")
