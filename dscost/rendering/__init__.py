"""Reports as text. A renderer takes reports and a view and returns text; it prints nothing.

Each format is imported when it is asked for, so that JSON does not pay for tables.
"""

from collections.abc import Callable, Sequence
from importlib import import_module

from dscost.registries import Registry
from dscost.pages.page import View
from dscost.reports.records import Report

__all__ = ["RENDERERS", "Renderer", "View", "render"]

Renderer = Callable[[Sequence[Report], View], str]

RENDERERS: Registry[Renderer] = Registry("format", "renderers")


def render(reports: Sequence[Report], format_name: str, view: View) -> str:
    """Return the reports in one of the formats of `RENDERERS`.

    Raises:
        UnknownNameError: There is no such format, or the view asks for a column that there is not.
    """
    return RENDERERS[format_name](reports, view)


def _imported_late(module: str, function: str) -> Renderer:
    def renderer(reports: Sequence[Report], view: View) -> str:
        text: str = getattr(import_module(module), function)(reports, view)
        return text

    return renderer


RENDERERS.register("table")(_imported_late("dscost.rendering.terminal", "render_table"))
RENDERERS.register("json")(_imported_late("dscost.rendering.structured", "render_json"))
RENDERERS.register("csv")(_imported_late("dscost.rendering.structured", "render_csv"))
RENDERERS.register("markdown")(_imported_late("dscost.rendering.markdown", "render_markdown"))
