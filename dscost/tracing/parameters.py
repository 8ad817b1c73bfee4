"""What a model holds: its parameters and buffers, each under its first name."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dscost.foreign.parts import own_tensors
from dscost.traces.parameters import Parameter
from dscost.tracing.meta_copies import StandIns
from dscost.tracing.packed import packed_in, unpacked
from dscost.tracing.sparse import SPARSE, nbytes_of, parts

STRIDED = torch.strided


class Held(NamedTuple):
    """A parameter or buffer as the tracer meets it, named by its path.

    Args:
        address: Where its storage begins.
        nbytes: Size of the tensor itself.
        storage_nbytes: Size of the storage that it is a view of.
        tensor: Kept alive, so that neither its identity nor its address is given to another one.
    """

    name: str
    is_parameter: bool
    address: int
    nbytes: int
    storage_nbytes: int
    tensor: Tensor


class HeldTensors(NamedTuple):
    """Parameters and buffers, to be found by what an operator gets.

    Args:
        by_tensor: By identity of the tensor object.
        by_storage: By address of the storage, which a view shares.
        parameters: In the order of the modules, with the weights that torch keeps packed.
        packed: Those, by the address of the object that holds them.
        any_sparse: Whether some parameter or buffer is sparse.
    """

    by_tensor: dict[int, Held]
    by_storage: dict[int, Held]
    parameters: list[Parameter]
    packed: dict[int, Parameter]
    any_sparse: bool

    def packed_as(self, packed: Any, module: str) -> Parameter:
        """Return packed weights as a parameter: as a module holds them, or as first met in one."""
        number = f"packed_{len(self.packed)}"
        self.add_packed(packed, f"{module}.{number}" if module else number)
        return self.packed[hash(packed)]

    def add_views(self, standins: StandIns, model: nn.Module) -> None:
        """Take plain tensors for views of the parameters whose storage their originals share."""
        views = list(standins.attributes())
        originals = standins.addresses(model) if views else {}
        of_original = {}
        for new, address in originals.items():
            if new in self.by_tensor:
                of_original[address] = self.by_tensor[new]
        for original, address in views:
            if original in of_original:
                self.by_storage.setdefault(address, of_original[original])

    def read_by_other_names(self, read: Set[str], originals: Mapping[int, int]) -> set[str]:
        """Return the names of all that shares a storage with what was read, by its name.

        Stand-ins share nothing: `originals` has the address of their original's storage, by
        identity.
        """
        places = {}
        for one in self.by_tensor.values():
            now = one.tensor.untyped_storage()._cdata  # it may have been given another one since
            places[one.name] = {one.address, now, originals.get(id(one.tensor), one.address)}
        met = set().union(*(places[name] for name in read & places.keys()))
        return {name for name, addresses in places.items() if not met.isdisjoint(addresses)}

    def add_packed(self, packed: Any, name: str) -> None:
        """Take packed weights for a parameter of the model, unless they are known."""
        key = hash(packed)  # of torch's own object: a new wrapper is made for every operator
        if key not in self.packed:
            content = unpacked(packed)
            self.packed[key] = Parameter(name, content.numel, content.nbytes, trainable=False)
            self.parameters.append(self.packed[key])


def held_by(modules: Sequence[tuple[str, nn.Module]], *, packed: bool = False) -> HeldTensors:
    """Return what modules hold, given every module once with its path.

    Weights that torch keeps packed are looked for where they are asked for: operators that read
    them cannot run on meta.
    """
    by_tensor: dict[int, Held] = {}
    by_storage: dict[int, Held] = {}
    parameters: list[Parameter] = []
    sparse: list[tuple[str, bool, Tensor]] = []
    for path, module in modules:
        prefix = f"{path}." if path else ""
        held_parameters, buffers = own_tensors(module)
        for tensors in (held_parameters, buffers):
            is_parameter = tensors is held_parameters
            for name, tensor in tensors.items():
                if tensor is None or id(tensor) in by_tensor or is_lazy(tensor):
                    continue
                if tensor.layout is not STRIDED and tensor.layout in SPARSE:
                    sparse.append((prefix + name, is_parameter, tensor))
                    continue
                held = by_tensor[id(tensor)] = _held(prefix + name, is_parameter, tensor)
                # of views of one storage the first gives its name
                by_storage.setdefault(held.address, held)
                if is_parameter:
                    numel, needs_gradient = tensor.numel(), tensor.requires_grad
                    parameters.append(Parameter(held.name, numel, held.nbytes, needs_gradient))
    found = HeldTensors(by_tensor, by_storage, parameters, {}, bool(sparse))
    # last, since values of a sparse tensor may be those of a dense one
    for name, is_parameter, tensor in sparse:
        _add_sparse(found, name, is_parameter, tensor)
    for path, module in modules if packed else ():
        for name, value in list(module.__dict__.items()):
            for one in packed_in(value):
                found.add_packed(one, f"{path}.{name}" if path else name)
    return found


def _held(name: str, is_parameter: bool, tensor: Tensor) -> Held:
    storage = tensor.untyped_storage()
    return Held(name, is_parameter, storage._cdata, tensor.nbytes, storage.nbytes(), tensor)


def _add_sparse(found: HeldTensors, name: str, is_parameter: bool, tensor: Tensor) -> None:
    """Add a sparse tensor: what it stores counts, and the indices have a size too."""
    known = False
    for part in parts(tensor):
        held = _held(name, is_parameter, part)
        known = known or held.address in found.by_storage
        found.by_storage.setdefault(held.address, held)
    if is_parameter and not known:
        numel = parts(tensor)[0].numel()
        found.parameters.append(Parameter(name, numel, nbytes_of(tensor), tensor.requires_grad))
