"""Files that people, merges and discs have damaged: whatever is in them, a command answers in a sentence or rightly.

What is broken is what dscost ships and writes: architectures, budgets, devices, plans, saved reports and baselines.
`SEED=3 N=2500 pytest tests/test_fuzzing_files.py` is the long run.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from dscost.configs import config_folder
from tests.fuzzing import SEED, cases, fault, outcome_of

NET = """input: [3, 16, 16]
settings: {width: 1.0}
models: {net: {}, small: {width: 0.5}}
blocks:
  unit:
    repeat: 2
    layers: [{depthwise: 3}, {conv: 1, out_channels: 16}]
layers:
  - {conv: 3, out_channels: round8(32 * width), act: relu}
  - {block: unit}
  - {global_pool: 1}
  - flatten
  - {linear: 10}
"""
BUDGET = """version: 1
baseline: kept.json
defaults:
  input: [1, 3, 32, 32]
  limits: {params: {max_increase: 0%}, macs: {max_increase: 1%, ignore_below: 100k}}
policy: {on_unmatched_rule: error, on_missing_baseline: warn}
models:
  - name: net
    target: net.yaml
    matrix: {width: [0.5, 1.0]}
    policy: {on_value_dependent: error}
    limits: {params: 4.3M, macs: {max: 600M, level: warn, message: too much}, flops_per_byte: {min: 1}}
    entries:
      - {match: {width: 0.5}, limits: {params: 1.4M}}
    layers:
      - {match: "conv*", each: {macs: 60M}}
      - {match: "type:Conv2d[groups=1,kernel>4]", total: {params: {max: 0, message: no}}, allow_empty: true}
    exclude:
      - {match: "linear*", reason: replaced downstream}
  - {target: net.yaml, set: {width: 2.0}, batch: 2, dtype: float16, input: ["1,3,16,16"], limits: {macs: 1G}}
"""
OF_REPORT = """version: 1
models:
  - target: case.json
    limits: {params: 1M, macs: {max: 1G, min: 1}, peak_activation_bytes: 1 MiB}
    layers: [{match: 'op:convolution[kernel>1]', total: {macs: 1G}}]
"""
GRIDS = """\
k: 1, 3
dtype: float16
grids:
  - name: early
    cin: 8:24:8
    cout: 2 * cin
    size: [7, 5x3]
    padding: [same, 1]
    groups: [1, 3]
    bias: yes, no
    variants: [depthwise_separable, {inverted_residual: [3, 6], ghost: }]
  - {name: head, op: linear, cin: [16], cout: [10, 100]}
  - {name: pool, op: global_pooling, cin: 16, size: 7x5}
"""
PLAN = "version: 1\ntarget: net.yaml\ninput: [1, 3, 16, 16]\nlayers:\n  conv1: keep\n"

YAML_VALUES = (
    *(
        "",
        "~",
        "true",
        "0",
        "-1",
        "1.5",
        "1e309",
        ".inf",
        ".nan",
        "010",
        "1:30",
        "off",
        "2026-01-01",
        "''",
        '"\\0"',
    ),
    *(
        '"\\x1b[2J"',
        '"\\u202e"',
        "[]",
        "{}",
        "[[[]]]",
        "[1, 2]",
        "{a: {b: 1}}",
        "&a [*a]",
        "*a",
        "!!set {a}",
        "!x y",
    ),
    *(
        "9" * 30,
        "9" * 5000,
        "9**9**9",
        "1/0",
        "max()",
        "divisible(8, 0)",
        "().__class__",
        "__import__('os')",
        "width",
    ),
    *(
        "600M",
        "7B",
        "5%",
        "-5%",
        "17 MiB",
        "1e99%",
        "½",
        "conv.*",
        "^a$",
        "a,b",
        " a ",
        "TYPE:Conv2d",
        "Conv2d",
    ),
    *(
        "type:Conv2d[kernel>3,kernel<2]",
        "op:linear[kernel>1]",
        "*" * 300,
        "(" * 150 + "1",
        "-" * 150 + "1",
        "1" * 3000,
    ),
    *(
        "net.yaml",
        "/dev/zero",
        "missing.yaml",
        "net.yaml:nope",
        "report.json",
        "os:system",
        "float99",
        "1,3,0,32",
    ),
    *("same", "keep", "1e15*1e15", "[x for x in y]", "|\n    text", "<<: *a"),
)
JSON_VALUES = (
    *(
        "NaN",
        "-Infinity",
        "1e999",
        "1e-320",
        "1e308",
        "-0.0",
        "0",
        "-1",
        "1.5",
        "true",
        "null",
        '""',
        '"x"',
        "[]",
        "{}",
    ),
    *(
        "9" * 30,
        "9" * 5000,
        '"\\ud800"',
        '"\\u0000"',
        '"\\u001b[2J"',
        '"\\u202e"',
        '"=cmd"',
        "[0, 0]",
        "[-1, -1]",
        "01",
    ),
    *(
        "[" * 500 + "]" * 500,
        "[" * 100_000,
        "'x'",
        '{"a": 1, "a": 2}',
        '"standard"',
        '"' + "x" * 100_000 + '"',
    ),
)
WORDS = (
    "x",
    "macs",
    "layers",
    "conv",
    "block",
    "repeat",
    "when",
    "limits",
    "max",
    "match",
    "<<",
    "version",
    "\u202e",
)
TEXTS = (
    "\t",
    "\0",
    "\r",
    "\ufeff",
    "\x1b",
    "\u2028",
    ":",
    "- ",
    "{",
    "]",
    "&",
    "*",
    "|",
    "%",
    "\n<<<<<<< HEAD\n",
    "9" * 50,
)


class Broken:
    """Damages text that holds a tree: one value here and there, or the text itself."""

    def __init__(
        self,
        rng: Random,
        values: Sequence[str],
        read: Callable[[str], Any],
        write: Callable[[Any], str],
    ):
        self._rng, self._values, self._read, self._write = rng, values, read, write

    def of(self, text: str) -> bytes:
        """Return a damaged text, as a disc would hold it."""
        if self._rng.random() < 0.7:
            tree, raw = self._read(text), dict[str, str]()
            for _ in range(self._rng.choice((1, 1, 1, 2, 3))):
                tree = self._mutated(tree, raw)
            text = re.sub(r"\"?'?@(\d+)@'?\"?", lambda found: raw[found[1]], self._write(tree))
            return text.encode("utf-8", "surrogatepass")
        return self._cut(text)

    def _mutated(self, tree: Any, raw: dict[str, str]) -> Any:
        places = list(_places(tree))
        if not places:
            return tree
        parent, key = self._rng.choice(places)
        value = parent[key]
        match self._rng.randrange(9):
            case 0 | 1 | 2:
                raw[str(len(raw))] = self._rng.choice(self._values)
                parent[key] = f"@{len(raw) - 1}@"
            case 3:
                del parent[key]
            case 4 if isinstance(parent, dict):
                parent[self._rng.choice((f"{key}s", str(key)[:-1], str(key).upper(), *WORDS))] = (
                    parent.pop(key)
                )
            case 5:
                other, at = self._rng.choice(places)
                parent[key] = deepcopy(other[at])
            case 6:
                parent[key] = (
                    [value] if self._rng.random() < 0.5 else {self._rng.choice(WORDS): value}
                )
            case 7 if isinstance(value, list):
                parent[key] = value * self._rng.choice((0, 2, 50))
            case _:
                for _ in range(self._rng.choice((3, 20, 45))):
                    parent[key] = (
                        [parent[key]] if self._rng.random() < 0.5 else {"layers": parent[key]}
                    )
        return tree

    def _cut(self, text: str) -> bytes:
        at, end = sorted(self._rng.randrange(len(text)) for _ in range(2))
        lines = text.splitlines(keepends=True)
        line = self._rng.randrange(len(lines))
        match self._rng.randrange(7):
            case 0:
                return text[:at].encode()
            case 1:
                return (text[:at] + text[end:]).encode()
            case 2:
                return (text[:at] + self._rng.choice(TEXTS) + text[at:]).encode()
            case 3:
                return "".join(
                    [*lines[: line + 1], *lines[line:]]
                ).encode()  # as a merge that went wrong leaves it
            case 4:
                return text.encode(
                    self._rng.choice(("utf-16", "utf-8-sig", "utf-32", "latin-1")), "replace"
                )
            case 5:
                return (text + text).encode()
        return text.encode()[:at] + bytes([self._rng.randrange(256)]) + text.encode()[at + 1 :]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the containers of a tree with each of their keys."""
    keys = (
        list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    )
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def in_yaml(rng: Random) -> Broken:
    return Broken(
        rng,
        YAML_VALUES,
        yaml.safe_load,
        lambda tree: yaml.safe_dump(tree, sort_keys=False, width=10**6),
    )


def in_json(rng: Random) -> Broken:
    return Broken(rng, JSON_VALUES, json.loads, json.dumps)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, a budget, its baseline and a report, where commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "dscost.yaml").write_text(BUDGET)
    (tmp_path / "of_report.yaml").write_text(OF_REPORT)
    assert outcome_of(["baseline", "save", "-q"]).code == 0
    assert (
        outcome_of(["model", "net.yaml", "--no-time", "--json", "-o", "report.json", "-q"]).code
        == 0
    )
    return tmp_path


def hold(
    name: str,
    originals: Sequence[str],
    commands: Sequence[str],
    broken: Broken,
    rng: Random,
    usual: int,
) -> None:
    """Give damaged files to commands, and fail with the first of each kind of fault and the file that made it."""
    found: dict[str, str] = {}
    for _ in range(cases(usual)):
        content = broken.of(rng.choice(originals))
        Path(name).write_bytes(content)
        outcome = outcome_of(rng.choice(commands).split())
        wrong = fault(outcome)
        if wrong:
            found.setdefault(
                re.sub(r"\d+", "#", wrong[:200]),
                f"{outcome.arguments}: {wrong}\n{content[:2000]!r}",
            )
        Path("new.yaml").unlink(missing_ok=True)
    assert not found, "\n\n".join(found.values())


def shipped(kind: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(config_folder(kind).glob("*.yaml"))]


CHECKS = (
    "",
    "-q",
    "--json",
    *(f"--format {name}" for name in ("github", "gitlab", "junit", "sarif", "markdown")),
)


@pytest.mark.parametrize(
    ("originals", "commands", "usual"),
    [
        pytest.param(
            [NET, *shipped("architectures")],
            [
                f"model case.yaml --no-time {more}"
                for more in ("", "--json", "--format csv", "--depth 1")
            ],
            60,
            id="architectures",
        ),
        pytest.param([BUDGET], [f"check case.yaml {more}" for more in CHECKS], 150, id="budgets"),
        pytest.param(
            shipped("devices"),
            ["device --on ./case.yaml", "layer --cin 8 --cout 8 -k 3 --no-time --on ./case.yaml"],
            60,
            id="devices",
        ),
        pytest.param(
            [GRIDS, *shipped("sweeps")],
            [
                f"sweep case.yaml {more}"
                for more in ("", "--json", "--format csv -q", "-o new.jsonl")
            ],
            80,
            id="sweeps",
        ),
        pytest.param([PLAN], ["convert net.yaml --plan case.yaml"], 40, id="plans"),
        pytest.param(
            shipped("conventions"),
            [
                "layer --cin 8 --cout 8 -k 3 --no-time --convention ./case.yaml",
                "model net.yaml --no-time --json --convention case.yaml",
            ],
            60,
            id="conventions",
        ),
    ],
)
def test_damaged_yaml_is_answered(
    originals: list[str], commands: list[str], usual: int, folder: Path
) -> None:
    rng = Random(SEED)
    hold("case.yaml", originals, commands, in_yaml(rng), rng, usual)


def test_damaged_reports_are_answered(folder: Path) -> None:
    rng = Random(SEED)
    layer = [
        "layer",
        "--cin",
        "8",
        "--cout",
        "16",
        "-k",
        "3",
        "--no-time",
        "--variant",
        "ghost",
        "--json",
    ]
    originals = [(folder / "report.json").read_text(), outcome_of(layer).out]
    commands = [
        *(
            "model case.json --no-time",
            "model case.json --json",
            "model case.json --format csv --no-time",
        ),
        *(
            "model case.json --no-time --format markdown",
            "model case.json --on t4 --explain --no-time",
        ),
        *("model case.json --depth 1 --sort macs -n 1 --no-time", "compare case.json report.json"),
        *(
            "compare report.json case.json --json",
            "check of_report.yaml",
            "check of_report.yaml --format sarif",
        ),
        *("init case.json -o new.yaml", "convert case.json"),
    ]
    hold("case.json", originals, commands, in_json(rng), rng, 120)


def test_damaged_baselines_are_answered(folder: Path) -> None:
    rng = Random(SEED)
    commands = [f"check {more}" for more in CHECKS] + [
        "baseline show",
        "baseline update",
        "baseline save --model net",
    ]
    hold("kept.json", [(folder / "kept.json").read_text()], commands, in_json(rng), rng, 150)
