"""How long the analytic commands take from process start to exit, against the least that Typer and rich allow.

`check` runs a budget of twenty models, built-ins and a file, with a baseline, layer rules and a matrix; it must take
under a second, and torch must not be loaded for it.

A traced model, `torchvision:resnet18`, is held against a script that imports torch and torchvision and makes the model.

An ONNX file of 5 MB, squeezenet1_1 as TorchScript exports it, must take no more than three times the floor and, on top
of that, what `import onnx` takes, which is that of a Python that does this less one that does nothing.

Method: whole processes, one of each command in turn, so that a slow moment of the machine hits all alike;
medians over the rounds, the first two left out; ratios to the floor, a two-option Typer program that prints a
three-row rich table. Run: `python benchmarks/startup.py [ROUNDS]`.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

FLOOR = """
import typer
app = typer.Typer(add_completion=False)
@app.command()
def one(a: int = 1, b: str = "x"):
    from rich.console import Console
    from rich.table import Table
    table = Table("a", "b", "c")
    for i in range(3):
        table.add_row(str(a), b, str(i))
    Console().print(table)
app()
"""

WHICH = ("which resnet50 4.11G", "which mobilenet_v2 0.32", "which vgg16 15.5")
NOTHING_FITS = (
    *("which resnet50 3.7G", "which resnet50 4.95G", "which mobilenet_v3_large 0.267G"),
    *("which efficientnet_b3 1.71G", "which efficientnet_b6 22.17G", "which resnet152 20G"),
)
"""Nothing gives these figures, so that every stage of the search is gone through; some models are the largest there are."""
LIMITS = {
    "layer --no-time": 1.3,
    "model resnet18 --no-time": 2.0,
    **dict.fromkeys((*WHICH, *NOTHING_FITS), 2.0),
}
"""Times the floor."""
MAKING, TRACED = (
    "import torch and torchvision, make resnet18",
    "model torchvision:resnet18 --no-time",
)
LIMIT_TRACED = 1.15
"""Times what it takes to have the model."""
NOTHING, IMPORTING, ONNX = "python -c pass", "python -c 'import onnx'", "model squeezenet1_1.onnx"
LIMIT_ONNX = 3.0
"""Times the floor, beside the import of onnx."""
CHECK = "check of twenty models"
LIMITS_S = {CHECK: 1.0}

PREPARE = """
import torch
operators = torch.library.Library("torchvision", "DEF")  # PyPI's torchvision does not fit a CPU build of torch
for name in ("nms", "qnms"):
    operators.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision
"""
MAKE = PREPARE + "torchvision.models.resnet18()\n"
EXPORT = (
    PREPARE
    + """
import sys
model = torchvision.models.squeezenet1_1().eval()
torch.onnx.export(model, (torch.zeros(1, 3, 224, 224),), sys.argv[1], dynamo=False, opset_version=17)
"""
)

TWENTY = """
version: 1
baseline: baseline.json
defaults:
  limits:
    params: {max_increase: 0%}
    macs: {max_increase: 1%, ignore_below: 100k}
models:
  - {target: net.yaml, limits: {params: 10k}}
  - target: mobilenet_v1
    matrix: {width: [0.5, 1.0]}
    limits: {macs: 600M, peak_activation_bytes: 7 MiB}
    layers:
      - {match: "separable*.pointwise", each: {macs: 60M}}
"""
OTHERS = (
    *(f"efficientnet_b{size}" for size in range(7)),
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("vgg16", "xception"),
)
NETWORK = """
input: [3, 32, 32]
layers:
  - {conv: 3, out_channels: 16, norm: batch, act: relu}
  - {global_pool: 1}
  - flatten
  - {linear: 10}
"""


def main(rounds: int) -> int:
    """Print the medians and return 1 if a limit is exceeded."""
    # a program that may not keep its bytecode compiles its modules at each of its starts
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    dscost = str(Path(sys.executable).parent / "dscost")
    with tempfile.TemporaryDirectory() as folder:
        floor, budget = Path(folder) / "floor.py", _twenty(Path(folder))
        floor.write_text(FLOOR)
        making = Path(folder) / "make.py"
        making.write_text(MAKE)
        file = str(Path(folder) / "squeezenet1_1.onnx")
        subprocess.run([sys.executable, "-c", EXPORT, file], capture_output=True, check=True)
        subprocess.run([dscost, "baseline", "save", budget], capture_output=True, check=True)
        commands = {
            "floor": [sys.executable, str(floor), "--a", "3"],
            "layer --no-time": [
                dscost,
                "layer",
                "--cin",
                "256",
                "--cout",
                "256",
                "-k",
                "3",
                "--no-time",
            ],
            "model resnet18 --no-time": [dscost, "model", "resnet18", "--no-time"],
            **{line: [dscost, *line.split()] for line in (*WHICH, *NOTHING_FITS)},
            CHECK: [dscost, "check", budget],
            "--help": [dscost, "--help"],
            NOTHING: [sys.executable, "-c", "pass"],
            IMPORTING: [sys.executable, "-c", "import onnx"],
            ONNX: [dscost, "model", file],
            MAKING: [sys.executable, str(making)],
            TRACED: [dscost, "model", "torchvision:resnet18", "--no-time"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                before = time.perf_counter()
                subprocess.run(command, capture_output=True, check=name not in NOTHING_FITS)
                times[name].append(time.perf_counter() - before)
    medians = {name: statistics.median(values[2:]) for name, values in times.items()}
    print(
        f"{date.today()}, Python {platform.python_version()}, typer {version('typer')}, rich {version('rich')}, onnx {version('onnx')}, "
        f"{rounds} rounds"
    )
    print("\n| command | median | of the floor | limit |\n| :-- | --: | --: | --: |")
    for name, median in medians.items():
        limit = LIMITS.get(name) or (f"{LIMITS_S[name]:g} s" if name in LIMITS_S else "")
        print(f"| {name} | {median * 1e3:.0f} ms | {median / medians['floor']:.2f} | {limit} |")
    ratio = medians[TRACED] / medians[MAKING]
    print(f"\n{TRACED}: {ratio:.2f} of what it takes to make the model (limit {LIMIT_TRACED})")
    onnx_s = medians[IMPORTING] - medians[NOTHING]
    onnx_ratio = (medians[ONNX] - onnx_s) / medians["floor"]
    print(f"{ONNX}: {onnx_ratio:.2f} of the floor beside the import of onnx (limit {LIMIT_ONNX})")
    return (
        ratio > LIMIT_TRACED
        or onnx_ratio > LIMIT_ONNX
        or any(medians[name] > limit * medians["floor"] for name, limit in LIMITS.items())
        or any(medians[name] > limit for name, limit in LIMITS_S.items())
    )


def _twenty(folder: Path) -> str:
    """Write the budget of twenty models and return its path."""
    (folder / "net.yaml").write_text(NETWORK)
    path = folder / "budget.yaml"
    path.write_text(
        TWENTY + "".join(f"  - {{target: {name}, limits: {{params: 200M}}}}\n" for name in OTHERS)
    )
    return str(path)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
