import ast
import re
import runpy
import shlex
import shutil
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


def test_the_score_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    text = README.read_text(encoding="utf-8")
    found = re.search(r"```text\n\$ cat eval\.py\n(.*?)\$ (.*?)\n(.*?)```", text, re.DOTALL)
    assert found is not None
    code, command, shown = found.groups()
    (tmp_path / "eval.py").write_text(code, encoding="utf-8")
    (tmp_path / "examples").mkdir()
    example = README.parent / "examples" / "fine_tune.py"
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


def test_the_test_command_of_the_readme_is_the_one_ci_runs() -> None:
    ci = (README.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in ci
    assert "<!-- test command -->\n```sh\npython3 -m venv" in README.read_text(encoding="utf-8")
