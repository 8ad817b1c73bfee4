"""How long planning takes: the knapsack alone, and a whole model from its weights to a plan.

Budgets run evenly from the least cost to the full one. Every answer must be proven the best, and 53 layers of ten
choices, as many as resnet50 has convolutions, must take well under ten seconds.

Run: `python benchmarks/planning.py`.
"""

import platform
import random
import statistics
import time
from collections.abc import Callable
from datetime import date

import torch

import dscost
from dscost.converting.knapsack import Choice, least_cost, least_error

BUDGETS = 20
LAYERS, RANKS = 53, 9
LIMIT_S = 10.0
OF_NETWORKS = ("MACs of convolutions", "seconds of convolutions")
MODELS = (
    "resnet18",
    "resnet50",
    "torchvision:vgg16",
    "torchvision:inception_v3",
    "torchvision:fcn_resnet50",
)


def main() -> int:
    """Print the tables and return 1 where the limit is exceeded or an answer is not proven."""
    print(f"{date.today()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print(
        f"| {LAYERS} layers × {RANKS + 1} choices | median | longest | {2 * BUDGETS} plans | proven best | widest gap |"
    )
    print("| :-- | --: | --: | --: | --: | --: |")
    failed = False
    for name, make in INSTANCES.items():
        took, gaps = _solved(make(random.Random(0)))
        failed |= max(took) > LIMIT_S or (name in OF_NETWORKS and max(gaps) > 0)
        cells = (
            f"{1e3 * statistics.median(took):.1f} ms",
            f"{1e3 * max(took):.1f} ms",
            f"{sum(took):.2f} s",
        )
        print(f"| {name} | {' | '.join(cells)} | {gaps.count(0)} | {100 * max(gaps):.2g} % |")
    print("\n| model | layers | from target to plan of macs=0.7x |\n| :-- | --: | --: |")
    for target in MODELS:
        seconds, layers = _planned(target)
        failed |= seconds > LIMIT_S
        print(f"| {target} | {layers} | {seconds:.2f} s |")
    return int(failed)


def _solved(layers: list[list[Choice]]) -> tuple[list[float], list[float]]:
    """Return the seconds of every plan, by cost and by error, and how far it may be from the best, as shares."""
    took, gaps = [], []
    for solve, at, of in ((least_error, 0, 1), (least_cost, 1, 0)):
        low, high = (sum(pick(one[at] for one in layer) for layer in layers) for pick in (min, max))
        for step in range(1, BUDGETS + 1):
            before = time.perf_counter()
            found = solve(layers, low + step / (BUDGETS + 1) * (high - low))
            took.append(time.perf_counter() - before)
            assert found is not None
            minimised = (found.cost, found.error)[of]
            gaps.append(found.gap / minimised if minimised else 0.0)
    return took, gaps


def _convolutions(source: random.Random, kind: Callable[[float], float]) -> list[list[Choice]]:
    """Return layers as networks have them: many of one shape, each with singular values of its own."""
    layers = []
    for _ in range(LAYERS):
        outputs = source.choice((64, 128, 256, 512))
        full = (
            source.choice((64, 128, 256, 512)) * outputs * 9 * source.choice((49, 196, 784, 3136))
        )
        energy = sorted((source.expovariate(1) for _ in range(RANKS)), reverse=True)
        costs = [kind(full * rank * (9 + outputs) // (9 * outputs)) for rank in range(1, RANKS + 1)]
        errors = [sum(energy[rank:]) / sum(energy) for rank in range(1, RANKS + 1)]
        layers.append([(kind(full), 0.0), *zip(costs, errors, strict=True)])
    return layers


def _noise(source: random.Random) -> list[list[Choice]]:
    return [[(source.random(), source.random()) for _ in range(RANKS + 1)] for _ in range(LAYERS)]


def _alike(source: random.Random) -> list[list[Choice]]:
    """Return choices whose error falls as the cost rises, so that hardly any is better than another."""
    layers = []
    for _ in range(LAYERS):
        costs = sorted(source.sample(range(1, 1000), RANKS + 1))
        layers.append([(cost, 1 - cost / 1000 + source.random() / 1000) for cost in costs])
    return layers


INSTANCES = {
    OF_NETWORKS[0]: lambda source: _convolutions(source, int),
    OF_NETWORKS[1]: lambda source: _convolutions(
        source, lambda macs: macs * (1 + source.random()) * 1e-11
    ),
    "costs and errors at random": _noise,
    "error falls with cost": _alike,
}


def _planned(target: str) -> tuple[float, int]:
    """Return the seconds from target to plan, and the number of layers that could be converted."""
    before = time.perf_counter()
    found = dscost.plan(target, "macs=0.7x")
    return time.perf_counter() - before, len(found.layers)


if __name__ == "__main__":
    raise SystemExit(main())
