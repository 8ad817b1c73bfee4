"""What needs no torch, in an environment that has none: commands, and the part of these tests that is about them."""

import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from conftest import GRAPH, TORCH_FREE
from packaging.requirements import Requirement

TESTS = Path(__file__).parent
TOOLS = ("pytest", "hypothesis", "jsonschema", "xmlschema")
"""What the tests themselves import."""
PARTS = 2
LEFT_OUT = frozenset(
    """
    axes ci_formats devices expressions forms graph_binding graph_books graph_bounds graph_constants graph_control
    graph_forms graph_functions graph_fuzzing graph_light graph_origins graph_pairs graph_positions graph_quantized
    graph_reading graph_rules graph_sequences graph_shapes graph_weights house language literals marked_yaml operations
    printable published_numbers quantities rendering roofline scoring_search selectors shapes strict_json variants
    """.split()
)
"""Files of tests of floors that may not import torch, as lint-imports sees to, and of what is made of their results: they
take long, are run where torch is, and of what they go through another file or a command here is tried without it."""
FREE = TORCH_FREE - LEFT_OUT
assert LEFT_OUT < TORCH_FREE
A_TENTH = {"EXAMPLES": "0.1"}
"""Of the examples of laws, all of which are tried where there is torch."""
LARGE = {
    *("torch", "torchvision", "timm", "numpy", "safetensors", "pandas"),
    *("onnx", "onnxscript", "google", "ml_dtypes"),
    *("onnxruntime", "openvino", "executorch", "ncnn", "pnnx"),
}

NET = """
input: [3, 32, 32]
layers:
  - {conv: 3, out_channels: 16, norm: batch, act: relu}
  - {global_pool: 1}
  - flatten
  - {linear: 10}
"""
BUDGET = """
version: 1
baseline: kept.json
models:
  - {target: net.yaml, limits: {params: 1k}}
  - {target: resnet18, limits: {macs: {max_increase: 1%}}}
"""

COUNTING = [
    "--help",
    "layer --cin 256 --cout 256 -k 3 --no-time",
    "layer --cin 48 --cout 96 -k 5x3 --variant ghost --on t4 --no-time --format markdown",
    "model resnet18 --no-time",
    "model net.yaml --no-time --json",
    "model mobilenet_v1 --set width=0.5 --no-time --on raspberry_pi_4",
    "compare resnet18 net.yaml",
    "which resnet50 4.11G",
    "sweep --cin 8:64:8 --cout 16,32 -k 1,3",
    "check dscost.yaml",
    "baseline show",
    "init resnet18 -o other.yaml",
    "device t4",
    "list models",
    "list formats",
    "schema report",
]
NEEDING = {
    "layer --cin 8 --cout 8 -k 3": "[torch]'; --no-time counts without it",
    "model resnet18": "[torch]'; --no-time counts without it",
    "model net.yaml --train --no-time": "[torch]'",
    "model net.py:make --input 1,3,8,8 --no-time": "[torch]'",
    "model torchvision:resnet18 --no-time": "[zoo]'",
    "convert net.yaml": "[torch]'",
    "verify net.yaml": "[torch]'",
    "device": "[torch]'",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the Python of an environment that has dscost with all that it depends on, and no extra."""
    return _environment(tmp_path_factory.mktemp("light"), "dscost", *TOOLS)


@pytest.fixture(scope="module")
def python_with_onnx(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the Python of one that has what reads ONNX files too."""
    return _environment(tmp_path_factory.mktemp("onnx"), "dscost", *_extra("onnx"), *TOOLS)


@pytest.fixture(scope="module")
def python_with_onnxruntime(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the Python of one that has ONNX Runtime, and what that extra brings."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("onnxruntime")
    return _environment(folder, "dscost", *_extra("onnxruntime"), *TOOLS)


def _extra(name: str) -> list[str]:
    """Return the names of what an extra of dscost asks for, those of extras in it too."""
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(one) for one in project["project"]["optional-dependencies"][name]]
    others = [extra for one in wanted if one.name == "dscost" for extra in sorted(one.extras)]
    own = [one.name for one in wanted if one.name != "dscost"]
    return own + [found for other in others for found in _extra(other)]


def _environment(folder: Path, *names: str) -> str:
    """Make an environment of what is installed here by these names; return its Python."""
    venv.EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for one in {found.name: found for found in _with_requirements(*names)}.values():
        for name in {file.parts[0] for file in one.files or () if file.parts[0] != ".."}:
            link = packages / name
            if not link.exists():
                link.symlink_to(str(one.locate_file(name)))
    python, program = (folder / "bin" / name for name in ("python", "dscost"))
    program.write_text(f"#!{python}\nfrom dscost.cli import main\n\nmain()\n")
    program.chmod(0o755)
    return str(python)


def _with_requirements(*names: str) -> Iterator[Distribution]:
    """Yield what is installed by these names and what it asks for, extras apart."""
    for name in names:
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for other machines, or Pythons
            continue
        yield found
        wanted = map(Requirement, found.requires or ())
        plainly = [one for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})]
        yield from _with_requirements(*(one.name for one in plainly))


@pytest.fixture(scope="module")
def project(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an architecture, a budget and its baseline."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "net.yaml").write_text(NET)
    (folder / "net.py").write_text("import torch\n\n\ndef make(): return torch.nn.ReLU()\n")
    (folder / "dscost.yaml").write_text(BUDGET)
    assert run(python, folder, "-m", "dscost", "baseline", "save").returncode == 0
    return folder


def run(
    python: str, folder: Path, *arguments: str, more: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [python, *arguments],
        cwd=folder,
        env={**environment, **more},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_what_is_large_is_not_there(python: str, tmp_path: Path) -> None:
    tried = f"import importlib.util as u; print([n for n in {sorted(LARGE)} if u.find_spec(n)])"
    assert run(python, tmp_path, "-c", tried).stdout == "[]\n"


@pytest.mark.parametrize("command", COUNTING)
def test_what_counts_works_without_torch(command: str, python: str, project: Path) -> None:
    ran = run(python, project, "-m", "dscost", *command.split())
    assert (ran.returncode, "torch" in ran.stderr) == (0, False), ran.stderr
    assert ran.stdout or "wrote" in ran.stderr


@pytest.mark.parametrize(("command", "end"), NEEDING.items(), ids=NEEDING.keys())
def test_what_needs_torch_says_how_to_get_it(
    command: str, end: str, python: str, project: Path
) -> None:
    ran = run(python, project, "-m", "dscost", *command.split())
    told = f"dscost: torch is not installed: pip install 'dscost{end}\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", told)


def watched(*modules: str) -> str:
    """Return a program that is dscost, and says at its end which of some modules it has loaded."""
    return f"""
import sys
from dscost.cli import main
try:
    main()
except SystemExit as stop:
    print(stop.code, {set(modules)} & set(sys.modules), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def onnx_file(python_with_onnx: str, project: Path) -> Path:
    """Return a file with one convolution in it."""
    made = """
import sys
from onnx import TensorProto, helper, save
x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 8, 8]), ("y", [1, 16, 8, 8])))
weight = helper.make_tensor("w", TensorProto.FLOAT, [16, 3, 3, 3], [0.0] * 432)
conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
save(helper.make_model(helper.make_graph([conv], "one", [x], [y], [weight])), sys.argv[1])
"""
    path = project / "net.onnx"
    ran = run(python_with_onnx, project, "-c", made, str(path))
    assert ran.returncode == 0, ran.stderr
    return path


def test_an_onnx_file_is_counted_with_onnx_alone(
    python_with_onnx: str, project: Path, onnx_file: Path
) -> None:
    program = watched("torch", "onnxscript", "onnx.reference")
    ran = run(python_with_onnx, project, "-c", program, "model", onnx_file.name, "--json")
    assert ran.stderr.splitlines()[-1] == "0 set()"
    (subject,) = json.loads(ran.stdout)["subjects"]
    cost = subject["totals"]["as_is"]
    assert (cost["params"], cost["macs"]) == (16 * 3 * 9, 16 * 3 * 9 * 64)


@pytest.mark.parametrize(
    "command",
    [
        "model net.onnx",
        "model net.yaml --no-time --export other.onnx",
        "layer 8 8 3 --no-time --export onnx:ghost=other.onnx",
    ],
)
def test_without_onnx_one_line_says_how_to_get_it(
    command: str, python: str, project: Path, onnx_file: Path
) -> None:
    ran = run(python, project, "-m", "dscost", *command.split())
    told = "dscost: onnx is not installed: pip install 'dscost[onnx]'\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", told)


@pytest.mark.parametrize(
    "command",
    [
        "model net.onnx",
        "layer 8 8 3 --no-time --export onnx=other.onnx",
        "convert net.onnx --rank 1",
    ],
)
def test_an_onnx_that_is_broken_is_one_line_too(
    command: str, python: str, onnx_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "onnx.py").write_text("raise ImportError('libonnx.so: cannot open')\n")
    words = [str(onnx_file) if word == "net.onnx" else word for word in command.split()]
    ran = run(python, tmp_path, "-m", "dscost", *words)
    told = "dscost: onnx cannot be imported: ImportError: libonnx.so: cannot open\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", told)


TIMED = {
    "layer 16 16 3 --size 14 --with-norm": 16 * 16 * 9 * 14 * 14,
    "model net.yaml": 16 * 3 * 9 * 32 * 32 + 16 * 10,
    "model net.onnx": 16 * 3 * 9 * 8 * 8,
}
"""What ONNX Runtime times, and its MACs."""


@pytest.mark.parametrize("command", TIMED)
def test_onnx_runtime_times_without_torch(
    command: str, python_with_onnxruntime: str, project: Path, onnx_file: Path
) -> None:
    report = timed_by_onnxruntime(command, python_with_onnxruntime, project)
    assert report["environment"]["torch_version"] == ""
    assert set(report["environment"]["runtimes"]) == {"onnxruntime", "onnx", "numpy"}


@pytest.mark.parametrize("command", TIMED)
def test_onnx_runtime_loads_no_torch_where_that_is_installed(
    command: str, project: Path, onnx_file: Path
) -> None:
    pytest.importorskip("onnxruntime")
    timed_by_onnxruntime(command, sys.executable, project)


@pytest.mark.parametrize("command", ["layer 16 16 3", "model net.yaml", "model net.onnx"])
def test_a_runtime_that_is_missing_says_how_to_get_it(
    command: str, python_with_onnx: str, project: Path, onnx_file: Path
) -> None:
    asked = [*command.split(), "--runtime", "onnxruntime"]
    ran = run(python_with_onnx, project, "-m", "dscost", *asked)
    told = "onnxruntime is not installed: pip install 'dscost[onnxruntime]'\n"
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"dscost: --runtime onnxruntime: {told}"


def timed_by_onnxruntime(command: str, python: str, folder: Path) -> Any:
    """Time something by ONNX Runtime in a process that loads no torch; return its report."""
    asked = [*command.split(), "--runtime", "onnxruntime", "--time-budget", "1", "--json"]
    ran = run(python, folder, "-c", watched("torch"), *asked)
    assert ran.stderr.splitlines()[-1] == "0 set()", ran.stderr
    report = json.loads(ran.stdout)
    (subject,) = report["subjects"]
    assert (subject["totals"]["as_is"]["macs"], subject["untimed"]) == (TIMED[command], [])
    latency = subject["latency"]["cpu:onnxruntime"]
    assert latency["standard"]["median_s"] > latency["standard"]["min_s"] > 0
    ran_as = latency["ran"]["standard"]
    assert (ran_as["way_in"], ran_as["error"] < 1e-4) == ("ONNX", True)
    return report


def test_the_extra_that_reads_onnx_brings_no_more_than_onnx_and_numpy() -> None:
    assert set(_extra("onnx")) == {"numpy", "onnx"}
    brought = {one.name for one in _with_requirements(*_extra("onnx"))}
    assert brought == {"numpy", "onnx", "protobuf", "ml_dtypes", "typing_extensions"}


def test_a_model_that_is_unknown_may_be_one_that_torch_has(python: str, project: Path) -> None:
    ran = run(python, project, "-m", "dscost", "model", "resnet81", "--no-time")
    assert ran.returncode == 2
    assert "(did you mean 'resnet18'?)" in ran.stderr
    assert ran.stderr.endswith("not installed (pip install 'dscost[zoo]')\n")


@pytest.mark.parametrize(
    "call",
    [
        "layer(8, 8, 3, time=True)",
        "analyze('resnet18', time=True)",
        "device()",
        "convert('net.yaml')",
    ],
)
def test_the_library_says_so_too(call: str, python: str, project: Path) -> None:
    ran = run(python, project, "-c", f"import dscost\ndscost.{call}")
    *_, last = ran.stderr.splitlines()
    assert "torch is not installed: pip install 'dscost[torch]'" in last
    assert last.startswith("dscost.errors.UnavailableError: ")


def test_the_modules_of_torch_say_so_as_python_says_it(python: str, project: Path) -> None:
    ran = run(python, project, "-c", "from dscost.nn import GhostConv2d")
    *_, last = ran.stderr.splitlines()
    assert last == "ModuleNotFoundError: torch is not installed: pip install 'dscost[torch]'"


def test_a_budget_is_a_test_of_pytest_without_torch(python: str, project: Path) -> None:
    arguments = ("-m", "pytest", "-v", "-p", "no:cacheprovider", "--dscost=dscost.yaml")
    ran = run(python, project, *arguments)
    assert ran.returncode == 0
    assert "dscost.yaml::macs-max_increase[resnet18] PASSED" in ran.stdout


@pytest.mark.parametrize("part", range(PARTS))
def test_the_tests_of_what_needs_no_torch_pass_without_it(part: int, python: str) -> None:
    free = sorted(name for name in FREE if not name.startswith(GRAPH))
    files = [f"tests/test_{name}.py" for name in free[part::PARTS]]
    ran = run_tests(python, *files)
    *_, last = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert int(last.split(" passed")[0].split()[-1]) > 300, last


def test_the_tests_of_onnx_files_pass_without_torch(python_with_onnx: str) -> None:
    files = [f"tests/test_{name}.py" for name in FREE if name.startswith(GRAPH)]
    ran = run_tests(python_with_onnx, *files)
    assert ran.returncode == 0, ran.stdout[-4000:]


def run_tests(python: str, *files: str) -> subprocess.CompletedProcess[str]:
    """Run files of tests."""
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    return run(python, TESTS.parent, *command, more=A_TENTH)


def test_what_is_large_is_asked_for_by_extras_only() -> None:
    wanted = map(Requirement, distribution("dscost").requires or ())
    extras = {one.name: str(one.marker) for one in wanted if one.name in LARGE}
    assert set(extras) >= {"torch", "numpy", "safetensors"}
    assert all("extra ==" in marker for marker in extras.values())
