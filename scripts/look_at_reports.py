"""Look at pages of HTML in a browser: pip install -e ".[browser,test]", then run it with a folder.

It makes reports of several kinds, opens each in Chromium on narrow and wide, light and dark
screens, with scripts and without, and fails on anything that the browser or axe-core complains
of. Screenshots are left in the folder, for eyes.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, sync_playwright

import dscost

ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
WIDTHS = (400, 1400)
SCHEMES = ("light", "dark")
OPENED = """document.querySelectorAll("details").forEach((one) => { one.open = true; })"""
FEWER = """document.querySelectorAll("tr:nth-child(n+40)").forEach((one) => { one.remove(); })"""
"""Rows are alike, and axe-core takes minutes for thousands."""
MOST_PIXELS = 16_000
"""Of a screenshot from top to bottom: Chromium makes none that is larger."""

BUDGET = """\
version: 1
models:
  - {name: small, target: mobilenet_v2, limits: {params: 3M, macs: 1T}}
  - {name: large, target: resnet18, limits: {params: 20M, macs: 1G}}
"""
HOSTILE = (
    "</script><script>document.title='x'</script>",
    "\" onload=\"document.title='x'",
    "right\u202eleft",
    "<img src=x onerror=document.title='x'>",
    "two\nlines",
    "long_" * 2000,
)
MANY = """\
from torch import nn


def block():
    return nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(5)))


def make():
    return nn.Sequential(*(nn.Sequential(*(block() for _ in range(30))) for _ in range(10)))
"""
COMMANDS = {
    "resnet18": "model resnet18 --no-time",
    "roofline": "model resnet18 --no-time --on t4 --explain",
    "mobilenet_v2": "model mobilenet_v2 --no-time",
    "tree": "model mobilenet_v2 --no-time --tree",
    "compare": "compare resnet18 resnet34 mobilenet_v2 mobilenet_v3_small efficientnet_b0",
    "check": "check budget.yaml",
    "convert": "convert resnet18 --goal macs=0.5x",
    "sweep": "sweep --cin 8,16,32,64 --cout 16,32,64 -k 3,5 --size 14,28",
    "layer": "layer 64 64 3 --size 28 --time-budget 1",
    "device": "device --on t4",
    "many": "model many.py:make --input 1,16,32,32 --no-time",
}
"""What is looked at, by name; a report of hostile names is made here."""


def main() -> int:
    """Make the reports that are asked for, and look at each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("out", type=Path, help="folder for pages and screenshots")
    which = [*COMMANDS, "hostile"]
    asked.add_argument("only", nargs="*", choices=[*which, []], help="by default all")
    browser = "the browser; '' for that of playwright"
    asked.add_argument("--chromium", default="/usr/bin/chromium", help=browser)
    options = asked.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.only or which
    for name in names:
        make(name, options.out)
    faults: list[str] = []
    with sync_playwright() as playwright:
        path = options.chromium or None
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        for name in names:
            found = [f"{name}: {fault}" for fault in look_at(opened, options.out / f"{name}.html")]
            print(*(found or [f"{name}: nothing to complain of"]), sep="\n", flush=True)
            faults += found
        opened.close()
    return 1 if faults else 0


def make(name: str, out: Path) -> None:
    """Write a report, and what it is of."""
    (out / "budget.yaml").write_text(BUDGET, encoding="utf-8")
    if name == "hostile":
        report = dscost.analyze("resnet18")
        layers = tuple(
            one._replace(name=f"{HOSTILE[at % len(HOSTILE)]}{at}")
            for at, one in enumerate(report.layers)
        )
        odd = report._replace(target=HOSTILE[0], layers=layers, warnings=HOSTILE)
        odd.save(out / "hostile.html")
        return
    (out / "many.py").write_text(MANY, encoding="utf-8")
    command = [sys.executable, "-m", "dscost", *COMMANDS[name].split(), "-q", "-o", f"{name}.html"]
    ran = subprocess.run(command, cwd=out, check=False, capture_output=True, text=True)
    if ran.returncode > 1 or not (out / f"{name}.html").exists():
        raise SystemExit(f"{' '.join(command)}: {ran.stderr}")


def look_at(browser: Browser, path: Path) -> Iterator[str]:
    """Yield what is wrong with a page."""
    for scheme in SCHEMES:
        for width in WIDTHS:
            yield from _in_a_window(browser, path, scheme, width)
        yield from _by_axe(browser, path, scheme)
    yield from _used(browser, path)
    yield from _without_scripts(browser, path)
    yield from _printed(browser, path)


def _watched(page: Page, path: Path, faults: list[str]) -> None:
    own = path.resolve().as_uri()
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on(
        "request",
        lambda request: request.url in (own, "data:,") or faults.append(f"asks for {request.url}"),
    )
    page.goto(own)


def _in_a_window(browser: Browser, path: Path, scheme: str, width: int) -> Iterator[str]:
    faults: list[str] = []
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    _watched(page, path, faults)
    if page.evaluate("document.documentElement.scrollWidth") > width:
        faults.append(f"the page scrolls sideways at {width} px")
    if page.title() == "x":
        faults.append("a name has run as a script")
    empty = page.evaluate("""() => [...document.querySelectorAll("svg")].filter(
        (svg) => svg.querySelectorAll(".m rect, .m path").length === 0).length""")
    if empty:
        faults.append(f"{empty} pictures have no marks")
    cut = page.evaluate("""() => [...document.querySelectorAll("svg")].flatMap((svg) => {
        const frame = svg.viewBox.baseVal;
        return [...svg.querySelectorAll("text")].filter((text) => {
            const box = text.getBBox();
            const right = box.x + box.width, bottom = box.y + box.height;
            const isOutside = box.x < -1 || box.y < -1 || right > frame.width + 1
                || bottom > frame.height + 1;
            return isOutside && !text.hasAttribute("transform");
        }).map((text) => text.textContent);
    })""")
    faults += [f"cut in a picture: {text}" for text in cut]
    silent = page.evaluate("""() => [...document.querySelectorAll(".scroll, .picture")].filter(
        (one) => one.scrollWidth > one.clientWidth + 1 && one.checkVisibility()
            && !one.previousElementSibling?.matches(".hint:not([hidden])")).length""")
    if silent:
        faults.append(f"{silent} tables or pictures are cut at {width} px and do not say so")
    beside = page.evaluate("""() => [...document.querySelectorAll(".pictures")].filter((one) => {
        const tops = [...one.children].map((shown) => shown.getBoundingClientRect().top);
        return tops.length > 1 && tops[0] !== tops[1];
    }).length""")
    if beside and width == WIDTHS[-1]:
        faults.append(f"pictures stand below each other at {width} px")
    _shoot(page, path.with_name(f"{path.stem}-{scheme}-{width}.png"))
    page.close()
    yield from faults


def _shoot(page: Page, path: Path) -> None:
    high = page.evaluate("document.documentElement.scrollHeight")
    width = page.viewport_size["width"]  # type: ignore[index]
    clip = {"x": 0, "y": 0, "width": width, "height": min(high, MOST_PIXELS)}
    page.screenshot(path=path, full_page=True, clip=clip)


def _by_axe(browser: Browser, path: Path, scheme: str) -> Iterator[str]:
    # axe-core is a script of somebody else's, which the policy of the page forbids
    page = browser.new_page(color_scheme=scheme, bypass_csp=True)
    page.goto(path.resolve().as_uri())
    page.evaluate(FEWER)
    page.evaluate(OPENED)
    for one in Axe().run(page)["violations"]:
        places = [" ".join(node["target"]) for node in one["nodes"]]
        yield f"axe ({scheme}): {one['id']}: {one['help']}: {len(places)} × {places[0]}"
    page.close()


def _used(browser: Browser, path: Path) -> Iterator[str]:
    """Sort and filter the first table that can be, and save the rows."""
    faults: list[str] = []
    page = browser.new_page(accept_downloads=True)
    _watched(page, path, faults)
    page.evaluate(OPENED)
    long = page.locator(".tools:has(input[type=search]) + .scroll table.sortable").first
    if long.count():
        faults += _sorted(page, long)
        faults += _filtered(page, long)
    save = page.get_by_role("button", name="as CSV")
    if save.count():
        with page.expect_download() as download:
            save.click()
        text = Path(download.value.path()).read_text(encoding="utf-8")
        if len(text.splitlines()) < 2:
            faults.append("what was saved as CSV has no rows")
    mark = page.locator("svg .m [class*='f-s']").first
    if mark.count():
        mark.hover(force=True)
        if not page.locator("#tip").inner_text():
            faults.append("a mark of a picture says nothing")
    page.close()
    yield from faults


def _sorted(page: Page, table: Locator) -> Iterator[str]:
    heads = table.locator("thead th.n:visible")
    if not heads.count():
        return
    head = heads.first
    at = head.evaluate("(head) => head.cellIndex")
    values = """(table, at) => [...table.tBodies[0].rows]
        .filter((row) => !row.classList.contains("sum")).map((row) => row.cells[at])
        .filter((cell) => cell.dataset.v || /^[\\d,]+$/.test(cell.textContent))
        .map((cell) => Number(cell.dataset.v ?? cell.textContent.replaceAll(",", "")))"""
    before = table.evaluate(values, at)
    for wanted, order in (
        ("descending", sorted(before, reverse=True)),
        ("ascending", sorted(before)),
        (None, before),
    ):
        head.get_by_role("button").click()
        if head.get_attribute("aria-sort") != wanted or table.evaluate(values, at) != order:
            yield f"a click on {head.inner_text()!r} does not sort {wanted}"


def _filtered(page: Page, table: Locator) -> Iterator[str]:
    name = table.locator("tbody th").nth(1).text_content()
    names = table.locator("tbody th").all_text_contents()
    page.locator(".tools input[type=search]").first.fill(name.upper())
    shown = table.locator("tbody th:visible").all_text_contents()
    if shown != [one for one in names if name.lower() in one.lower()]:
        yield f"filtered by {name!r} there are {len(shown)} rows"


def _without_scripts(browser: Browser, path: Path) -> Iterator[str]:
    page = browser.new_page(java_script_enabled=False, viewport={"width": 1400, "height": 900})
    page.goto(path.resolve().as_uri())
    if page.locator("button, input").count():
        yield "there are controls without a script"
    if page.locator("[hidden]").count():
        yield "something cannot be seen without a script"
    if page.locator("svg .m").count() != page.locator("svg .m > title").count():
        yield "marks say nothing without a script"
    page.screenshot(path=path.with_name(f"{path.stem}-bare-1400.png"))
    page.close()


def _printed(browser: Browser, path: Path) -> Iterator[str]:
    page = browser.new_page(viewport={"width": 800, "height": 1100})
    page.goto(path.resolve().as_uri())
    page.emulate_media(media="print")
    cut = page.evaluate("""() => [...document.querySelectorAll(".scroll")]
        .filter((one) => one.scrollHeight > one.clientHeight + 1).length""")
    if cut:
        yield f"{cut} tables are cut in print"
    if page.locator(".tools:visible, .copy:visible").count():
        yield "controls are printed"
    page.pdf(path=path.with_suffix(".pdf"))
    page.close()


if __name__ == "__main__":
    sys.exit(main())
