"""Real ONNX files, changed somewhere, counted: what comes of 10,000 of them.

Method: of each file the structure is taken, with tensors of more than 64 KiB without their data, and changed as
`tests/graph_mutations.py` does it: bytes flipped, cut, repeated, truncated; sizes, values, dtypes, attributes, operators,
edges, order, results, versions and functions altered, one to three at once. Each is counted in a process that has
imported everything, on the sizes that the error proposes where axes are open. A fault is an exception that is not ours,
an error that is not one line, more than 5 s, a figure below zero, a whole that is not the sum of its layers, and a
complete count of a graph that onnx's strict inference refuses or gives other shapes.

Run: `python benchmarks/onnx_fuzz.py OUTPUT.md N SEED FILE.onnx…` (needs `dscost[onnx]`; 10,000 take about ten minutes
on two cores). Files that were at fault are kept beside OUTPUT.
"""

import multiprocessing
import random
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import graph_mutations
import onnx

from dscost.graphs.skimming import structure_of
from dscost.version import __version__


def structure(path: str) -> bytes:
    with Path(path).open("rb", buffering=0) as stream:
        return structure_of(stream, Path(path).stat().st_size)


def examine(task: tuple[int, str, int]) -> tuple[int, str, str, graph_mutations.Outcome, bytes]:
    """Change one file and count it; return what was done and what came of it."""
    number, path, seed = task
    how, content = graph_mutations.mutated(structure(path), random.Random(f"{seed} {number}"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        file.write_bytes(content)
        found = graph_mutations.examine(file)
    return number, path, how, found, content if found.fault else b""


def main(output: str, count: str, seed: str, *paths: str) -> None:
    dice = random.Random(int(seed))
    tasks = [(number, dice.choice(paths), int(seed)) for number in range(int(count))]
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    slowest = 0.0
    faults = []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for number, path, how, found, content in pool.imap_unordered(examine, tasks, chunksize=20):
            outcomes[found.how] += 1
            kinds.update(how.split("+"))
            slowest = max(slowest, found.wall_s)
            if found.fault:
                kept = Path(output).with_name(f"{Path(output).stem}-{number}.onnx")
                kept.write_bytes(content)
                faults.append(f"- {Path(path).name}, {how}: {found.fault} ({kept.name})")
    today = datetime.now(UTC).date()
    lines = [
        f"# Altered ONNX files, {today}",
        "",
        f"dscost {__version__}, onnx {onnx.__version__}, Python {sys.version.split()[0]}; {count} files made of {len(paths)}, "
        f"seed {seed}.",
        "",
        "| what came of it | files |",
        "|---|---|",
        *(f"| {how} | {times:,} |" for how, times in outcomes.most_common()),
        f"| at fault | {len(faults):,} |",
        "",
        f"The slowest took {slowest:.2f} s, imports apart. Changes: "
        + ", ".join(f"{kind} {times:,}" for kind, times in sorted(kinds.items()))
        + ".",
        *(["", "At fault:", "", *sorted(faults)] if faults else []),
    ]
    text = "\n".join(lines) + "\n"
    Path(output).write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
