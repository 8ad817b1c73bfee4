"""Command lines and factories at random, right, nearly right and hostile: whatever comes, dscost ends as it promises.

`SEED` and `N` in the environment make the long run of it; see `fuzzing`.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fuzzing import SEED, Outcome, cases, contents, fault, fault_of_files, faults, outcome_of

NET = "input: [3, 16, 16]\nsettings: {width: 1.0}\nmodels: {net: {}, small: {width: 0.5}}\nlayers:\n  - {conv: 3, out_channels: round8(32 * width)}\n  - {conv: 3, out_channels: 64}\n"  # fmt: skip
BUDGET = "version: 1\nbaseline: base.json\nmodels: [{name: small, target: net.yaml, limits: {macs: {max: 10M, max_increase: 1%}}}]\n"  # fmt: skip
SOURCE = "from torch import nn\ndef make(width=1):\n    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3))\n"

NUMBERS = [
    "",
    "-",
    "-1",
    "0",
    "1",
    "3",
    "3x3",
    "3x",
    "3×3",
    "1e3",
    "1e999",
    "nan",
    "9" * 30,
    "9" * 5000,
    "٣",
    "½",
    "1.5",
]
TEXTS = [
    "a=b=c",
    "a={b: 1}",
    "a=[1",
    "a=!!python/object:os.system",
    "a=*x",
    "\x1b[31mred",
    "\u202e",
    "é",
    "a\nb",
    "%s",
]
TEXTS += [
    "{0}",
    "$(touch executed)",
    "`touch executed`",
    "x" * 10_000,
    "..",
    "/",
    "None",
    "true",
    "=",
    "a=",
    "=a",
    "\udce9",
]
SHAPES = [
    "1,3,32,32",
    "2,3,64,64:float16",
    "1,3,0,32",
    "1,3,-1,4",
    "1,3",
    "x=1,3,32,32",
    "1,3,32,32:int65",
    "1,3,999999,999999",
]
NAMES = [
    "net.yaml",
    "net.yaml:small",
    "net.yaml:nope",
    "bad.yaml",
    "missing.yaml",
    "resnet18",
    "rseenet18",
    "report.json",
]
NAMES += [
    "report.json:1",
    "report.json:" + "9" * 5000,
    "broken.json",
    "empty.json",
    "dir",
    "dir.yaml",
    "loop.yaml",
    "",
    ".:x",
]
NAMES += [
    "factory.py:make",
    "factory.py:nope",
    "factory.py:",
    "os:system",
    "sys:exit",
    "a..b:c",
    "x" * 300,
    "x" * 300 + ".yaml",
]
NAMES += [
    "/dev/null",
    "empty.pt2",
    "x.pt",
    "x.onnx",
    "budget.yaml",
    "latin.yaml",
    "\x1b[2J.yaml",
    "\udce9.yaml",
    "torch.nn:ReLU",
]
PLACES = [
    "out.json",
    "out.csv",
    "out",
    "dir",
    "nodir/x.json",
    "/dev/null",
    "/dev/full",
    "loop",
    "dangling",
    "",
    ".",
    "x" * 300,
]
PLACES += [
    "net.yaml",
    "./net.yaml",
    "budget.yaml",
    "factory.py",
    "report.json",
    "link.yaml",
    "a\nb.json",
]
FORMATS = [
    "table",
    "json",
    "csv",
    "markdown",
    "github",
    "gitlab",
    "junit",
    "sarif",
    "html",
    "",
    "tabel",
]
COLUMNS = ["macs", "macs,params", "latency", "nope", "", ",", "layer", "MACS"]
SETTINGS = [
    "width=0.5",
    "width=0",
    "width=nan",
    "width=1e9",
    "width=[1]",
    "width=" + "9" * 40,
    "nope=1",
    "width",
]
COLOURS = ["auto", "always", "never", "blue", ""]

MODEL = {"--set": SETTINGS, "--input": SHAPES, "--kwargs": TEXTS, "--batch": NUMBERS}
VIEW = {
    "--format": FORMATS,
    "-o": PLACES,
    "--color": COLOURS,
    "--json": None,
    "-q": None,
    "--wide": None,
}
OPTIONS: dict[str, dict[str, Sequence[str] | None]] = {
    "layer": {"--stride": NUMBERS, "--padding": NUMBERS, "--size": NUMBERS, "--variant": TEXTS, "--on": NAMES, **VIEW},
    "model": {"--depth": NUMBERS, "--tree": None, "--sort": COLUMNS, "--columns": COLUMNS, "--on": NAMES, **MODEL, **VIEW},
    "compare": {"--all": None, "--sort": COLUMNS, "--columns": COLUMNS, "--depth": NUMBERS, **MODEL, **VIEW},
    "convert": {"--rank": NUMBERS, "--goal": TEXTS, "--plan": NAMES, "--save-plan": PLACES, **MODEL, **VIEW},
    "check": {"--model": NAMES, "--against": TEXTS, "--strict": None, "-v": None, "--no-isolate": None, **VIEW},
    "baseline": {"--accept": TEXTS, "--model": NAMES, "--raise-limits": None},
    "device": {"--on": NAMES, "--dtype": TEXTS, **VIEW},
    "verify": {**MODEL, "--json": None},
    "which": {**MODEL, "--convention": NAMES, "--all": None, "-n": NUMBERS, "--json": None},
    "init": {"--headroom": NUMBERS, "-o": PLACES, **MODEL},
    "schema": {"-o": PLACES},
    "list": {"--sort": COLUMNS, "-v": None, "--wide": None},
    "help": {},
}  # fmt: skip
WORDS = {
    "list": ["models", "variants", "metrics", "formats", "devices", "columns", "x", ""],
    "schema": ["report", "budget", "architecture", "comparison", "x", ""],
    "baseline": ["save", "update", "show", "x", ""],
    "help": ["layer", "list", "help", "x", ""],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with every file that the names above mean."""
    monkeypatch.chdir(tmp_path)
    written = {
        "net.yaml": NET,
        "budget.yaml": BUDGET,
        "factory.py": SOURCE,
        "bad.yaml": "input: [3, 16\n",
    }
    empty = dict.fromkeys(("empty.json", "empty.pt2", "x.pt", "x.onnx"), "")
    for name, text in {**written, **empty}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "latin.yaml").write_bytes(b"input: [3, 16, 16]\n# \xe9\n")
    for name in ("dir", "dir.yaml"):
        (tmp_path / name).mkdir()
    for name, to in (
        ("loop", "loop"),
        ("loop.yaml", "loop.yaml"),
        ("dangling", "no/where"),
        ("link.yaml", "net.yaml"),
    ):
        (tmp_path / name).symlink_to(to)
    outcome_of(["model", "net.yaml", "--no-time", "--json", "-o", "report.json"])
    (tmp_path / "broken.json").write_text((tmp_path / "report.json").read_text()[:500])
    return tmp_path


def command_lines(draw: random.Random) -> Iterator[list[str]]:
    """Yield command lines: mostly well-formed, with values of every kind."""
    while True:
        command = draw.choice([*OPTIONS, "model", "layer"])
        line = [command, *_operands(command, draw)]
        for name, values in draw.sample(
            [*OPTIONS[command].items()], k=min(len(OPTIONS[command]), draw.choice((0, 1, 2, 3)))
        ):
            line += [name] if values is None else [name, draw.choice(values)]
        if draw.random() < 0.05:
            line.insert(draw.randrange(len(line) + 1), draw.choice(TEXTS))
        if draw.random() < 0.03:
            draw.shuffle(line)
        yield line


def _operands(command: str, draw: random.Random) -> list[str]:
    if command == "layer":
        sizes = [draw.choice(["32", *NUMBERS]) if draw.random() < 0.2 else "32" for _ in range(2)]
        return ["--cin", sizes[0], "--cout", sizes[1], "-k", "3", "--no-time"]
    if command in WORDS:
        return [draw.choice(WORDS[command]), *(["budget.yaml"] if command == "baseline" else [])]
    if command == "check":
        return [draw.choice(["budget.yaml", *NAMES])]
    if command == "device":
        return [draw.choice(["t4", "nope", "missing.yaml", "bad.yaml"])]
    targets = [draw.choice(["net.yaml", *NAMES]) for _ in range(2 if command == "compare" else 1)]
    return [*targets, "--no-time"] if command == "model" else targets


def test_no_command_line_makes_dscost_fail_in_another_way_than_it_promises(folder: Path) -> None:
    draw = random.Random(SEED)
    lines = command_lines(draw)
    before = contents(folder)

    def judge(outcome: Outcome) -> str | None:
        asked = {Path(word).name for word in outcome.arguments if len(word) < 99}
        asked |= (
            {"net.yaml", "link.yaml"} if asked & {"net.yaml", "link.yaml"} else set()
        )  # one file
        wrong = fault(outcome) or fault_of_files(folder, before, asked)
        for name in contents(folder).keys() - before.keys():
            (folder / name).unlink()
        for name, content in before.items():
            (folder / name).write_bytes(content)
        return wrong

    found = faults((next(lines) for _ in range(cases(400))), judge)
    assert not found, "\n".join(found.values())


# -- factories

HEAD = "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))\ndef make():\n    "
RAISED = "class E(Exception):\n        def __str__(self): {}\n    raise E()"
SUBCLASS = "class N(nn.Sequential):\n        {}\n    return N(nn.Conv2d(3, 8, 3))"
FORWARD = "class N(nn.Module):\n        def forward(self, x): {}\n    return N()"
FACTORIES = {
    "raises": "raise RuntimeError('no')",
    "raises an escape sequence": "raise RuntimeError('\\x1b[2Jgone')",
    "raises a megabyte": "raise RuntimeError('x' * 1_000_000)",
    "raises what has no text": RAISED.format("return None"),
    "raises what fails to say so": RAISED.format("raise ValueError('bad')"),
    "exits": "import sys; sys.exit(0)",
    "exits with words": "import sys; sys.exit('bye')",
    "raises a base exception": "raise BaseException('base')",
    "raises a generator's exit": "raise GeneratorExit",
    "is cancelled": "import asyncio; raise asyncio.CancelledError('x')",
    "recurses": "def f(): return f()\n    return f()",
    "prints": "print('hello'); return net()",
    "returns nothing": "return None",
    "returns what has no text": "class R:\n        def __repr__(self): raise ValueError('repr')\n    return R()",
    "has hostile names": "s = net(); s.add_module('\\x1b[2J', nn.ReLU()); s.add_module('=1+1', nn.ReLU()); return s",
    "has no modules to name": SUBCLASS.format("def named_modules(self, *a, **k): raise ValueError('no')"),
    "has no parameters": SUBCLASS.format("def parameters(self, *a): raise ValueError('no')"),
    "forward raises": FORWARD.format("raise ValueError('forward')"),
    "forward exits": FORWARD.format("import sys; sys.exit(0)"),
    "forward returns text": FORWARD.format("return 'x'"),
    "forward recurses": FORWARD.format("return self(x)"),
}  # fmt: skip


@pytest.mark.parametrize("body", FACTORIES.values(), ids=FACTORIES.keys())
def test_no_factory_makes_dscost_fail_in_another_way_than_it_promises(
    body: str, folder: Path
) -> None:
    (folder / "odd.py").write_text(HEAD + body + "\n", encoding="utf-8")
    (folder / "odd.yaml").write_text(
        "version: 1\nmodels: [{target: 'odd.py:make', input: [1, 3, 8, 8], limits: {macs: 1T}}]\n"
    )
    for command in (
        ["model", "odd.py:make", "--input", "1,3,8,8", "--no-time"],
        ["check", "odd.yaml", "--no-isolate"],
    ):
        outcome = outcome_of([*command, "--json"])
        assert fault(outcome) is None
        assert outcome.code in (0, 2)
        assert outcome.code == 2 or json.loads(outcome.out)["subjects"]
