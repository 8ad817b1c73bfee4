"""Completion by shells: what they are told when Tab is pressed, in the protocol of each."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from program import PROGRAM, Ran, run

from dscost.cli.app import COMMANDS
from dscost.cli.completing import SHELLS
from dscost.layers.variants import VARIANTS
from dscost.networks.architectures import builtin_names


def asked(shell: str, written: str, cwd: Path | None = None) -> Ran:
    """Return what a shell is told of a line that is written up to its end."""
    number = len(written.split(" ")) - 1
    return run(
        cwd=cwd,
        env={
            "_DSCOST_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": written,
            "COMP_CWORD": str(number),
            "_TYPER_COMPLETE_ARGS": written,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    )


def offered(written: str, shell: str = "bash", cwd: Path | None = None) -> list[str]:
    ran = asked(shell, written, cwd)
    assert ran.stderr == ""
    return ran.stdout.split("\n")[:-1] if ran.stdout != "\n" else []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("dscost mo", ["model"]),
        ("dscost co", ["compare", "convert"]),
        ("dscost help con", ["convert"]),
        ("dscost layer --memory", ["--memory-format"]),
        ("dscost layer 8 8 3 --variant gho", ["ghost"]),
        ("dscost layer 8 8 3 --device cu", ["cuda"]),
        ("dscost layer 8 8 3 --memory-format channels_last,", ["channels_last,contiguous"]),
        ("dscost model resnet1", ["resnet18", "resnet101", "resnet152"]),
        ("dscost compare resnet18 vgg", ["vgg16"]),
        ("dscost sw", ["sweep"]),
        ("dscost sweep sep", ["separable_pays"]),
        ("dscost sweep --model resnet1", ["resnet18", "resnet101", "resnet152"]),
        ("dscost sweep --model mobilenet_v1 --set w", ["width="]),
        ("dscost sweep --cin 8 --variant ghost,inv", ["ghost,inverted_residual"]),
        ("dscost sweep --cin 8 --columns macs,out", ["macs,out_channels", "macs,output_bytes"]),
        ("dscost sweep --cin 8 --sort macs_", ["macs_reduction"]),
        ("dscost convert xcep", ["xception"]),
        (
            "dscost model resnet18 --columns macs,sep",
            ["macs,separable_macs", "macs,separable_latency"],
        ),
        ("dscost convert resnet18 --columns wh", ["why"]),
        ("dscost layer 8 8 3 --columns macs,tra", ["macs,traffic_bytes"]),
        ("dscost model resnet18 --on jetson_o", ["jetson_orin_nano"]),
        ("dscost model resnet18 --sort spe", ["speedup"]),
        ("dscost model mobilenet_v1 --set w", ["width="]),
        ("dscost model resnet18 --dtype bf", ["bfloat16"]),
        ("dscost model resnet18 --format m", ["markdown"]),
        ("dscost check --format s", ["sarif", "svg"]),
        ("dscost check --format=ju", ["junit"]),
        ("dscost model resnet18 --export c", ["csv="]),
        ("dscost sweep --plot c", ["crossover="]),
        ("dscost device rtx_4", ["rtx_4090"]),
        ("dscost list dev", ["devices"]),
        ("dscost list conv", ["conventions"]),
        ("dscost list devices --sort ri", ["ridge_flops_per_byte"]),
        ("dscost schema bu", ["budget"]),
        ("dscost baseline u", ["update"]),
        ("dscost convert resnet18 --goal m", ["macs="]),
        ("dscost model resnet18 --color n", ["never"]),
    ],
)
def test_a_word_that_is_begun_is_completed(written: str, expected: list[str]) -> None:
    assert offered(written) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_told_in_its_own_way(shell: str) -> None:
    told = asked(shell, "dscost ver").stdout.splitlines()
    meaning = (
        "Count a model by two independent methods, or hold other counters against their rules."
    )
    assert (
        told
        == {
            "bash": ["verify"],
            "zsh": [f"""_arguments '*: :(("verify":"{meaning}"))'"""],
            "fish": [f"verify\t{meaning}"],
        }[shell]
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_all_there_is_is_offered_where_nothing_is_written(shell: str) -> None:
    text = asked(shell, "dscost ").stdout
    assert all(name in text for name in COMMANDS)
    text = asked(shell, "dscost layer 8 8 3 --variant ").stdout
    assert all(name in text for name in VARIANTS)
    text = asked(shell, "dscost layer --").stdout
    assert all(name in text for name in ("--no-time", "--variant", "--output", "--bias"))


def test_a_word_for_fish_is_one_line_with_its_meaning() -> None:
    lines = asked("fish", "dscost model resnet18 --").stdout.splitlines()
    assert len(lines) > 20
    for line in lines:
        assert line.startswith("--")
        assert line.count("\t") == 1


def test_files_that_may_be_a_model_are_offered_beside_built_in_networks(tmp_path: Path) -> None:
    for name in ("restored.py", "resumed.pt2", "results.txt", ".resting.py"):
        (tmp_path / name).touch()
    (tmp_path / "research").mkdir()
    found = offered("dscost model res", cwd=tmp_path)
    assert set(found) == {
        *(name for name in builtin_names() if name.startswith("res")),
        *("restored.py", "resumed.pt2", "research/"),
    }


@pytest.mark.parametrize(
    "written",
    [
        "dscost model ./ne",
        "dscost model sub/ne",
        "dscost model net",
        "dscost model resnet18 -o re",
        "dscost convert resnet18 --save re",
        "dscost check re",
        "dscost model resnet18 --export csv=re",
    ],
)
def test_files_are_left_to_the_shell(written: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").touch()
    assert offered(written, cwd=tmp_path) == []
    assert offered(written, "zsh", cwd=tmp_path) == ["_files"]


def test_the_order_of_words_that_click_has_is_understood() -> None:
    env = {"_DSCOST_COMPLETE": "bash_complete", "COMP_WORDS": "dscost ver", "COMP_CWORD": "1"}
    assert run(env=env).stdout == "verify\n"
    script = run(env={"_DSCOST_COMPLETE": "zsh_source"}).stdout
    assert script.strip() == run("--show-completion", "zsh").stdout.strip()


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_shell_has_to_know_is_shown(shell: str) -> None:
    ran = run("--show-completion", shell)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "_DSCOST_COMPLETE" in ran.stdout
    assert f"complete_{shell.replace('pwsh', 'powershell')}" in ran.stdout


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/dscost.sh"),
        ("zsh", ".zfunc/_dscost"),
        ("fish", ".config/fish/completions/dscost.fish"),
    ],
)
def test_completion_is_installed_where_the_shell_looks(
    shell: str, file: str, tmp_path: Path
) -> None:
    ran = run("--install-completion", shell, env={"HOME": str(tmp_path)})
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == (
        f"wrote {tmp_path / file}: {shell} completes dscost once it is started again\n"
    )
    assert (tmp_path / file).read_text().strip() == run("--show-completion", shell).stdout.strip()


def test_a_shell_that_is_not_known_is_told() -> None:
    ran = run("--show-completion", "csh")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "dscost: unknown shell 'csh' (did you mean 'zsh'?)\n"


def test_bash_itself_completes_by_what_is_shown(tmp_path: Path) -> None:
    script = tmp_path / "completion.sh"
    script.write_text(run("--show-completion", "bash").stdout)
    code = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=(dscost device ras); COMP_CWORD=2; "
        f"_dscost_completion {shlex.quote(PROGRAM)}; echo ${{COMPREPLY[@]}}; complete -p dscost"
    )
    ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "raspberry_pi_4 raspberry_pi_5",
        "complete -o default -F _dscost_completion dscost",
    ]


def test_completing_never_imports_torch_or_numpy() -> None:
    written = "dscost model resnet18 --columns "
    code = (
        "import sys\nfrom dscost.cli import run\ncode = run([])\n"
        "print(code, {'torch', 'numpy', 'pydantic'} & set(sys.modules) or 'light', file=sys.stderr)"
    )
    env = {**os.environ, "_DSCOST_COMPLETE": "complete_bash", "COMP_WORDS": written, "COMP_CWORD": "4"}  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)  # fmt: skip
    assert ran.stderr == "0 light\n"
    assert "separable_macs" in ran.stdout.splitlines()


def test_help_tells_of_completion() -> None:
    text = run("--help").stdout
    assert "--install-completion [SHELL]" in text
    assert "--show-completion [SHELL]" in text
