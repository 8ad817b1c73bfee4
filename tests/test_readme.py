import ast
import re
from pathlib import Path

import pytest
from program import run
from readme import README, Example, examples, without_measurements

from dscost.layers.variants import VARIANTS


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.command)
def test_the_program_prints_what_the_readme_shows(example: Example, tmp_path: Path) -> None:
    for name, text in example.files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    if example.after:
        assert run(*example.after, cwd=tmp_path).returncode == 0
    ran = run(*example.arguments, cwd=tmp_path)
    printed = ran.stdout + ran.stderr
    if example.measured:
        assert without_measurements(printed) == without_measurements(example.printed)
    else:
        assert printed == example.printed


def test_the_readme_shows_measured_and_exact_output() -> None:
    assert {example.measured for example in examples()} == {True, False}


def test_the_python_of_the_readme_says_what_it_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        VARIANTS, "_entries", dict(VARIANTS._entries)
    )  # what it registers is gone afterwards
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 1
    for code in blocks:
        scope: dict[str, object] = {}
        lines = code.splitlines()
        for statement in ast.parse(code).body:
            source = ast.get_source_segment(code, statement) or ""
            _, _, expected = lines[statement.end_lineno - 1].partition("  # ")
            if expected:
                assert eval(source, scope) == eval(expected, scope)
            elif "time=True" not in source:  # timing is tested elsewhere
                exec(code_of(lines, statement), scope)


def code_of(lines: list[str], statement: ast.stmt) -> str:
    """Return a statement with its decorators, which its own source leaves out."""
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    return "\n".join(lines[first - 1 : statement.end_lineno])


def test_the_test_command_of_the_readme_is_the_one_ci_runs() -> None:
    ci = (README.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in ci
    assert "<!-- test command -->\n```sh\npython3 -m venv" in README.read_text(encoding="utf-8")
