"""Cells by two things that vary, and contours where their values cross a level."""

from collections.abc import Iterator, Sequence
from functools import partial

from dscost.pages.pictures import Cell, Contour, Grid
from dscost.pages.pictures.picture import Tint
from dscost.rendering.drawing.canvas import WIDTH, Canvas, Place
from dscost.rendering.drawing.frame import MARGIN, SMALL, Entry, foot_of, head_of, text_base
from dscost.rendering.drawing.lettering import LINE, fitting, fitting_apart, width_of

CELL_HEIGHT = 24.0
MOST_CELL = 320.0
"""How wide a cell is where there is room for it."""
LEAST_LETTERS = 7.0
"""Text in cells is made smaller down to that size rather than cut."""
MOST_NAME = 140.0
Side = tuple[Place, Place]


def draw_grid(picture: Grid) -> Canvas:
    """Return a grid drawn."""
    contours = list(_contours(picture))
    head = head_of(picture.title, list(_legend(picture, contours)))
    foot = foot_of(picture.notes, picture.measured)
    rows = fitting_apart(picture.rows, MOST_NAME)
    down = fitting(picture.down, MOST_NAME)
    left = MARGIN + max(map(width_of, [*rows, down]), default=0.0) + 8
    top = head.height + 2 * LINE + 4
    size = _cell_width(picture, WIDTH - MARGIN - left), CELL_HEIGHT
    letters = _letters(picture, size[0])
    canvas = Canvas(top + size[1] * len(rows) + LINE + foot.height)
    head.draw(canvas)
    _names(canvas, picture, rows, (left, top), size)
    canvas.write(down, left - 8, top - 6, anchor="end")
    for cell in picture.cells:
        _cell(canvas, cell, (left, top), size, letters)
    for contour, sides in reversed(contours):
        for side in sides:
            places = [(left + x * size[0], top + y * size[1]) for x, y in side]
            _line(canvas, contour, places)
    foot.draw(canvas)
    return canvas


def _cell_width(picture: Grid, room: float) -> float:
    """Return how wide a cell is: all the width there is is shared, unless they are few."""
    return min(MOST_CELL, room / max(1, len(picture.columns)))


def _letters(picture: Grid, width: float) -> float:
    """Return the size of text at which that of every cell has room in it."""
    widest = max((width_of(cell.text, 1.0) for cell in picture.cells), default=1.0)
    return max(LEAST_LETTERS, min(SMALL, (width - 4) / max(widest, 1e-9)))


def _names(canvas: Canvas, picture: Grid, rows: Sequence[str], corner: Place, size: Place) -> None:
    left, top = corner
    canvas.write(fitting(picture.across, WIDTH - MARGIN - left), left, top - LINE - 6)
    for at, text in enumerate(fitting_apart(picture.columns, size[0] - 3)):
        canvas.write(text, left + (at + 0.5) * size[0], top - 6, "faint", "middle")
    for at, name in enumerate(rows):
        middle = top + (at + 0.5) * size[1]
        canvas.write(name, left - 8, text_base(middle), "faint", "end")


def _cell(canvas: Canvas, cell: Cell, corner: Place, size: Place, letters: float) -> None:
    x, y = corner[0] + cell.column * size[0], corner[1] + cell.row * size[1]
    with canvas.told(cell.tells):
        if cell.tint != "none":
            canvas.area(x + 0.5, y + 0.5, size[0] - 1, size[1] - 1, cell.tint)
        else:
            canvas.outline(x + 0.5, y + 0.5, size[0] - 1, size[1] - 1, "grid")
        text = fitting(cell.text, size[0] - 2, letters)
        middle = x + size[0] / 2
        canvas.write(text, middle, y + size[1] / 2 + letters * 0.36, anchor="middle", size=letters)


def _line(canvas: Canvas, contour: Contour, places: Sequence[Place]) -> None:
    canvas.line(places, "ink", 1.4 if contour.is_fine else 2.5, "3 2.5" if contour.is_fine else "")


def _contours(picture: Grid) -> Iterator[tuple[Contour, list[Side]]]:
    """Yield what is seen of each contour: not where an earlier one runs."""
    seen: set[Side] = set()
    for contour in picture.contours:
        sides = [side for side in _sides(picture.cells, contour.level) if side not in seen]
        seen.update(sides)
        if sides:
            yield contour, sides


def _sides(cells: Sequence[Cell], level: float) -> Iterator[Side]:
    """Yield the sides of cells beyond which values lie on the other side of the level."""
    above = {(one.column, one.row): one.value > level for one in cells if one.value is not None}
    for (column, row), is_above in sorted(above.items()):
        if above.get((column + 1, row), is_above) != is_above:
            yield (column + 1, row), (column + 1, row + 1)
        if above.get((column, row + 1), is_above) != is_above:
            yield (column, row + 1), (column + 1, row + 1)


def _legend(picture: Grid, contours: Sequence[tuple[Contour, list[Side]]]) -> Iterator[Entry]:
    tints = {cell.tint for cell in picture.cells}
    for tint, meaning in picture.meanings.items():
        if tint in tints:
            yield Entry(meaning, partial(_draw_swatch, tint))
    for contour, _ in contours:
        yield Entry(contour.name, partial(_contour_swatch, contour))


def _draw_swatch(tint: Tint, canvas: Canvas, x: float, y: float) -> None:
    canvas.area(x - 9, y - 6, 18, 12, tint)
    canvas.outline(x - 9, y - 6, 18, 12, "faint")


def _contour_swatch(contour: Contour, canvas: Canvas, x: float, y: float) -> None:
    _line(canvas, contour, [(x - 9, y), (x + 9, y)])
