"""What tests share: how laws run, the same examples everywhere and no limit on time; the operations of a model."""

import os
from collections.abc import Mapping
from typing import Any

from hypothesis import settings

from dscost.analysis.architectures import ArchitectureVersions
from dscost.analysis.counting import CountedModel
from dscost.networks.network import Operation
from dscost.reports.records import Latency, Speedup, Timing

EXAMPLES = float(os.environ.get("EXAMPLES", "1"))
"""How many times as many examples as usual: `EXAMPLES=10 pytest` is the long run, of a night; `EXAMPLES=0.1` a short one."""

law = settings(
    derandomize=True, database=None, deadline=None, max_examples=max(1, int(60 * EXAMPLES))
)
dear_law = settings(law, max_examples=max(1, int(25 * EXAMPLES)))
"""For what takes long: a model is traced, or all there is is tried."""


BETWEEN = {f"efficientnet_b{number}" for number in range(1, 7)} | {"resnet101"}
"""Built-ins of the blocks of a smaller and a larger one: a law of blocks holds for them where it holds for those."""


def operations_of(model: CountedModel) -> tuple[Operation, ...]:
    """Return the operations of a counted architecture."""
    assert isinstance(model.versions, ArchitectureVersions)
    return model.versions.operations


def timing_with(
    speedup: Speedup | None = None, *, rest: Mapping[str, Any] | None = None, **latencies: Latency
) -> Timing:
    """Return a made-up timing.

    Args:
        speedup: Of depthwise-separable.
        rest: Other fields of a timing.
        latencies: Of versions and variants, by name.
    """
    ratios = {} if speedup is None else {"depthwise_separable": speedup}
    return Timing(latencies, ratios, **(rest or {}))
