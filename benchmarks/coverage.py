"""Every model of timm and torchvision, counted by dscost and by torch's FlopCounterMode.

Method: each model is made on the meta device with the input that it states (torchvision: the size its published
figures hold for), counted by `dscost.analyze` and by `FlopCounterMode` with gradients off on the parameters, forward
only. Detectors look at values and run for real, with random weights, in both counters. Where the library publishes
a count, it stands beside. Two worker processes; times are of single calls after imports.

Run: `python benchmarks/coverage.py OUTPUT.csv [PATTERN]` (needs `dscost[zoo]`; about 15 minutes on two cores).
"""

import csv
import fnmatch
import multiprocessing
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

FIELDS = ("target", "answer", "macs", "flop_counter_macs", "equal", "params", "published_gmacs", "unknown", "notes",
          "dscost_s", "flop_counter_s", "error")  # fmt: skip


def targets() -> list[str]:
    """Return every model of both libraries."""
    from dscost.sources import mending

    mending.import_torchvision()
    import timm
    import torchvision

    return [f"timm:{name}" for name in timm.list_models()] + [
        f"torchvision:{name}" for name in torchvision.models.list_models()
    ]


def examine(target: str) -> dict[str, object]:
    """Count one model twice."""
    warnings.simplefilter("ignore")
    import torch

    from dscost.analysis import module_source
    from dscost.analysis.traced import analyze_module
    from dscost.errors import DscostError
    from dscost.tracing.flopcounter import flop_counter_macs

    torch.set_num_threads(1)
    row: dict[str, object] = {"target": target}
    try:
        source, arguments, _ = module_source(target)
        before = time.perf_counter()
        report = analyze_module(source, arguments, target=target).report
        row["dscost_s"] = round(time.perf_counter() - before, 4)
        row |= {
            "answer": "partial" if report.coverage.unknown else "yes",
            "macs": report.totals.as_is.macs,
            "params": report.totals.as_is.params,
            "unknown": " ".join(report.coverage.unknown),
            "notes": "ran for real" if any("for real" in note for note in report.warnings) else "",
            "published_gmacs": published(target),
        }
    except DscostError as error:
        return row | {"answer": "no", "error": str(error)[:200]}
    try:
        before = time.perf_counter()
        theirs = flop_counter_macs(source.module, arguments, make_real=source.make_real).macs[""]
        row["flop_counter_s"] = round(time.perf_counter() - before, 4)
        row |= {"flop_counter_macs": theirs, "equal": theirs == report.totals.as_is.macs}
    except DscostError as error:
        row["error"] = str(error)[:200]
    return row


def published(target: str) -> float | str:
    """Return torchvision's own figure in GMACs."""
    library, _, name = target.partition(":")
    if library != "torchvision":
        return ""
    from torchvision.models import get_model_weights

    weights = list(get_model_weights(name))
    return weights[-1].meta.get("_ops", "") if weights else ""


def main(output: Path, pattern: str) -> None:
    """Count all models, write the table and print a summary."""
    names = [name for name in targets() if fnmatch.fnmatch(name, pattern)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool, output.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        rows = []
        for row in pool.imap(examine, names, chunksize=4):
            rows.append(row)
            writer.writerow(row)
            stream.flush()
    print(
        Counter(
            (str(row["target"]).partition(":")[0], row.get("answer"), row.get("equal"))
            for row in rows
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "*")
