"""What cannot be done is refused before the work, in one line: unknown keys, a torch that is missing, an odd home."""

import subprocess
import sys
import zipapp
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from dscost.cli import run
from dscost.foreign.containing import torch_problem

ROOT = Path(__file__).parents[1]
TARGET = ["called.py:make", "--input", "1,3,8,8"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model whose making leaves a trace."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "called.py").write_text("from pathlib import Path\nPath('called').touch()\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model", *TARGET, "--columns", "nope"], "unknown column 'nope'"),
        (
            ["model", *TARGET, "--columns", "macs,mcas"],
            "unknown column 'mcas' (did you mean 'macs'?)",
        ),
        (["model", *TARGET, "--sort", "mcas"], "unknown sort key 'mcas' (did you mean 'macs'?)"),
        (["model", *TARGET, "--format", "csv", "--columns", "kind"], "unknown column 'kind'"),
        (
            ["model", *TARGET, "--format", "markdwon"],
            "unknown format 'markdwon' (did you mean 'markdown'?)",
        ),
        (["model", *TARGET, "--export", "jsn=x"], "unknown format 'jsn' (did you mean 'json'?)"),
        (["model", *TARGET, "--on", "t5"], "unknown device 't5'"),
        (
            ["model", *TARGET, "--on", "nothing.yaml"],
            "cannot read nothing.yaml: No such file or directory",
        ),
        (["compare", "resnet18", *TARGET, "--columns", "nope"], "unknown column 'nope'"),
        (["compare", "resnet18", *TARGET, "--sort", "nope"], "unknown sort key 'nope'"),
        (
            ["compare", "resnet18", *TARGET, "--format", "csv", "--columns", "nope"],
            "unknown column 'nope'",
        ),
        (
            ["compare", "resnet18", *TARGET, "--dtype", "float31"],
            "unknown dtype 'float31' (did you mean 'float32'?)",
        ),
        (["compare", "resnet18", *TARGET, "--format", "jsn"], "unknown format 'jsn'"),
        (["layer", "--cin", "8", "--cout", "8", "-k", "3", "--on", "t5"], "unknown device 't5'"),
    ],
)
def test_what_no_result_has_is_refused_before_a_model_is_made(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dscost: {message}")
    assert not (folder / "called").exists()


TORCH = {
    "missing": (
        "sys.modules['torch'] = None",
        "torch is not installed: pip install 'dscost[torch]'",
    ),
    "broken": (
        "sys.path.insert(0, '.')",
        "torch cannot be imported: OSError: libc10.so: cannot open; "
        "pip install --force-reinstall torch installs it anew",
    ),
}


@pytest.mark.parametrize(("how", "message"), TORCH.values(), ids=TORCH.keys())
@pytest.mark.parametrize(
    "arguments",
    [
        ["layer", "--cin", "8", "--cout", "8", "-k", "3"],
        ["model", "resnet18"],
        ["model", "net.py:make", "--input", "1,3,8,8", "--no-time"],
        ["verify", "resnet18"],
        ["convert", "resnet18"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_torch_that_cannot_be_had_is_one_line(
    arguments: list[str], how: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libc10.so: cannot open')\n")
    (tmp_path / "net.py").write_text("def make(): pass\n")
    code = f"import sys; {how}; from dscost.cli import main; main({arguments!r})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    # what is only timed with torch is counted without it
    is_timed = arguments[0] in ("layer", "model") and "--no-time" not in arguments
    if is_timed and how == TORCH["missing"][0]:
        message = f"{message}; --no-time counts without it"
        if find_spec("onnxruntime"):
            message = f"{message}, --runtime onnxruntime times without it"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"dscost: {message}\n")


def test_a_call_of_torch_that_fails_is_no_broken_torch() -> None:
    import torch

    calls: list[Callable[[], object]] = [
        lambda: torch.set_default_device("nowhere"),
        lambda: torch.use_deterministic_algorithms("perhaps"),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises((RuntimeError, TypeError)) as failed:
            call()
        assert any(step.frame.f_globals["__name__"] == "torch" for step in failed.traceback)
        assert torch_problem(failed.value) is None


def test_built_ins_are_found_inside_an_archive(tmp_path: Path) -> None:
    copytree(ROOT / "dscost", tmp_path / "app" / "dscost", ignore=ignore_patterns("__pycache__"))
    copytree(ROOT / "configs", tmp_path / "app" / "dscost" / "configs")
    (tmp_path / "app" / "__main__.py").write_text("from dscost.cli import main\nmain()\n")
    zipapp.create_archive(tmp_path / "app", tmp_path / "dscost.pyz")
    for arguments in (["model", "resnet18", "--no-time", "--json"], ["list", "devices"]):
        done = subprocess.run(
            [sys.executable, str(tmp_path / "dscost.pyz"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "1814073344" in done.stdout or "t4 " in done.stdout


def test_a_variant_s_number_of_too_many_digits_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    layer = ["layer", "--cin", "32", "--cout", "64", "-k", "3", "--no-time"]
    assert run([*layer, "--variant", f"grouped:{'9' * 5000}"]) == 2
    assert (
        capsys.readouterr().err
        == "dscost: grouped takes a whole number, found one of 5,000 digits\n"
    )
