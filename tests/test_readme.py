"""What the README has to hold beside what every page has (tests/test_documents.py)."""

from documents import README, ROOT


def test_the_test_command_of_the_readme_is_the_one_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in ci
    assert "<!-- test command -->\n```sh\npython3 -m venv" in README.read_text(encoding="utf-8")
