"""Does dscost time a file as the tools of its runtime do? ONNX Runtime and OpenVINO, one thread.

Method: each file is run by dscost, by a loop as the vendor's documentation writes it, and by the vendor's own
benchmark, all on the same bytes and in float32. dscost's call and the loop are two sides of one comparison of its
engine (interleaved quartets, a 95 % interval over rounds), so that what the machine does meanwhile falls on both; the
same blocks are told by the processor time of the process as well, which a busy machine hardly disturbs. The benchmark is
a process of its own, which the same comparison takes turns with, A B B A: the ratio is that of the
geometric means of medians. Of ONNX Runtime, `onnxruntime_perf_test` is not in its wheel; the loop alone stands for it.
OpenVINO's is `benchmark_app` with `-api sync`, whose latency is that of one inference at a time, as dscost's is. dscost
ties no thread of OpenVINO's to a processor, so neither do the others; with `--pinned` they do as OpenVINO does by
default, which on a busy machine waits for whoever else has that processor.

Run: `python benchmarks/against_vendors.py`, two to three minutes; `--seconds` is what each comparison and each benchmark
takes, `--turns` how often A B B A is done. Prints Markdown.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from math import exp, log
from pathlib import Path
from random import Random
from statistics import fmean, median
from time import process_time
from typing import NamedTuple

import dscost
from dscost.analysis.targets import Request, count
from dscost.foreign.processor import cpu_name
from dscost.notation.units import format_seconds
from dscost.runtimes import RUNTIMES, How
from dscost.runtimes.checking import checked
from dscost.runtimes.programs import Program
from dscost.timing import Setting
from dscost.timing.counters import process_counters
from dscost.timing.engine import Call, Case, compare
from dscost.timing.machine import keep_freed_memory, load
from dscost.timing.statistics import speedup_of

CLOSE = 0.1
"""dscost is to be no further from the vendor's own way."""
LIMIT_S = 300
"""Of a process."""


def files_in(folder: Path) -> dict[str, Path]:
    """Write the files to run, with random weights, and return them by name."""
    layer = dscost.layer(256, 256, 3, input_size=14)
    dscost.export_onnx(layer, folder / "standard.onnx")
    dscost.export_onnx(layer, folder / "separable.onnx", "depthwise_separable")
    dscost.export_onnx("resnet18", folder / "resnet18.onnx")
    dscost.export_onnx("mobilenet_v2", folder / "mobilenet_v2.onnx")
    return {
        "256→256 @14, standard": folder / "standard.onnx",
        "256→256 @14, separable": folder / "separable.onnx",
        "ResNet-18": folder / "resnet18.onnx",
        "MobileNetV2": folder / "mobilenet_v2.onnx",
    }


def program_of(path: Path, runtime: str) -> Program:
    """Return a file as dscost runs it."""
    runnable = count(str(path), Request()).runnable
    assert runnable is not None
    program, _ = runnable.program("as_is", (), Setting(runtime=runtime))
    return program


# -- the vendors' own ways


def onnxruntime_loop(path: Path, program: Program, pinned: bool) -> Call:
    """Return one turn of a loop over `run`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    feeds = dict(program.inputs)
    return lambda: session.run(None, feeds)


def openvino_loop(path: Path, program: Program, pinned: bool) -> Call:
    """Return one turn of a loop over `infer`."""
    import openvino

    how = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": pinned,
    }
    request = openvino.Core().compile_model(str(path), "CPU", how).create_infer_request()
    for name, value in program.inputs.items():
        request.set_tensor(name, openvino.Tensor(value))
    return lambda: request.infer()  # the vendor's own way, with its copy of the outputs


def benchmark_app(path: Path, seconds: float, pinned: bool) -> float:
    """Return the median latency that OpenVINO's benchmark tells, in seconds."""
    words = ["-m", str(path), "-d", "CPU", "-hint", "none", "-api", "sync"]
    words += ["-nstreams", "1", "-nthreads", "1", "-infer_precision", "f32"]
    words += ["-pin", "YES" if pinned else "NO"]
    program = "from openvino.tools.benchmark.main import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", program, *words, "-t", str(max(1, round(seconds)))],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    ).stdout
    found = re.search(r"Median:\s+([\d.]+) (ms|us)", told)
    if found is None:
        raise SystemExit(f"benchmark_app told no median: {told[-500:]}")
    return float(found[1]) / {"ms": 1e3, "us": 1e6}[found[2]]


Loop = Callable[[Path, Program, bool], Call]
Tool = Callable[[Path, float, bool], float]
WAYS: dict[str, tuple[Loop, tuple[str, Tool] | None]] = {
    "onnxruntime": (onnxruntime_loop, None),
    "openvino": (openvino_loop, ("benchmark_app", benchmark_app)),
}

# -- beside dscost


Ratio = tuple[float, float, float]


class Beside(NamedTuple):
    """A file under one runtime: seconds of each way, and dscost's over the vendor's.

    Args:
        own_s: By dscost.
        loop_s: By the loop.
        over_loop: Median, low and high.
        by_cpu: The same by processor time.
        tool_s: By the benchmark.
    """

    own_s: float
    loop_s: float
    over_loop: Ratio
    by_cpu: Ratio
    tool_s: float | None = None

    @property
    def over_tool(self) -> float | None:
        """What dscost says over what the benchmark says."""
        return self.own_s / self.tool_s if self.tool_s else None

    @property
    def is_close(self) -> bool:
        """Whether dscost's figure is the vendor's, within what is allowed."""
        ratios = [self.over_loop[0], *([self.over_tool] if self.over_tool else [])]
        return all(abs(ratio - 1) <= CLOSE for ratio in ratios)


def beside(path: Path, runtime: str, seconds: float, turns: int, pinned: bool) -> Beside:
    """Return a file as both run it, dscost and the vendor's tools by turns."""
    loop, tool = WAYS[runtime]
    program = program_of(path, runtime)
    own = checked(RUNTIMES[runtime], program, How(1)).running.call
    case = Case(path.stem, own, loop(path, program, pinned))
    log_ratios: list[float] = []
    by_cpu: list[float] = []
    own_s, loop_s, tool_s = [], [], []
    for turn in range(turns):
        if tool:
            tool_s.append(tool[1](path, seconds, pinned))
        for half in range(2):
            (found,) = compare(
                [case],
                budget_s=seconds,
                counters=process_counters(),
                random=Random(2 * turn + half),
                cpu_clock=process_time,
            )
            if found.by_cpu:
                log_ratios += found.log_ratios
                by_cpu += found.by_cpu.log_ratios
                own_s.append(median(found.first_s))
                loop_s.append(median(found.second_s))
        if tool:
            tool_s.append(tool[1](path, seconds, pinned))
    if not own_s:
        raise SystemExit(f"{path.name} by {runtime} takes longer: see --seconds {seconds:g}")
    of_tool = _mean(tool_s) if tool_s else None
    return Beside(_mean(own_s), _mean(loop_s), _ratio(log_ratios), _ratio(by_cpu), of_tool)


def _ratio(log_ratios: Sequence[float]) -> Ratio:
    found = speedup_of(log_ratios)
    return found.median, *found.ci95


def _mean(seconds: Sequence[float]) -> float:
    return exp(fmean(map(log, seconds)))


def row(name: str, runtime: str, found: Beside) -> str:
    """Return a line of the table."""
    ratios = (found.over_loop, found.by_cpu)
    tool = WAYS[runtime][1]
    told = ["–", "–"]
    if tool and found.tool_s and found.over_tool:
        told = [f"{format_seconds(found.tool_s)} ({tool[0]})", f"{found.over_tool:.3f}"]
    cells = [
        name,
        RUNTIMES[runtime].title,
        format_seconds(found.own_s),
        format_seconds(found.loop_s),
        *(f"{middle:.3f} [{low:.3f}, {high:.3f}]" for middle, low, high in ratios),
        *told,
        "yes" if found.is_close else "**no**",
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--pinned", action="store_true", help="OpenVINO's threads are tied down")
    options = parser.parse_args(arguments)
    here = [name for name in WAYS if not RUNTIMES[name].missing]
    versions = [f"{RUNTIMES[name].title} {RUNTIMES[name].version}" for name in here]
    keep_freed_memory()
    print(
        f"{date.today()}, {cpu_name()}, one thread, Python {platform.python_version()}, "
        f"{', '.join(versions)}, {options.turns} turns of {options.seconds:g} s, load {load()}\n"
    )
    head = ["file", "runtime", "dscost", "plain loop", "dscost / loop [95 %]", "by processor time"]
    head += ["vendor's benchmark", "dscost / benchmark", f"within {CLOSE:.0%}"]
    print(f"| {' | '.join(head)} |\n| :-- | :-- |{' --: |' * (len(head) - 2)}")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files_in(Path(folder)).items():
            for runtime in here:
                print(
                    row(
                        name,
                        runtime,
                        beside(path, runtime, options.seconds, options.turns, options.pinned),
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
