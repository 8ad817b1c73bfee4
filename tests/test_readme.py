"""What the README has to hold beside what every page has (tests/test_documents.py)."""

import re

from documents import DOCS, README, ROOT, examples
from links import links

TEXT = README.read_text(encoding="utf-8")


def test_the_test_command_of_the_readme_is_the_one_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in ci
    assert "<!-- test command -->\n```sh\npython3 -m venv" in TEXT
    assert "<!-- main command -->\n```sh\npython3 -m venv" in TEXT


def test_the_readme_is_short() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_no_table_and_no_output_of_the_readme_is_wider_than_90_columns() -> None:
    shown = "\n".join(re.findall(r"```(?:console|text)\n(.*?)```", TEXT, re.DOTALL))
    tables = "\n".join(re.findall(r"^\|.*", TEXT, re.MULTILINE))
    for line in f"{shown}\n{tables}".splitlines():
        assert len(line) <= 90, line


def test_the_readme_shows_three_commands_and_where_there_is_more() -> None:
    assert len({example.arguments[0] for example in examples([README])}) == 3
    assert {link.partition("#")[0] for link in links(README)} >= {
        f"docs/{page.name}" for page in DOCS.glob("*.md")
    }


def test_the_picture_of_the_readme_says_what_the_readme_says_of_it() -> None:
    (picture,) = [link for link in links(README) if link.endswith(".svg")]
    drawn = (ROOT / picture).read_text(encoding="utf-8")
    gained = re.search(
        r"Of (\d+) points, by their medians: (\d+) as fast as the MACs promise", drawn
    )
    assert gained is not None
    assert (gained[2], f"None of these {gained[1]} measurements gains" in TEXT) == ("0", True)
