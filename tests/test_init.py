from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import program
import pytest

from dscost.analysis import Request
from dscost.budgets.checking import check
from dscost.budgets.findings import CheckResult
from dscost.budgets.reading import read_budget
from dscost.budgets.starting import at_least, starter_budget
from dscost.cli import run
from dscost.errors import InputError
from dscost.notation.literals import written
from dscost.notation.quantities import parse_quantity

TINY = "- {conv: 3, out_channels: 8, bias: false}\n- flatten\n"
TINY_PARAMS = 3 * 3 * 3 * 8
TINY_MACS = 32 * 32 * TINY_PARAMS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        (0, "count", "0"),
        (1, "count", "1"),
        (999, "count", "999"),
        (1000, "count", "1k"),
        (1001, "count", "1.01k"),
        (4_231_976, "count", "4.24M"),
        (9_999_999, "count", "10M"),
        (12_273_988, "count", "12.3M"),
        (156_000_000, "count", "156M"),
        (999_000_001, "count", "1G"),
        (1023, "bytes", "1_023 B"),
        (1024, "bytes", "1 KiB"),
        (1025, "bytes", "1.01 KiB"),
        (1023 * 1024 + 1, "bytes", "1 MiB"),
        (3 * 10**15, "count", "3000T"),
    ],
)
def test_a_limit_is_written_in_three_digits_rounded_up(value: int, kind: str, written: str) -> None:
    assert at_least(Fraction(value), kind) == written
    assert parse_quantity(written, kind) >= value


@pytest.mark.parametrize("kind", ["count", "bytes"])
def test_a_rounded_limit_is_never_below_nor_one_percent_and_a_bit_above(kind: str) -> None:
    for value in (7 * 11**power + power for power in range(14)):
        limit = parse_quantity(at_least(Fraction(value), kind), kind)
        assert value <= limit <= max(value * Fraction(1011, 1000), value + 1)


def test_without_headroom_every_digit_stays() -> None:
    assert at_least(Fraction(11_689_512), "count", exactly=True) == "11_689_512"
    assert at_least(Fraction(573_440), "bytes", exactly=True) == "573_440 B"


pytestmark = pytest.mark.usefixtures("forked_workers")


def first_check(path: Path = Path("dscost.yaml")) -> CheckResult:
    """Return what a first budget says once its baseline is kept."""
    assert run(["baseline", "save", str(path), "-q"]) == 0
    return check(path)


def test_the_budget_that_init_writes_passes_as_soon_as_its_baseline_is_kept(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "net.yaml").write_text(TINY)
    assert run(["init", "resnet18", "net.yaml", "--input", "1,3,32,32"]) == 0
    assert "dscost baseline save" in capsys.readouterr().err
    result = check(Path("dscost.yaml"))  # and without one nothing is let off
    assert result.exit_code == 1
    assert {(one.kind, one.level) for one in result.findings} == {("missing_baseline", "error")}
    assert run(["baseline", "save"]) == 0
    assert check(Path("dscost.yaml"), strict=True).findings == ()


@pytest.mark.parametrize(
    ("slip", "kind"),
    [
        (lambda text: text.replace("baseline: dscost", "baseline: dsocst"), "missing_baseline"),
        (lambda text: text.replace("name: net", "name: other"), "missing_baseline"),
        (
            lambda text: text.replace("input: [1, 3, 32, 32]", "input: [1, 3, 32, 31]"),
            "not_comparable",
        ),
    ],
    ids=["another file", "another name", "another input"],
)
def test_no_slip_in_a_first_budget_is_let_off(
    slip: Callable[[str], str], kind: str, here: Path
) -> None:
    (here / "net.yaml").write_text(TINY)
    assert run(["init", "net.yaml", "--input", "1,3,32,32", "-q"]) == 0
    assert first_check().exit_code == 0
    text = Path("dscost.yaml").read_text()
    assert slip(text) != text
    Path("dscost.yaml").write_text(slip(text))
    result = check(Path("dscost.yaml"))
    assert (kind, "error") in {(one.kind, one.level) for one in result.findings}
    assert result.exit_code == 1


def test_what_is_in_doubt_of_a_model_from_the_start_is_said_and_does_not_break_the_first_check(
    here: Path,
) -> None:
    (here / "nets.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Linear):\n"
        "    def forward(self, x):\n        return super().forward(x) if x.sum() > -1 else x\n"
    )
    assert run(["init", "nets.py:Net", "--kwargs", "in_features=4", "--kwargs", "out_features=4", "--input", "1,4",
                "-q"]) == 0  # fmt: skip
    assert "  on_value_dependent: warn\n" in Path("dscost.yaml").read_text()
    result = first_check()
    assert result.exit_code == 0
    assert [(one.kind, one.level) for one in result.findings] == [("value_dependent", "warn")]


def test_limits_are_what_was_counted_and_the_headroom(here: Path) -> None:
    (here / "net.yaml").write_text(TINY)
    text = starter_budget(
        ["net.yaml"], Path("dscost.yaml"), Fraction(1, 10), Request(input=(1, 3, 32, 32))
    )
    # 216 * 1.1 = 237.6, 221,184 * 1.1 = 243,302.4; a value of the input and of the output alive at once
    assert (TINY_PARAMS, TINY_MACS) == (216, 221_184)
    assert "      params: 238 # 216\n" in text
    assert "      macs: 244k # 221,184\n" in text
    assert f"# {4 * 32 * 32 * (3 + 8):,}\n" in text


def test_without_headroom_one_more_would_fail(here: Path) -> None:
    (here / "net.yaml").write_text(TINY)
    assert run(["init", "net.yaml", "--input", "1,3,32,32", "--headroom", "0%", "-q"]) == 0
    assert first_check().exit_code == 0
    text = Path("dscost.yaml").read_text()
    assert "params: 216 #" in text
    Path("dscost.yaml").write_text(text.replace("params: 216 #", "params: 215 #"))
    assert check(Path("dscost.yaml")).exit_code == 1


def test_the_first_line_tells_editors_of_the_schema(here: Path) -> None:
    assert run(["init", "mobilenet_v1", "-q"]) == 0
    first, second, *_ = Path("dscost.yaml").read_text().splitlines()
    assert first == "# yaml-language-server: $schema=dscost.schema.json"
    assert "dscost schema budget -o dscost.schema.json" in second
    assert run(["schema", "budget", "-o", "dscost.schema.json", "-q"]) == 0


def test_files_are_named_from_the_folder_of_the_budget(here: Path) -> None:
    for folder in ("nets", "budgets"):
        (here / folder).mkdir()
    (here / "nets" / "net.yaml").write_text(TINY)
    path = Path("budgets/dscost.yaml")
    assert run(["init", "nets/net.yaml", "--input", "1,3,32,32", "-o", str(path), "-q"]) == 0
    (entry,) = read_budget(path).entries
    assert (entry.name, entry.target, entry.input) == ("net", "../nets/net.yaml", (1, 3, 32, 32))
    assert first_check(path).exit_code == 0


def test_a_factory_with_arguments_and_an_architecture_of_a_file(here: Path) -> None:
    (here / "nets.py").write_text(
        "import torch\n\n\ndef make(width):\n    print('noise')\n    return torch.nn.Linear(4, width, bias=False)\n"
    )
    assert run(["init", "nets.py:make", "--input", "1,4", "--kwargs", "width=8", "-q"]) == 0
    (entry,) = read_budget(Path("dscost.yaml")).entries
    assert (entry.name, dict(entry.kwargs)) == ("make", {"width": 8})
    assert first_check().exit_code == 0
    assert "params: 34 # 32\n" in Path("dscost.yaml").read_text()


WORDS = """
import torch
from torch import nn


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(10, 4), nn.Linear(4, 2, bias=False)

    def forward(self, ids, mask):
        return self.out(self.embedding(ids) * mask.unsqueeze(-1))
"""


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["1,5:int64", "1,5"], '["1,5:int64", "1,5"]'),
        (["mask=1,5:float16", "ids=1,5:int64"], '["mask=1,5:float16", "ids=1,5:int64"]'),
    ],
)
def test_several_inputs_are_written_as_on_the_command_line(
    options: list[str], written: str, here: Path
) -> None:
    (here / "nets.py").write_text(WORDS)
    inputs = [text for one in options for text in ("--input", one)]
    assert run(["init", "nets.py:Words", *inputs, "--headroom", "0%", "-q"]) == 0
    text = Path("dscost.yaml").read_text()
    assert f"  input: {written}\n" in text
    assert f"macs: {5 * 4 * 2} #" in text
    assert first_check().exit_code == 0


def test_a_saved_report_keeps_its_own_input_beside_models_that_are_given_one(here: Path) -> None:
    (here / "net.yaml").write_text(TINY)
    assert (
        run(
            ["model", "net.yaml", "--input", "1,3,16,16", "--no-time", "--json", "-o", "saved.json"]
        )
        == 0
    )
    options = ["--input", "1,3,32,32", "--batch", "2", "--headroom", "0%", "-q"]
    assert run(["init", "saved.json", "net.yaml", *options]) == 0
    text = Path("dscost.yaml").read_text()
    assert [line.split()[1] for line in text.splitlines() if "macs: " in line and "#" in line] == [
        f"{TINY_MACS // 4:_}",
        f"{TINY_MACS * 2:_}",
    ]
    assert first_check().exit_code == 0


def test_nothing_can_be_given_to_saved_reports_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "net.yaml").write_text(TINY)
    assert (
        run(
            ["model", "net.yaml", "--input", "1,3,16,16", "--no-time", "--json", "-o", "saved.json"]
        )
        == 0
    )
    assert run(["init", "saved.json", "--batch", "2"]) == 2
    said = "dscost: saved.json is a saved report, counted already: --batch cannot change it"
    assert capsys.readouterr().err.splitlines()[-1] == said


def test_settings_batch_and_dtype_are_written_too(here: Path) -> None:
    options = ["--set", "width=0.5", "--batch", "2", "--dtype", "float16", "-q"]
    assert run(["init", "mobilenet_v1", *options]) == 0
    (entry,) = read_budget(Path("dscost.yaml")).entries
    assert (dict(entry.settings), entry.batch, entry.dtype) == ({"width": 0.5}, 2, "float16")
    result = first_check()
    assert result.exit_code == 0
    (macs,) = [one.value for one in result.passed if (one.metric, one.bound) == ("macs", "max")]
    assert macs is not None
    assert (
        f"{float(macs) / 2 / 1e6:.2f}" == "149.50"
    )  # the recount of width 0.5, tests/data/papers.csv


def test_names_are_short_and_unlike(here: Path) -> None:
    for folder in ("a", "b"):
        (here / folder).mkdir()
        (here / folder / "net.yaml").write_text(TINY)
    (here / "true.yaml").write_text(TINY)
    assert (
        run(
            [
                "init",
                "a/net.yaml",
                "b/net.yaml",
                "true.yaml",
                "true.yaml",
                "--input",
                "1,3,8,8",
                "-q",
            ]
        )
        == 0
    )
    assert [entry.name for entry in read_budget(Path("dscost.yaml")).entries] == [
        "a/net.yaml",
        "b/net.yaml",
        "true",
    ]
    assert 'name: "true"' in Path("dscost.yaml").read_text()


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dscost.yaml").write_text("mine\n")
    assert run(["init", "resnet18"]) == 2
    said = "dscost: dscost.yaml exists and is not overwritten: edit it, or write elsewhere by -o FILE\n"
    assert capsys.readouterr().err == said
    assert Path("dscost.yaml").read_text() == "mine\n"


def test_every_bad_model_gets_its_line_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "net.yaml").write_text("- {conv: 3}\n")
    assert run(["init", "resnet81", "resnet18", "net.yaml", "nix.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("dscost: unknown model 'resnet81' (did you mean 'resnet18'?)")
    assert lines[1:] == [
        "dscost: net.yaml:1:3: missing key 'out_channels'",
        "dscost: cannot read nix.yaml: No such file or directory",
    ]
    assert [path.name for path in here.iterdir()] == ["net.yaml"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--headroom", "5"],
            "--headroom: expected a quantity such as 5%, found '5': it lacks a unit",
        ),
        (
            ["--input", "ids=1;128"],
            "--input: expected something like 1,3,224,224 or ids=1,128:int64, found 'ids=1;128'",
        ),
        (["--input", "a=1", "--input", "a=2"], "--input: two inputs are called 'a'"),
    ],
)
def test_a_wrong_option_says_what_is_expected(
    options: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "resnet18", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_missing_folder_is_told_before_anything_is_counted(here: Path) -> None:
    ran = program.run("init", "nix", "-o", "no/where.yaml")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "dscost: cannot write no/where.yaml: there is no folder no\n"


def test_operators_of_unknown_cost_are_named_and_do_not_break_the_first_check(here: Path) -> None:
    (here / "nets.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n"
        "    def forward(self, x):\n        return torch.linalg.solve(x, x)\n"
    )
    assert run(["init", "nets.py:Net", "--input", "1,4,4", "-q"]) == 0
    text = Path("dscost.yaml").read_text()
    assert "linalg" in text
    assert "  on_unknown_cost: warn\n" in text
    result = first_check()
    assert result.exit_code == 0
    assert "unknown_cost" in {one.kind for one in result.findings}


def test_a_quoted_path_survives(here: Path, network_file: Callable[..., str]) -> None:
    network_file(TINY, name="it's: a #net.yaml")
    assert run(["init", "it's: a #net.yaml", "--input", "1,3,8,8", "-q"]) == 0
    (entry,) = read_budget(Path("dscost.yaml")).entries
    assert entry.target == "it's: a #net.yaml"


def test_the_library_says_of_every_model_why_it_cannot_be_counted(here: Path) -> None:
    with pytest.raises(InputError) as caught:
        starter_budget(["nix.yaml", "nux.yaml"], Path("dscost.yaml"), Fraction(0))
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize("value", ["a\x7fb", "\x9b2J", "\u2028", ("\ufeff", 1)], ids=ascii)
def test_arguments_that_no_text_of_yaml_may_hold_survive(value: Any, here: Path) -> None:
    (here / "nets.py").write_text(
        "from torch import nn\ndef make(value): return nn.Conv2d(3, 4, 3)\n"
    )
    assert (
        run(
            [
                "init",
                "nets.py:make",
                "--input",
                "1,3,8,8",
                "--kwargs",
                f"value={written(value)}",
                "-q",
            ]
        )
        == 0
    )
    (entry,) = read_budget(Path("dscost.yaml")).entries
    assert entry.kwargs == {"value": value}
