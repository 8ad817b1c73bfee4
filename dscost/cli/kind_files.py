"""What a sweep came to on several kinds of device: a file of each for each of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dscost.cli.printing import Output
from dscost.cli.table_files import Split

if TYPE_CHECKING:
    from dscost.sweeping.records import Sweep


def each_kind(
    out: Output, parted: Split, found: "Sweep"
) -> Iterator[tuple[Output, Split, "Sweep"]]:
    """Yield what is to be written, and where: of several kinds of device, files of their own.

    What goes to stdout is of all of them.

    Args:
        out: Where it would go.
        parted: The tables that would be written beside that.
        found: What was swept.
    """
    from dscost.sweeping.kinds import by_kind, slug_of

    kinds = by_kind(found)
    if len(kinds) < 2:
        yield out, parted, found
        return
    if out.path is None and not parted.has_result:
        yield out._replace(exports=()), parted._replace(tables=()), found
    for name, part in kinds.items():
        slug = slug_of(name)
        tables = tuple(
            one._replace(path=one.path and of_kind(one.path, slug)) for one in parted.tables
        )
        exports = tuple((form, of_kind(path, slug)) for form, path in out.exports)
        path = out.path and of_kind(out.path, slug)
        own = out._replace(path=path, exports=exports, is_silent=True)
        yield own, parted._replace(tables=tables), part


def of_kind(path: Path, slug: str) -> Path:
    """Return the file of a kind of device.

    >>> of_kind(Path("lut.csv"), "cortex-a72").name
    'lut-cortex-a72.csv'
    """
    return path.with_name(f"{path.stem}-{slug}{path.suffix}")
