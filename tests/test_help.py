"""Help: examples that work, options in groups, nothing cut at any width."""

import shlex

import pytest
import typer
from program import run

from dscost.cli.app import COMMANDS, _app
from dscost.cli.examples import EXAMPLES
from dscost.cli.groups import GROUPS, grouped
from dscost.encodable import STAND_INS

EVERY_EXAMPLE = [(name, one.line) for name, examples in EXAMPLES.items() for one in examples]


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(_app([]))
    assert isinstance(group, typer.core.TyperGroup)
    return dict(group.commands)  # type: ignore[arg-type]


def help_of(command: str, width: int = 80) -> str:
    return run(*command.split(), "--help", env={"COLUMNS": str(width)}).stdout


def headings(text: str) -> list[str]:
    return [line[:-1] for line in text.splitlines() if line.endswith(":") and line[:1].strip()]


def test_every_command_and_the_program_have_two_or_three_examples() -> None:
    assert list(EXAMPLES) == ["", *COMMANDS]
    for command, examples in EXAMPLES.items():
        # grids, files, models and a model's layers are swept, counted and timed, here and elsewhere
        most = 6 if command == "sweep" else 3
        assert 2 <= len(examples) <= most


@pytest.mark.parametrize(
    ("command", "line"), EVERY_EXAMPLE, ids=[line for _, line in EVERY_EXAMPLE]
)
def test_an_example_is_a_command_line_that_is_understood(command: str, line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "dscost"
    assert words[0] == command or command in ("", "help")
    context = commands()[words[0]].make_context(words[0], words[1:])
    assert context.params


@pytest.mark.parametrize(
    "line",
    [
        line
        for command, line in EVERY_EXAMPLE
        if command in ("layer", "sweep", "list", "schema", "help")
        and "--runtime" not in line
        and "--time" not in line
    ],
)
def test_an_example_that_is_quick_comes_to_a_result(line: str, tmp_path: object) -> None:
    words = shlex.split(line)[1:]
    ran = run(*words, *["--no-time"] * (words[0] == "layer"), cwd=tmp_path)  # type: ignore[arg-type]
    assert ran.returncode == 0
    assert ran.stdout or "wrote" in ran.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_begins_with_usage_and_shows_its_examples(command: str) -> None:
    text = help_of(command)
    assert text.startswith(f"Usage: dscost {command} ")
    for example in EXAMPLES[command]:
        assert f"  {example.line}" in text
        assert example.does in text
    assert headings(text)[0] == "Examples"


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_help_fits_the_width_and_cuts_nothing(command: str, width: int) -> None:
    text = help_of(command, width)
    examples = [example.line for example in EXAMPLES[command]]
    long = [line for line in text.splitlines() if len(line) > min(width, 100)]
    assert [line for line in long if line.strip() not in examples] == []
    assert "..." not in text.replace("[ARGS]...", "").replace("BUDGET]...", "").replace(
        "MODEL...", ""
    ).replace("TARGET...", "")


@pytest.mark.parametrize("width", [60, 160])
def test_summaries_of_commands_are_whole(width: int) -> None:
    text = " ".join(help_of("", width).replace("depthwise-\n", "depthwise-").split())
    for name, command in commands().items():
        summary = " ".join((command.help or "").split("\n\n")[0].split())
        assert summary.endswith(".")
        assert f"{name} {summary}".replace("- ", "-") in text.replace("- ", "-")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("layer", ["Arguments", "Layer", "Measuring", "Devices", "Output"]),
        (
            "model",
            [
                *("Arguments", "Model", "Measuring", "Devices", "Layers shown", "Output"),
                "Running code",
            ],
        ),
        (
            "convert",
            ["Arguments", "Conversion", "Accuracy", "Model", "Measuring", "Layers shown", "Output"],
        ),
        ("sweep", ["Arguments", "Grid", "Measuring", "Layers shown", "Output"]),
        ("check", ["Arguments", "Judging", "Output", "Running code"]),
        ("init", ["Arguments", "Budget", "Model", "Output"]),
        ("help", ["Arguments", "Options"]),
    ],
)
def test_options_stand_in_groups(command: str, expected: list[str]) -> None:
    assert headings(help_of(command)) == ["Examples", *expected]


def test_everyday_options_come_before_rare_ones() -> None:
    text = help_of("layer")
    for first, later in [
        ("--size", "--depth-multiplier"),
        ("--no-time", "--allocator"),
        ("--output", "--export"),
        ("--variant", "--seed"),
    ]:
        assert text.index(f"{first} ") < text.index(f"{later} ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_help_once(command: str) -> None:
    one = commands()[command]
    context = typer.Context(one, info_name=command)
    names = [param.name for param in one.get_params(context) if param.param_type_name == "option"]
    shown = [name for _, here in grouped(command, names) for name in here]
    assert sorted(shown) == sorted(names)


def test_help_says_nothing_in_the_words_of_typer() -> None:
    text = "".join(help_of(command) for command in COMMANDS)
    assert "<int range>" not in text
    assert "[x>=" not in text


def test_groups_name_only_what_there_is() -> None:
    known = {param.name for one in commands().values() for param in one.params}
    assert [name for names in GROUPS.values() for name in names if name not in known] == []


@pytest.mark.parametrize("command", ["", "layer", "list"])
def test_help_as_a_command_is_help_as_an_option(command: str) -> None:
    asked = run("help", *command.split())
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout == run(*command.split(), "--help").stdout


def test_help_of_what_there_is_not_names_the_nearest() -> None:
    ran = run("help", "modle")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "dscost: No such command 'modle'. Did you mean 'model'?\n"


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("model", "Missing argument"),
        ("compare", "Missing argument"),
        ("convert", "Missing argument"),
        ("verify", "Missing argument"),
        ("init", "Missing argument"),
        ("baseline", "Missing argument"),
        ("schema", "Missing argument"),
        ("layer", "expected input channels, output channels and kernel size"),
        ("sweep", "missing: in channels (--cin), out channels (--cout), kernel size (-k)"),
    ],
)
def test_what_is_missing_is_told_with_usage_and_an_example(command: str, missing: str) -> None:
    ran = run(command)
    assert (ran.returncode, ran.stdout) == (2, "")
    first, *others = ran.stderr.splitlines()
    assert first.startswith(f"dscost: {missing}")
    assert others == [
        f"Usage:    {help_of(command, 200).splitlines()[0].removeprefix('Usage: ')}",
        f"Example:  {EXAMPLES[command][0].line}",
        f"Options:  dscost {command} --help",
    ]


def test_a_mistake_other_than_a_missing_argument_stays_one_line() -> None:
    assert len(run("model", "resnet18", "--no-tme").stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_can_be_read_where_the_terminal_knows_ascii_only(command: str) -> None:
    unusual = {character for character in help_of(command) if not character.isascii()}
    assert unusual <= STAND_INS.keys()
