"""What is said of a result → one page of HTML, or a part of a page for notebooks.

All that a page needs stands in it: nothing is fetched, and a policy in its head forbids that
anything is, or that any script runs but its own. It is whole without its script, which sorts and
filters tables. The same result gives the same bytes.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dscost.pages import Said, View
from dscost.rendering.drawing.inks import INKS
from dscost.rendering.html.data import data_of
from dscost.rendering.html.parts import shown_line, title_of
from dscost.rendering.html.sections import sections_of
from dscost.version import __version__

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["page_of", "template"]

_TEMPLATES = Path(__file__).parent / "templates"


def page_of(said: Said, view: View) -> str:
    """Return a result as a page of its own.

    Tables have every column that the wide table has unless the view asks for some; the further
    ones are hidden by the script until somebody wants them.

    Raises:
        InputError: The view asks for a column or a sort key that there is not.
    """
    plain = view._replace(width=None, color=False, encoding=None, paged=True)
    sections = sections_of(said, plain)
    title, script = title_of(view.command, sections), _text("script.js")
    look = f"{_colours()}\n{_text('style.css')}"
    page = template("page.html").render(
        title=title,
        command=f"dscost {view.command}" if view.command != "analyze" else "dscost",
        version=__version__,
        style=look,
        script=script,
        policy=_policy(script, look),
        data=data_of(said, view),
        sections=sections,
        asked=shown_line(view),
    )
    return f"{page}\n"


@cache
def template(name: str) -> "Template":
    """Return a template of ours, which escapes all that is put into it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # every value is escaped whose type does not say that it is markup, which only drawings do
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return made.get_template(name)


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


def _policy(script: str, look: str) -> str:
    """Return what a browser may do with the page: run its script, use its style, and no more.

    Source:
        W3C, Content Security Policy Level 3, sections 6.7.3 (hashes) and 3.3 (`meta`).
    """
    parts: dict[str, Any] = {
        "default-src": "'none'",
        "script-src": _hash(f"\n{script}\n"),
        "style-src": _hash(f"\n{look}\n"),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _colours() -> str:
    """Return the colours of pictures as those of the page, and of the classes of its pictures."""
    light = "".join(f"--{name}:{ink.light};" for name, ink in INKS.items())
    dark = "".join(f"--{name}:{ink.dark};" for name, ink in INKS.items())
    classes = "".join(
        f".f-{name}{{fill:var(--{name})}}.l-{name}{{stroke:var(--{name})}}" for name in INKS
    )
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{classes}"
