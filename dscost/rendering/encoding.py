"""Pages for a stream that cannot show every character, before they are laid out."""

from dscost.encodable import encodable
from dscost.pages.page import Page, Sheet, in_tone_of


def in_encoding(page: Page, encoding: str | None) -> Page:
    """Return a page as a stream can show it: stand-ins count when its columns are laid out."""
    if encoding is None:
        return page

    def shown(text: str) -> str:
        return in_tone_of(encodable(text, encoding), text)

    def of_sheet(sheet: Sheet) -> Sheet:
        columns = [one._replace(header=shown(one.header)) for one in sheet.columns]
        rows = [
            row._replace(cells={key: shown(cell) for key, cell in row.cells.items()})
            for row in sheet.rows
        ]
        return sheet._replace(columns=columns, rows=rows)

    drawing = page.drawing
    return page._replace(
        heading=shown(page.heading),
        lines=[shown(line) for line in page.lines],
        sheets=[of_sheet(sheet) for sheet in page.sheets],
        closing=[shown(line) for line in page.closing],
        drawing=drawing and (lambda width: [shown(line) for line in drawing(width)]),
    )
