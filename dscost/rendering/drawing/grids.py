"""Cells by two things that vary, and the contour where their values cross a level."""

from collections.abc import Iterator, Sequence
from functools import partial

from dscost.pages.pictures import Cell, Grid
from dscost.pages.pictures.picture import Tint
from dscost.rendering.drawing.canvas import WIDTH, Canvas, Place
from dscost.rendering.drawing.frame import MARGIN, SMALL, Entry, foot_of, head_of, text_base
from dscost.rendering.drawing.lettering import LINE, fitting, width_of

CELL_HEIGHT = 24.0
MOST_CELL = 76.0
MOST_NAME = 140.0
MEANINGS: dict[Tint, str] = {
    "better": "faster",
    "worse": "slower",
    "even": "no difference",
    "unclear": "the clock cannot tell",
}


def draw_grid(picture: Grid) -> Canvas:
    """Return a grid drawn."""
    head = head_of(picture.title, list(_legend(picture)))
    foot = foot_of(picture.notes, picture.measured)
    rows = [fitting(name, MOST_NAME) for name in picture.rows]
    left = MARGIN + max(map(width_of, [*rows, picture.down]), default=0.0) + 8
    top = head.height + 2 * LINE + 4
    size = min(MOST_CELL, (WIDTH - MARGIN - left) / max(1, len(picture.columns))), CELL_HEIGHT
    canvas = Canvas(top + size[1] * len(rows) + LINE + foot.height)
    head.draw(canvas)
    _names(canvas, picture, rows, (left, top), size)
    for cell in picture.cells:
        _cell(canvas, cell, (left, top), size)
    for start, end in _contour(picture):
        places = [(left + x * size[0], top + y * size[1]) for x, y in (start, end)]
        canvas.line(places, "ink", 2.5)
    foot.draw(canvas)
    return canvas


def _names(canvas: Canvas, picture: Grid, rows: Sequence[str], corner: Place, size: Place) -> None:
    left, top = corner
    canvas.write(picture.across, left, top - LINE - 6)
    canvas.write(picture.down, left - 8, top - 6, anchor="end")
    for at, name in enumerate(picture.columns):
        text = fitting(name, size[0] - 2)
        canvas.write(text, left + (at + 0.5) * size[0], top - 6, "faint", "middle")
    for at, name in enumerate(rows):
        middle = top + (at + 0.5) * size[1]
        canvas.write(name, left - 8, text_base(middle), "faint", "end")


def _cell(canvas: Canvas, cell: Cell, corner: Place, size: Place) -> None:
    x, y = corner[0] + cell.column * size[0], corner[1] + cell.row * size[1]
    with canvas.told(cell.tells):
        if cell.tint != "none":
            canvas.area(x + 0.5, y + 0.5, size[0] - 1, size[1] - 1, cell.tint)
        else:
            canvas.outline(x + 0.5, y + 0.5, size[0] - 1, size[1] - 1, "grid")
        text = fitting(cell.text, size[0] - 4, SMALL)
        middle = x + size[0] / 2
        canvas.write(text, middle, y + size[1] / 2 + SMALL * 0.36, anchor="middle", size=SMALL)


def _contour(picture: Grid) -> Iterator[tuple[Place, Place]]:
    """Yield the sides of cells beyond which values lie on the other side of the level."""
    above = {(cell.column, cell.row): cell.value > picture.level for cell in picture.cells}
    for (column, row), is_above in sorted(above.items()):
        if above.get((column + 1, row), is_above) != is_above:
            yield (column + 1, row), (column + 1, row + 1)
        if above.get((column, row + 1), is_above) != is_above:
            yield (column, row + 1), (column + 1, row + 1)


def _legend(picture: Grid) -> Iterator[Entry]:
    for tint, meaning in MEANINGS.items():
        if any(cell.tint == tint for cell in picture.cells):
            yield Entry(meaning, partial(_draw_swatch, tint))
    if picture.contour and next(_contour(picture), None) is not None:
        yield Entry(picture.contour, _contour_swatch)


def _draw_swatch(tint: Tint, canvas: Canvas, x: float, y: float) -> None:
    canvas.area(x - 9, y - 6, 18, 12, tint)
    canvas.outline(x - 9, y - 6, 18, 12, "faint")


def _contour_swatch(canvas: Canvas, x: float, y: float) -> None:
    canvas.line([(x - 9, y), (x + 9, y)], "ink", 2.5)
