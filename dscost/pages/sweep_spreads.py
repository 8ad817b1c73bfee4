"""What is said of a sweep whose rows are too many to be held: how many, and least and most."""

from dscost.notation.units import format_count, format_factor
from dscost.pages.page import Column, Page, Row, Sheet, Toned, words
from dscost.pages.sweep_words import variant_title
from dscost.pages.wording import REDUCTION
from dscost.sweeping.records import Spread, Sweep

_COLUMNS = (
    words("variant"),
    Column("rows", "rows", 1),
    Column("least_macs", "least MACs", 0),
    Column("most_macs", "most MACs", 0),
    Column("macs_reduction", REDUCTION, 0),
    words("lacking", 5, "without it")._replace(goes_below=True),
)
WRITE = (
    "-o TABLE.parquet, TABLE.csv or TABLE.jsonl writes the rows, --format csv or jsonl prints them."
)


def spreads_page(sweep: Sweep) -> Page:
    """Return what the rows come to, and how they are had."""
    rows = [Row(_cells(one)) for one in sweep.spreads]
    closing = [Toned(f"{sweep.left_out}.", "unclear")] if sweep.left_out else []
    return Page(sweep.title, sheets=[Sheet(_COLUMNS, rows)], closing=[*closing, WRITE])


def _cells(one: Spread) -> dict[str, str]:
    cells = {"variant": variant_title(one.variant), "rows": f"{one.rows:,}"}
    if one.least_macs is not None:
        cells["least_macs"] = format_count(one.least_macs)
        cells["most_macs"] = format_count(one.most_macs)
    if one.least_reduction is not None:
        ends = dict.fromkeys(
            [format_factor(one.least_reduction), format_factor(one.most_reduction)]
        )
        cells["macs_reduction"] = " to ".join(ends)
    if one.lacking:
        cells["lacking"] = f"{one.lacking.number:,}, such as {one.lacking.example}"
    return cells
