import ast
import re
import runpy
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from documents import (
    DOCS,
    README,
    ROOT,
    Example,
    all_texts,
    examples,
    name_of,
    pages,
    python_blocks,
    unwrapped,
    without_measurements,
    wrapped,
)
from links import anchors, headings, links, named_in_code
from program import run

from dscost.layers.variants import VARIANTS

# -- what is shown is what happens


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_the_program_prints_what_the_page_shows(example: Example, tmp_path: Path) -> None:
    for name, text in example.files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    if example.after:
        assert run(*example.after, cwd=tmp_path).returncode == 0
    ran = run(*example.arguments, cwd=tmp_path)
    printed = ran.stdout + ran.stderr
    if example.measured:
        assert without_measurements(printed) == without_measurements(unwrapped(example.printed))
    else:
        assert wrapped(printed) == wrapped(example.printed)


def test_what_is_broken_for_a_page_is_whole_again() -> None:
    sentence = "Measured " + "on a machine that is said, " * 9 + "and noted."
    text = f"a   table   {'of figures ' * 12}\n{sentence}\nFLOPs = 2 × MACs.\n\nend\n"
    assert max(map(len, wrapped(sentence).splitlines())) <= 88
    assert wrapped(text).startswith(text.partition("\n")[0] + "\n")
    assert unwrapped(wrapped(text)) == text


def test_the_pages_show_measured_and_exact_output_of_dscost() -> None:
    found = examples()
    assert {example.measured for example in found} == {True, False}
    assert {example.command.split()[0] for example in found} == {"dscost"}
    assert {example.after[:1] for example in found} <= {(), ("model",), ("layer",)}


@pytest.mark.parametrize(
    ("page", "code"), [pytest.param(*block, id=name_of(block[0])) for block in python_blocks()]
)
def test_the_python_of_a_page_says_what_it_gives(
    page: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        VARIANTS, "_entries", dict(VARIANTS._entries)
    )  # what it registers is gone afterwards
    scope: dict[str, object] = {}
    lines = code.splitlines()
    for statement in ast.parse(code).body:
        source = ast.get_source_segment(code, statement) or ""
        _, _, expected = lines[statement.end_lineno - 1].partition("  # ")
        if expected:
            assert eval(source, scope) == eval(expected, scope)
        elif "time=True" not in source:  # timing is tested elsewhere
            exec(code_of(lines, statement), scope)


def test_there_is_python_that_is_run() -> None:
    assert len(python_blocks()) > 1


def test_the_score_of_the_pages_runs_as_it_is_written(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    found = re.search(r"```text\n\$ cat eval\.py\n(.*?)\$ (.*?)\n(.*?)```", all_texts(), re.DOTALL)
    assert found is not None
    code, command, shown = found.groups()
    (tmp_path / "eval.py").write_text(code, encoding="utf-8")
    (tmp_path / "examples").mkdir()
    example = ROOT / "examples" / "fine_tune.py"
    shutil.copy(example, tmp_path / "examples")
    names = runpy.run_path(str(example))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = names["small_network"]()
        names["train"](network, names["draw"](600, torch.Generator().manual_seed(0)), 2)
    torch.save(network.state_dict(), tmp_path / "trained.pt")
    ran = run(*shlex.split(command)[1:], "--score-budget", "12", "--journal", "j", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    first, *rest = shown.splitlines()
    assert ran.stdout.splitlines()[0] == first
    assert "Score by eval.py:right: " in ran.stdout
    # accuracies are of other weights: of each layer its costs are the same
    for line in rest[rest.index("…") + 3 : -1]:
        layer, costs = line.split()[0], line[-len("294.9k → 41.98k") :]
        assert re.search(
            rf"^{layer} .*[a-z].* {re.escape(costs.strip())}$", ran.stdout, re.MULTILINE
        )


def code_of(lines: list[str], statement: ast.stmt) -> str:
    """Return a statement with its decorators, which its own source leaves out."""
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    return "\n".join(lines[first - 1 : statement.end_lineno])


# -- where links lead

LINKED = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
CONFIGS = sorted((ROOT / "configs").rglob("*.md"))
AT_THE_TOP = frozenset(path.name for path in ROOT.iterdir() if path.is_dir())


def relative_links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield each link to a file or heading of this repository: as written, the file, the anchor."""
    for link in links(page):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            yield link, (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", [*LINKED, *CONFIGS], ids=name_of)
def test_links_lead_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for link, target, anchor in relative_links(page):
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert target.suffix == ".md", link
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", [*LINKED, *CONFIGS], ids=name_of)
def test_links_out_of_the_house_are_https_and_well_formed(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            url = urlsplit(link)
            assert url.scheme == "https", link
            assert re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", url.netloc), link
            assert not re.search(r"[^!-~]|[<>\"]", link), link


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    for name in named_in_code(page):
        top, _, rest = name.partition("/")
        if top in AT_THE_TOP - {"dscost"} and rest and re.fullmatch(r"[\w./-]+", rest):
            assert (ROOT / name).exists(), name


def test_the_site_has_every_page_of_docs_and_no_other() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    shown = [DOCS / path for path in paths_of(site["nav"])]
    assert sorted(shown) == sorted(DOCS.rglob("*.md"))


def paths_of(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list):
        for part in nav:
            yield from paths_of(part)
    elif isinstance(nav, dict):
        yield from paths_of(list(nav.values()))


def test_the_first_page_says_what_each_extra_is_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install = (DOCS / "index.md").read_text(encoding="utf-8").partition("\n## Ask")[0]
    listed = re.findall(r"^- .*(?:\n  .*)*", install, re.MULTILINE)
    named = {name for one in listed for name in re.findall(r"`([\w-]+)`", one)}
    assert set(project["optional-dependencies"]) <= named


def test_every_page_is_reached_from_the_first() -> None:
    reached, left = set(), [DOCS / "index.md"]
    while left:
        page = left.pop()
        if page not in reached:
            reached.add(page)
            left += [
                path
                for _, path, _ in relative_links(page)
                if path.suffix == ".md" and DOCS in path.parents
            ]
    assert reached == set(DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_a_page_of_docs_has_one_title_and_leads_only_to_pages_and_pictures_of_docs(
    page: Path,
) -> None:
    """What lies elsewhere is on GitHub and not on the site: it is named, not linked."""
    assert (
        len(
            re.findall(
                r"^# .+", page.read_text(encoding="utf-8").partition("\n```")[0], re.MULTILINE
            )
        )
        == 1
    )
    assert headings(page)
    for link, target, _ in relative_links(page):
        assert DOCS in target.parents, link


def test_the_front_page_leads_into_the_docs() -> None:
    assert DOCS / "index.md" in {path for _, path, _ in relative_links(README)}
