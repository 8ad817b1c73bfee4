"""What a user names in a file of Python is found without torch, in the world of that file."""

import subprocess
import sys
from pathlib import Path

import pytest

from dscost.errors import InputError
from dscost.sources.code_files import named_in_file


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "eval.py") -> None:
    Path(name).write_text(text)


def test_a_function_is_found_and_finds_what_lies_beside_its_file() -> None:
    write("HALF = 0.5", "beside.py")
    write("def accuracy():\n    from beside import HALF\n    return HALF")
    found = named_in_file("eval.py:accuracy", option="--score")
    with found.importing():
        assert found.value() == 0.5
    assert "beside" not in sys.modules


def test_what_a_class_of_the_file_holds_is_found_by_dots() -> None:
    write("class Data:\n    batches = [1, 2]")
    assert named_in_file("eval.py:Data.batches", option="--calibrate").value == [1, 2]


WRONG = {
    "none.py:f": "--score none.py:f: no such file: none.py",
    "eval.py": "--score eval.py: name what is meant of it, as eval.py:NAME, one of accuracy, other",
    "eval.py:acuracy": "--score eval.py:acuracy: there is no 'acuracy' in eval.py (did you mean 'accuracy'?)",
    "broken.py:f": "--score broken.py:f: running broken.py failed: ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize(("target", "told"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_found_is_told_in_a_line(target: str, told: str) -> None:
    write("def accuracy():\n    pass\nother = 1\n_own = 2")
    write("1 / 0", "broken.py")
    with pytest.raises(InputError) as error:
        named_in_file(target, option="--score")
    assert str(error.value) == told


def test_no_torch_is_imported() -> None:
    write("batches = [1]")
    code = (
        "import sys; from dscost.sources.code_files import named_in_file\n"
        "named_in_file('eval.py:batches', option='--calibrate')\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
