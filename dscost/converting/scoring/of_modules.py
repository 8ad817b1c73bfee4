"""A torch model → models for a score to be asked about, each converted by a plan."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from inspect import getsourcefile
from pathlib import Path

import torch
from torch import nn

from dscost.converting.applying import replaced, undisturbed
from dscost.converting.decisions import Decision
from dscost.converting.loading import Subject
from dscost.converting.outcomes import layer_outcome
from dscost.converting.recovering.calibrated_modules import Calibration
from dscost.converting.rehearsing import doing_the_same
from dscost.converting.scoring.asking import Scorer
from dscost.converting.scoring.calling import seeded
from dscost.converting.scoring.deciding import evaluator_for
from dscost.converting.scoring.evaluating import Evaluator
from dscost.converting.sites import Site
from dscost.foreign.parts import each_part, each_tensor, set_training
from dscost.modules.copying import copied
from dscost.timing import Progress

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def evaluator_of(
    subject: Subject,
    sites: Sequence[Site],
    scorer: Scorer,
    progress: Progress | None,
    calibration: Calibration | None = None,
) -> tuple[tuple[Site, ...], Evaluator]:
    """Return the sites of a subject that do the same once converted, and what scores them.

    Raises:
        InputError: The model would do something else once converted; or its journal is of another.
    """
    with undisturbed():
        full = [site.decided({site.name: 1}) for site in sites]
        same = doing_the_same(subject.module, full, subject.arguments)
    able = tuple(site._replace(form=None) for site in same)
    of = {
        "target": subject.target,
        "weights": _hash(subject.module),
        "code": _code_of(subject.module),
        "torch": torch.__version__,
    }
    maker = ModuleMaker(subject.module, able, calibration)
    return able, evaluator_for(scorer, maker, of, progress)


def _hash(root: nn.Module) -> str:
    """Return what tells the layers and tensors of a model from those of another."""
    found = sha256(_layers_of(root).encode())
    for tensor in each_tensor(root):
        found.update(_content(tensor))
    return found.hexdigest()


def _code_of(root: nn.Module) -> str:
    """Return what tells the files in which its layers are written, but for torch's, from others."""
    kinds = {type(part) for part in each_part(root) if not _is_of_torch(type(part))}
    found, files = sha256(), set()
    for kind in kinds:
        with suppress(TypeError, OSError):  # made in a console, or by a program
            files.add(getsourcefile(kind) or "")
    for file in sorted(filter(None, files)):
        with suppress(OSError):
            found.update(Path(file).read_bytes())
    return found.hexdigest()


def _is_of_torch(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "torch"


def _layers_of(root: nn.Module) -> str:
    """Return the layers as they are shown, but for addresses, which differ each time."""
    try:
        return _ADDRESS.sub("", repr(root))
    except (Exception, SystemExit):  # noqa: BLE001 - what a module says of itself is foreign code
        return " ".join(f"{name} {type(one).__name__}" for name, one in root.named_modules())


def _content(tensor: torch.Tensor) -> bytes:
    try:
        kind = f"{tensor.dtype} {tuple(tensor.shape)}"
        dense = tensor.detach() if tensor.layout == torch.strided else tensor.detach().to_dense()
        plain = dense.cpu().resolve_conj().resolve_neg().contiguous().flatten()
        return kind.encode() + plain.view(torch.uint8).numpy().tobytes()
    except RuntimeError:  # on meta, or not made yet
        return repr(tensor).encode()


class ModuleMaker:
    """Makes modules, each a copy of its own and in the mode of inference.

    Args:
        root: The model, left as it is.
        sites: Its convolutions, seen to do the same once converted.
        calibration: What converted ones can be recovered by.
    """

    def __init__(
        self,
        root: nn.Module,
        sites: Sequence[Site],
        calibration: Calibration | None = None,
    ) -> None:
        self._root, self._sites, self._calibration = root, sites, calibration
        self.recovers_by = None if calibration is None else calibration.given.fingerprint

    def converted(self, decisions: Mapping[str, Decision]) -> nn.Module:
        """Return the model converted by a plan."""
        with undisturbed():
            sites = [site.decided(decisions) for site in self._sites]
            model, _ = replaced(self._root, sites)
        set_training(model, False)
        return model

    def recovered(self, decisions: Mapping[str, Decision]) -> nn.Module:
        """Return the model converted by a plan and recovered."""
        assert self._calibration is not None
        model = self.converted(decisions)
        sites = [site.decided(decisions) for site in self._sites]
        self._calibration.recovery(model, [layer_outcome(site) for site in sites])
        return model

    def ruined(self) -> nn.Module:
        """Return it with every convolution that can be converted set to zero."""
        with undisturbed():
            plan = {site.name: 1 for site in self._sites if site.reason is None}
            model, new = replaced(self._root, [site.decided(plan) for site in self._sites])
            with torch.no_grad():
                for module in new.values():
                    for parameter in module.parameters():
                        parameter.zero_()
        set_training(model, False)
        return model

    def given(self, model: nn.Module) -> nn.Module:
        """Return a copy of a model."""
        with undisturbed():
            own, _ = copied(model, {})
        set_training(own, False)
        return own

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let a function run without gradients, with the same random numbers every time."""
        is_on_gpu: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        devices = range(torch.cuda.device_count()) if is_on_gpu else ()
        with torch.random.fork_rng(devices=devices), seeded(), torch.no_grad():
            torch.default_generator.manual_seed(0)
            if is_on_gpu:  # before, it would be seeded as soon as anybody uses it
                torch.cuda.manual_seed_all(0)
            yield
