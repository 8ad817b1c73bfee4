"""A whole model as torch and other runtimes take it, as it is or converted."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dscost.analysis.running import Work
from dscost.reports.figures import Cost
from dscost.timing import Setting

if TYPE_CHECKING:
    from torch import nn

    from dscost.runtimes.programs import Program
    from dscost.tracing import Arguments

WHOLE = "the whole model"


class WholeModel(NamedTuple):
    """A model as torch and other runtimes take it.

    Args:
        build: Makes the module, for torch.
        arguments: Makes what that is called with under a setting.
        program: Makes it for any other runtime, what is random in it by a seed.
        cost: Of one call; of a model that becomes cheaper what it was will do.
        dtype: Of its weights.
    """

    build: "Callable[[], nn.Module]"
    arguments: "Callable[[Setting], Arguments]"
    program: "Callable[[Setting, int], Program]"
    cost: Cost
    dtype: str

    def work(self, name: str, setting: Setting, *, seed: int = 0) -> Work:
        """Return it as something to be run."""
        return Work(
            name,
            setting,
            self.build,
            partial(self.arguments, setting),
            partial(self.program, setting, seed),
            macs=self.cost.macs,
            needed_bytes=2 * self.cost.weight_bytes + self.cost.traffic_bytes // 2,
        )


def model_of_torch(
    module: "nn.Module", arguments: "Arguments", cost: Cost, dtype: str
) -> WholeModel:
    """Return a module to be timed on some arguments; it is left as it is."""

    def program(setting: Setting, _: int) -> "Program":
        from dscost.modules.building import placed
        from dscost.runtimes.programs import ModuleProgram

        args, kwargs = arguments.with_values(**setting.place)
        own = placed(deepcopy(module), **setting.place)
        return ModuleProgram(WHOLE, own, args, kwargs, cost.macs)

    return WholeModel(
        partial(deepcopy, module),
        lambda setting: arguments.with_values(**setting.place),
        program,
        cost,
        dtype,
    )
