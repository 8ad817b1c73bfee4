"""What tests share: how laws run, the same examples everywhere and no limit on time; the operations of a model."""

from hypothesis import settings

from dscost.analysis.counting import ArchitectureVersions, CountedModel
from dscost.networks.network import Operation

law = settings(derandomize=True, database=None, deadline=None, max_examples=100)


def operations_of(model: CountedModel) -> tuple[Operation, ...]:
    """Return the operations of a counted architecture."""
    assert isinstance(model.versions, ArchitectureVersions)
    return model.versions.operations
