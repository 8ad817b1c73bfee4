"""What a model holds: its parameters and buffers, each under its first name."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dscost.foreign.parts import own_tensors
from dscost.tracing.packed import packed_in, unpacked
from dscost.tracing.sparse import SPARSE, nbytes_of, parts

STRIDED = torch.strided


class Parameter(NamedTuple):
    """A parameter of the model; shared ones appear once, under their first name."""

    name: str
    numel: int
    nbytes: int
    trainable: bool = True


class Held(NamedTuple):
    """A parameter or buffer as the tracer meets it.

    Args:
        name: Its path in the model.
        is_parameter: Or a buffer.
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
        key = hash(packed)  # of torch's own object: a new wrapper is made for every operator
        if key not in self.packed:
            self.add_packed(
                packed,
                f"{module}.packed_{len(self.packed)}" if module else f"packed_{len(self.packed)}",
            )
        return self.packed[key]

    def add_views(
        self, views: Iterable[tuple[int, int]], originals: Callable[[], Mapping[int, int]]
    ) -> None:
        """Take plain tensors for views of the parameters whose storage their originals share.

        Args:
            views: The address of each original's storage, and that of its stand-in.
            originals: Gives the address of the original's storage for each parameter and buffer, by
                its identity.
        """
        views = list(views)
        if views:
            of_original = {
                address: self.by_tensor[new]
                for new, address in originals().items()
                if new in self.by_tensor
            }
            for original, address in views:
                if original in of_original:
                    self.by_storage.setdefault(address, of_original[original])

    def read_by_other_names(self, read: Set[str], originals: Mapping[int, int]) -> set[str]:
        """Return the names of all that shares a storage with what was read.

        Args:
            read: Names of those that were read.
            originals: The address of the original's storage, by the identity of a stand-in: those
                share nothing.
        """
        places = [
            (
                one.name,
                {
                    one.address,
                    one.tensor.untyped_storage()._cdata,
                    originals.get(id(one.tensor), one.address),
                },
            )
            for one in self.by_tensor.values()  # a tensor may have been given another storage since
        ]
        met = {address for name, addresses in places if name in read for address in addresses}
        return {name for name, addresses in places if not met.isdisjoint(addresses)}

    def add_packed(self, packed: Any, name: str) -> None:
        """Take packed weights for a parameter of the model, unless they are known."""
        if hash(packed) not in self.packed:
            content = unpacked(packed)
            parameter = Parameter(name, content.numel, content.nbytes, trainable=False)
            self.packed[hash(packed)] = parameter
            self.parameters.append(parameter)


def held_by(modules: Sequence[tuple[str, nn.Module]], *, packed: bool = False) -> HeldTensors:
    """Return what modules hold, given every module once with its path.

    Args:
        modules: With their paths.
        packed: Whether to look for weights that torch keeps packed; operators that read them cannot
            run on meta.
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
                storage, nbytes = tensor.untyped_storage(), tensor.nbytes
                held = Held(
                    prefix + name, is_parameter, storage._cdata, nbytes, storage.nbytes(), tensor
                )
                by_tensor[id(tensor)] = held
                # of views of one storage the first gives its name
                by_storage.setdefault(held.address, held)
                if is_parameter:
                    parameters.append(
                        Parameter(held.name, tensor.numel(), nbytes, tensor.requires_grad)
                    )
    found = HeldTensors(by_tensor, by_storage, parameters, {}, bool(sparse))
    # last, since values of a sparse tensor may be those of a dense one
    for name, is_parameter, tensor in sparse:
        _add_sparse(found, name, is_parameter, tensor)
    for path, module in modules if packed else ():
        for name, value in list(module.__dict__.items()):
            for one in packed_in(value):
                found.add_packed(one, f"{path}.{name}" if path else name)
    return found


def _add_sparse(found: HeldTensors, name: str, is_parameter: bool, tensor: Tensor) -> None:
    """Add a sparse tensor: what it stores counts, and the indices have a size too."""
    known = False
    for part in parts(tensor):
        storage = part.untyped_storage()
        held = Held(name, is_parameter, storage._cdata, part.nbytes, storage.nbytes(), part)
        known = known or held.address in found.by_storage
        found.by_storage.setdefault(held.address, held)
    if is_parameter and not known:
        numel = parts(tensor)[0].numel()
        found.parameters.append(Parameter(name, numel, nbytes_of(tensor), tensor.requires_grad))
