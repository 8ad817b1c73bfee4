"""ONNX files counted by dscost, onnx-tool and onnxsim: MACs against the truth, time and memory.

Method: torchvision's networks are made with random weights and exported by both of torch's exporters, TorchScript and
dynamo; the truth of them is torch's own `FlopCounterMode` on the torch model on the meta device, attention taken apart
into its products. Files that packages ship are run once by ONNX Runtime with every result as an output, and the
products of their convolutions, matrices and LSTMs are counted on the shapes that came out; where a network has its
operators inside of an `If`, which hides them, the truth is that of the same network without one. Light files of the
onnx package have no figures of somebody else but onnx's shapes: they are run too.

Every count is a process of its own, which imports the tool, reads the file, counts, and says how long each took; then
a process that does what a user does, whose wall time and largest resident memory are taken from outside: of dscost the
command `dscost model FILE --json`, of the others the least script that prints their count. The fastest of ROUNDS, tools
by turns, the file in the page cache. Dynamic axes are bound as each tool wants them; onnxsim's optional sympy and
onnx-shape-inference are not installed, as `pip install onnxsim` leaves them out.

Run: `python benchmarks/onnx_files.py --files FOLDER [--peers PYTHON] [--rounds N] [NAME …]`. FOLDER keeps the files that are
made; `--install` makes an environment for the others in it, and fetches the packages' files. What is not installed is
left out with a line. Prints Markdown.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import IO, NamedTuple

INSTALLED = (
    "onnx==1.23.2",
    "onnx-tool==1.0.1",
    "onnxsim==0.8.1",
    "onnxruntime==1.32.0",
    "numpy",
    "tabulate",
)
WHEELS = (
    "rapidocr-onnxruntime==1.4.4",
    "silero-vad==6.2.3",
    "basic-pitch==0.4.0",
    "ddddocr==1.6.1",
)
LIMIT_S = 300
"""Of one process."""

EXPORTED = {
    "resnet18": "ts",
    "mobilenet_v2": "ts",
    "shufflenet_v2_x1_0": "ts dyn",
    "densenet121": "ts dyn",
    "efficientnet_b0": "ts",
    "swin_t": "ts dyn",
    "vit_b_16": "ts dyn",
    "convnext_tiny": "ts",
    "resnet152": "ts dyn",
}
"""Networks of torchvision, and the exporters that write them."""

RATE = "sr"
"""An input that is not all zeros: a network of two sampling rates chooses by it."""
HERTZ = 16000

Inputs = Mapping[str, tuple[int, ...]]
SHIPPED: dict[str, Inputs] = {
    "ch_PP-OCRv4_det_infer": {"x": (1, 3, 736, 736)},
    "ch_PP-OCRv4_rec_infer": {"x": (1, 3, 48, 320)},
    "ch_ppocr_mobile_v2.0_cls_infer": {"x": (1, 3, 48, 192)},
    "common": {"input1": (1, 1, 64, 160)},
    "nmp": {"serving_default_input_2:0": (1, 43844, 1)},
    "silero_vad_openvino_16k": {},
    "silero_vad_half": {"input": (1, 576), "state": (2, 1, 128)},
    "silero_vad_16k_op15": {"input": (1, 576), "state": (2, 1, 128), RATE: ()},
    "silero_vad": {"input": (1, 576), "state": (2, 1, 128), RATE: ()},
    "light_shufflenet": {},
    "light_densenet121": {},
    "light_resnet50": {},
}
"""Files of packages by the stems of their names, with the inputs that they are counted on."""
AS_WITHOUT_IF = dict.fromkeys(
    ("silero_vad_half", "silero_vad_16k_op15", "silero_vad"), "silero_vad_openvino_16k"
)
"""The same network, its operators where they can be seen."""

# -- what is started

EXPORT = """
import contextlib, io, sys, warnings
warnings.filterwarnings("ignore")
import torch
operators = torch.library.Library("torchvision", "DEF")  # PyPI's torchvision does not fit a CPU build of torch
for name in ("nms", "qnms"):
    with contextlib.suppress(RuntimeError):
        operators.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision
name, kind, path = sys.argv[1:]
torch.backends.mha.set_fastpath_enabled(False)
model = torchvision.models.get_model(name, weights=None).eval().requires_grad_(False)
x = torch.zeros(1, 3, 224, 224)
how = dict(dynamo=True, external_data=False, verbose=False) if kind == "dyn" else dict(dynamo=False, opset_version=17)
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    torch.onnx.export(model, (x,), path, input_names=["input"], output_names=["output"], **how)
"""

TRUTH = (
    EXPORT.split("model = ", maxsplit=1)[0].replace(
        "name, kind, path = sys.argv[1:]", "name = sys.argv[1]"
    )
    + """
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
with torch.device("meta"):
    model = torchvision.models.get_model(name, weights=None).eval().requires_grad_(False)
    x = torch.zeros(1, 3, 224, 224)
with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
    model(x)
print(counter.get_total_flops() // 2)
"""
)

RUN = """
import json, sys
from math import prod
import numpy as np, onnx, onnxruntime as ort
model, given, values = onnx.load(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
graph = model.graph
kept = {one.name for one in graph.output}
graph.output.extend(onnx.ValueInfoProto(name=n) for node in graph.node for n in node.output if n and n not in kept)
stored = {one.name: tuple(one.dims) for one in graph.initializer}
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.log_severity_level = 4
session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
feeds = {
    one.name: np.full(given.get(one.name, one.shape), values.get(one.name, 0), types[one.type])
    for one in session.get_inputs()
    if one.name not in stored
}
results = session.run(None, feeds)
shapes = {**stored, **{name: np.shape(value) for name, value in feeds.items()}}
shapes |= {one.name: np.shape(value) for one, value in zip(session.get_outputs(), results)}
total = 0
for node in graph.node:
    a, b, *_ = [shapes.get(name, ()) for name in node.input] + [(), ()]
    out = shapes.get(node.output[0], ())
    read = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if node.op_type == "Conv":
        total += prod(out) * prod(b[1:])
    elif node.op_type == "ConvTranspose":
        total += prod(a) * prod(b[1:])
    elif node.op_type == "MatMul":
        total += prod(out) * a[-1]
    elif node.op_type == "Gemm":
        total += prod(out) * a[0 if read.get("transA") else 1]
    elif node.op_type == "LSTM":  # X (time, batch, M), W (ways, 4N, M), R (ways, 4N, N)
        total += a[0] * a[1] * b[0] * b[1] * (b[2] + b[1] // 4)
    elif node.op_type in ("GRU", "RNN", "Einsum", "Attention") or "Integer" in node.op_type:
        raise NotImplementedError(node.op_type)
print(total)
"""

_COUNT = """
import json, sys, time
path, given, values, began = sys.argv[1], *map(json.loads, sys.argv[2:]), time.perf_counter()
{imported}
imported = time.perf_counter()
{read}
read = time.perf_counter()
why = ""
{counted}
counted = time.perf_counter()
print(json.dumps(dict(macs=macs, why=why, import_s=imported - began, read_s=read - imported, count_s=counted - read)))
"""

# how onnxsim is told shapes, and what it does not ask for
BIND = """model = onnx.load(path)
for one in model.graph.input:
    if one.name in given:
        for axis, size in zip(one.type.tensor_type.shape.dim, given[one.name]):
            axis.dim_value = size"""

COUNTERS = {
    "dscost": _COUNT.format(
        imported="""import dscost.analysis.graphs as graphs
from dscost.analysis.targets import Request
from dscost.graphs.reading import read_model
from dscost.notation.inputs import TensorSpec
from dscost.sources import GraphSource
from pathlib import Path""",
        read="source = GraphSource('onnx', Path(path), read_model(Path(path)))",
        counted="""specs = [TensorSpec(tuple(shape), None, name, values.get(name)) for name, shape in given.items()]
report = graphs.count_graph(source, Request(input=specs or None), target=path).report
why = ", ".join(report.coverage.unknown)
macs = None if why else report.totals.as_is.macs""",
    ),
    "onnx-tool": _COUNT.format(
        imported="import numpy, onnx, onnx_tool",
        read="model = onnx_tool.Model(path, {'verbose': False})",
        counted="""graph = model.graph
graph.graph_reorder_nodes()
inputs = {name: numpy.full(shape, values.get(name, 0.0)) for name, shape in given.items()}
graph.shape_infer(inputs or None)
graph.profile(exclude_ops=onnx_tool.NoMacsOps)
macs = int(graph.macs[0])""",
    ),
    "onnxsim": _COUNT.format(
        imported="import onnx\nfrom onnxsim.model_info import ModelInfo",
        read=BIND,
        counted="macs = ModelInfo(model).macs\nmacs = macs if isinstance(macs, int) else str(macs)[:40]",
    ),
}
PEERS = ("onnx-tool", "onnxsim")


class Result(NamedTuple):
    """What a tool said of a file; `None` where it has no answer, and why."""

    macs: int | str | None
    why: str = ""
    import_s: float = 0.0
    read_s: float = 0.0
    count_s: float = 0.0
    whole_s: float = 0.0
    peak_mb: float = 0.0


class Ran(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str
    wall_s: float
    peak_mb: float


def ran(command: list[str]) -> Ran:
    """Run a process; its largest resident memory is the kernel's figure of it alone."""
    before = time.perf_counter()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        late = time.perf_counter() + LIMIT_S
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() > late:
                process.kill()
                os.wait4(process.pid, 0)
                return Ran(-1, "", f"over {LIMIT_S} s", LIMIT_S, 0.0)
            time.sleep(0.001)
        wall = time.perf_counter() - before
        process.returncode = os.waitstatus_to_exitcode(status)
        out, err = map(_text_of, (stdout, stderr))
    return Ran(process.returncode, out, err, wall, used.ru_maxrss / 1024)


def _text_of(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def counted(tool: str, python: str, path: Path, given: Inputs) -> Result:
    """Return what a tool says of a file."""
    split = ran([python, "-c", COUNTERS[tool], *_arguments(path, given)])
    if split.code:
        return Result(None, (split.err.strip().splitlines() or ["?"])[-1][:90])
    told = json.loads(next(one for one in split.out.splitlines() if one.startswith('{"macs"')))
    whole = split
    if tool == "dscost":
        shapes = [f"{name}=({','.join(map(str, shape))})" for name, shape in given.items()]
        words = [f"{one}:int64={HERTZ}" if one.startswith(f"{RATE}=") else one for one in shapes]
        options = [word for one in words for word in ("--input", one)]
        whole = ran([str(Path(python).parent / "dscost"), "model", str(path), "--json", *options])
    return Result(**told, whole_s=whole.wall_s, peak_mb=whole.peak_mb)


def _arguments(path: Path, given: Inputs) -> list[str]:
    return [str(path), json.dumps(given), json.dumps({RATE: HERTZ})]


def in_turns(
    pythons: Mapping[str, str], path: Path, given: Inputs, rounds: int
) -> dict[str, Result]:
    """Return what all tools say of a file, the fastest of some rounds; who fails is asked once."""
    found: dict[str, list[Result]] = {tool: [] for tool in pythons}
    for _ in range(rounds):
        for tool, python in pythons.items():
            if not found[tool] or (found[tool][0].whole_s and found[tool][0].whole_s < 20):
                found[tool].append(counted(tool, python, path, given))
    return {tool: _fastest(several) for tool, several in found.items()}


def _fastest(several: list[Result]) -> Result:
    fields = ("import_s", "read_s", "count_s", "whole_s", "peak_mb")
    least = {one: min(getattr(result, one) for result in several) for one in fields}
    return several[0]._replace(**least)


# -- files


def files_of(folder: Path, names: list[str]) -> dict[str, tuple[Path, Inputs, str]]:
    """Return the files to count by name, each with its inputs and where its truth comes from."""
    found: dict[str, tuple[Path, Inputs, str]] = {}
    for network, kinds in EXPORTED.items():
        for kind in kinds.split():
            name = f"{network}.{kind}"
            path = folder / f"{name}.onnx"
            if names and name not in names:
                continue
            if not path.exists():
                made = ran([sys.executable, "-c", EXPORT, network, kind, str(path)])
                if made.code:
                    print(f"{name}: not exported: {made.err.strip().splitlines()[-1:]}", flush=True)
                    continue
            found[name] = (path, {}, network)
    for stem, given in SHIPPED.items():
        paths = sorted(folder.rglob(f"{stem}.onnx"))
        if paths and (not names or stem in names):
            found[stem] = (paths[0], given, "")
    return found


def truths_of(files: Mapping[str, tuple[Path, Inputs, str]], peers: str) -> dict[str, int]:
    """Return the MACs of files by name, see the top of this file."""
    found: dict[str, int] = {}
    of_networks: dict[str, int] = {}
    for name, (path, given, network) in files.items():
        if network:
            if network not in of_networks:
                of_networks[network] = int(ran([sys.executable, "-c", TRUTH, network]).out)
            found[name] = of_networks[network]
            continue
        seen = AS_WITHOUT_IF.get(name, "")
        if seen in files:
            path, given, _ = files[seen]
        told = ran([peers, "-c", RUN, *_arguments(path, given)])
        if told.code:
            print(f"{name}: no truth: {told.err.strip().splitlines()[-1:]}", flush=True)
            continue
        found[name] = int(told.out)
    return found


def install(folder: Path) -> str:
    """Make an environment of the other tools in a folder, and fetch the packages' files there."""
    place = folder / "peers"
    python = place / "bin" / "python"
    if not python.exists():
        venv.EnvBuilder(with_pip=True).create(place)
        subprocess.run([python, "-m", "pip", "install", "-q", *INSTALLED], check=True)
    wheels = folder / "wheels"
    pip = [python, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels)]
    subprocess.run([*pip, *WHEELS], check=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(
                wheels / wheel.stem, [name for name in archive.namelist() if name.endswith(".onnx")]
            )
    return str(python)


# -- tables


def _said(result: Result | None, truth: int | None) -> str:
    if result is None or result.macs is None:
        return "–" if result is None else f"none: {result.why.replace('|', '/')}"
    if isinstance(result.macs, str):
        return f"`{result.macs}`"
    if truth is None or result.macs == truth:
        return f"{result.macs:,}" if truth is None else "**equal**"
    return f"{result.macs:,} ({result.macs / truth - 1:+.1%})"


def main(arguments: list[str]) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="files by their names in the tables")
    parser.add_argument("--files", type=Path, required=True, help="where files are kept")
    parser.add_argument("--peers", default=sys.executable, help="the Python of the other tools")
    parser.add_argument("--install", action="store_true", help="make that environment in FILES")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    options.files.mkdir(parents=True, exist_ok=True)
    # a program that may not keep its bytecode compiles its modules at each of its starts
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    peers = install(options.files) if options.install else options.peers
    pythons = {"dscost": sys.executable}
    versions = [f"Python {platform.python_version()}", f"onnx {_version(sys.executable, 'onnx')}"]
    for tool in PEERS:
        version = _version(peers, tool)
        if version:
            pythons[tool] = peers
            versions.append(f"{tool} {version}")
        else:
            print(f"{tool} is not installed for {peers}: left out (--install)\n")
    print(
        f"{date.today()}, {', '.join(versions)}, {os.cpu_count()} cores, {options.rounds} rounds\n"
    )
    files = files_of(options.files, options.names)
    truths = truths_of(files, peers)
    print("| file | MB | MACs | " + " | ".join(pythons) + " |")
    print("| :-- | --: | --: |" + " --: |" * len(pythons))
    results: dict[str, dict[str, Result]] = {}
    for name, (path, given, _) in files.items():
        results[name] = row = in_turns(pythons, path, given, options.rounds)
        truth = truths.get(name)
        cells = " | ".join(_said(row.get(tool), truth) for tool in pythons)
        told = "" if truth is None else f"{truth:,}"
        print(f"| {name} | {path.stat().st_size / 1e6:.1f} | {told} | {cells} |", flush=True)
    print(
        "\nMilliseconds: import / read / count; then the whole process, and its largest resident memory.\n"
    )
    print("| file | " + " | ".join(pythons) + " |\n| :-- |" + " --: |" * len(pythons))
    for name, row in results.items():
        print(f"| {name} | " + " | ".join(_times(row.get(tool)) for tool in pythons) + " |")


def _version(python: str, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return ran([python, "-c", code]).out.strip()


def _times(one: Result | None) -> str:
    if one is None or not one.whole_s:
        return "–"
    split = " / ".join(f"{value * 1e3:.0f}" for value in (one.import_s, one.read_s, one.count_s))
    return f"{split}; {one.whole_s * 1e3:.0f} ms, {one.peak_mb:.0f} MB"


if __name__ == "__main__":
    main(sys.argv[1:])
