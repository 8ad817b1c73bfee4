"""Which picture of a result is drawn, and a picture as what Python gives."""

from os import PathLike
from pathlib import Path

from dscost.errors import InputError, NotDrawnError, UnknownNameError
from dscost.files import write_whole
from dscost.pages import Said, View
from dscost.pages.pictures import NotDrawn, Picture
from dscost.rendering.drawing import svg_of


def pictures_of(said: Said, view: View) -> list[Picture | NotDrawn]:
    """Return what can be drawn of a result, the most telling first, and what cannot with why.

    A view that is brief leaves out pages, and no pictures.
    """
    pages = said.pages(view._replace(brief=False))
    return [one for page in pages if page.pictures for one in page.pictures()]


def picture_of(said: Said, view: View) -> Picture:
    """Return the picture that a view asks for, or the first that there is.

    Raises:
        UnknownNameError: There is none of that name.
        NotDrawnError: What it would show is not known, or nothing can be drawn.
    """
    found = pictures_of(said, view)
    drawn = [one for one in found if not isinstance(one, NotDrawn)]
    if view.plot is None:
        if drawn:
            return drawn[0]
        why = f": {found[0].why}" if found and isinstance(found[0], NotDrawn) else ""
        raise NotDrawnError(f"there is no picture of {said.what}{why}")
    for one in [*drawn, *found]:
        if one.name == view.plot:
            if isinstance(one, NotDrawn):
                raise NotDrawnError(f"picture '{one.name}': {one.why}")
            return one
    if not found:
        raise NotDrawnError(f"there is no picture of {said.what}")
    raise UnknownNameError("picture", view.plot, dict.fromkeys(one.name for one in found))


class Drawing:
    """A picture of a result, as its `plot` returns it; a notebook shows it.

    Args:
        picture: What it shows: points, bars or cells with their figures.
    """

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    @property
    def svg(self) -> str:
        """The picture as SVG, a document of its own."""
        return svg_of(self.picture)

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file, whole or not at all, as the ending of its name says.

        Args:
            path: `roofline.svg`, or `roofline.png` where `dscost[png]` is installed.

        Raises:
            InputError: It has another ending.
            UnavailableError: What makes pixels is not installed.
            OutputError: The file cannot be written.
        """
        ending = Path(path).suffix.lower()
        if ending not in (".svg", ".png"):
            found = f"found '{path}'"
            raise InputError(f"a picture is saved as .svg or .png, {found}")
        if ending == ".svg":
            write_whole(Path(path), self.svg)
            return
        from dscost.rendering.drawing.pixels import png_of

        write_whole(Path(path), png_of(self.picture))

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Drawing {self.picture.name}: {self.picture.title}>"
