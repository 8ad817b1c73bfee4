"""Small modules counted by the peers themselves and by their conventions here, figure by figure.

Method: the modules of `tests/convention_cases.py`, which stand for rules that few models exercise, are made anew for each
of fvcore, ptflops, thop and torchinfo, and counted by it as its documentation says, in evaluation, with inputs of zeros,
on the CPU. ptflops is given the first input alone where a module has several; the others are held for it. Beside it
stands what `dscost.analyze(…, convention=…)` says. Where a peer fails there is no figure of its own, and nothing to agree
with.

With `--models` it does the same for whole models, `torchvision:NAME` or `timm:NAME`, with an optional `@SIZE`.

Run: `pip install -e .[peers] && python benchmarks/conventions.py [--data FILE.csv] [--models NAME…]`; one minute. Prints
Markdown, exits 1 where a figure differs. `--data tests/data/conventions.csv` writes what the peers say for the tests.
"""

import argparse
import contextlib
import csv
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from convention_cases import CASES

import dscost
from dscost.conventions import find_convention
from dscost.sources.mending import import_torchvision
from dscost.version import __version__

Shape = tuple[int, ...]


# -- the peers


class OneInput(nn.Module):
    """A module of which all inputs but the first are held."""

    def __init__(self, inner: nn.Module, *others: Tensor) -> None:
        super().__init__()
        self.inner, self.others = inner, others

    def forward(self, x: Tensor) -> Any:
        """Run it on this one and those."""
        return self.inner(x, *self.others)


def fvcore(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    from fvcore.nn import FlopCountAnalysis

    counted = FlopCountAnalysis(module, tuple(inputs))
    return int(counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def ptflops(module: nn.Module, inputs: Sequence[Tensor]) -> int | None:
    from ptflops import get_model_complexity_info

    first, *others = inputs
    count, _ = get_model_complexity_info(
        OneInput(module, *others) if others else module,
        tuple(first.shape[1:]) or (1,),
        input_constructor=lambda _: first,
        as_strings=False,
        print_per_layer_stat=False,
        verbose=False,
    )
    return None if count is None else int(count)


def thop(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    from thop import profile

    return int(profile(module, tuple(inputs), verbose=False)[0])


def torchinfo(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    from torchinfo import summary

    return int(summary(module, input_data=list(inputs), verbose=0).total_mult_adds)


PEERS: dict[str, Callable[[nn.Module, Sequence[Tensor]], int | None]] = {
    one.__name__: one for one in (fvcore, ptflops, thop, torchinfo)
}


def says(peer: str, make: Callable[[], nn.Module], shapes: Sequence[Shape]) -> int | str:
    """Return the figure of a peer, or why it has none."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            count = PEERS[peer](make().eval(), [torch.zeros(shape) for shape in shapes])
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is why it has no figure
        return type(error.__cause__ or error).__name__
    return "no figure" if count is None else count


# -- beside ours


class Row(NamedTuple):
    """What a peer says of a module, and what its convention says here."""

    case: str
    peer: str
    theirs: int | str
    ours: int

    @property
    def verdict(self) -> str:
        """Say whether they agree."""
        if isinstance(self.theirs, str):
            return f"fails: {self.theirs}"
        return "same" if self.theirs == self.ours else f"**off by {self.ours - self.theirs:+,}**"


def of_case(name: str, make: Callable[[], nn.Module], shapes: Sequence[Shape]) -> Iterator[Row]:
    ours = figures(make(), shapes)
    for peer in PEERS:
        yield Row(name, peer, says(peer, make, shapes), ours[peer])


def figures(target: Any, shapes: Sequence[Shape]) -> dict[str, int]:
    """Return what a target counts by the convention of each peer."""
    given = tuple(torch.zeros(shape, device="meta") for shape in shapes)
    if isinstance(target, nn.Module):
        target = target.eval()
    report = dscost.analyze(target, input=given, convention=list(PEERS))
    found = report.by_convention or {}
    return {peer: found[find_convention(peer).key]["as_is"] for peer in PEERS}


def of_model(said: str) -> Iterator[Row]:
    """Yield what is said of a model such as `timm:resnet18@160`."""
    name, _, size = said.partition("@")
    made = made_of(name)
    side = int(size) if size else size_of(made())
    yield from of_case(said, made, [(1, 3, side, side)])


def made_of(name: str) -> Callable[[], nn.Module]:
    package, _, kind = name.partition(":")
    if package == "timm":
        import timm

        return lambda: timm.create_model(kind)
    import torchvision

    return lambda: torchvision.models.get_model(kind, weights=None)


def size_of(model: nn.Module) -> int:
    return int(getattr(model, "default_cfg", {"input_size": (224,)})["input_size"][-1])


# -- what is told


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| case | peer | theirs | ours | |"
    yield "| :-- | :-- | --: | --: | :-- |"
    for row in rows:
        theirs = "–" if isinstance(row.theirs, str) else f"{row.theirs:,}"
        yield f"| {row.case} | {row.peer} | {theirs} | {row.ours:,} | {row.verdict} |"


def summary(rows: Sequence[Row]) -> Iterator[str]:
    yield "| peer | same | differ | peer fails |"
    yield "| :-- | --: | --: | --: |"
    for peer in PEERS:
        of_peer = [row for row in rows if row.peer == peer]
        failed = sum(isinstance(row.theirs, str) for row in of_peer)
        same = sum(row.theirs == row.ours for row in of_peer)
        yield f"| {peer} | {same} | {len(of_peer) - failed - same} | {failed} |"


def save(rows: Sequence[Row], path: Path) -> None:
    """Write what peers say, a line per case; an empty cell where one fails."""
    by_case: dict[str, dict[str, int | str]] = {}
    for row in rows:
        said = "" if isinstance(row.theirs, str) else row.theirs
        by_case.setdefault(row.case, {"case": row.case})[row.peer] = said
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["case", *PEERS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(by_case.values())


def main() -> int:
    parser = argparse.ArgumentParser(description="Peers and their conventions on small modules.")
    parser.add_argument("--data", type=Path, help="where what the peers say is written, as CSV")
    parser.add_argument("--models", nargs="*", default=[], help="count these instead")
    chosen = parser.parse_args()
    import_torchvision()  # first, as one of PyPI may need mending, and ptflops imports it
    torch.set_num_threads(1)
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    found = (
        map(of_model, chosen.models)
        if chosen.models
        else (of_case(n, *c) for n, c in CASES.items())
    )
    rows = [row for of_one in found for row in of_one]
    if chosen.data:
        save(rows, chosen.data)
    today = datetime.now(UTC).date()
    versions = ", ".join(f"{name} {version(name)}" for name in (*PEERS, "torch"))
    print(f"# What peers say, and their conventions here, {today}\n")
    print(f"`python benchmarks/conventions.py`, with dscost {__version__}, {versions}.\n")
    print("\n".join([*summary(rows), "", *table(rows)]))
    return int(any("off" in row.verdict for row in rows))


if __name__ == "__main__":
    sys.exit(main())
