"""A converted model → a module of Python that makes it, and needs torch but not dscost.

Of somebody's code it imports what makes the model, and puts depthwise-separable convolutions in
place of those that were converted; an architecture it writes out, layer by layer. What is written
is run before anybody sees it: its model has the weights of the converted one and does the same.
"""

import ast
import inspect
import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from dscost.converting import code_parts as parts
from dscost.converting.layer_code import Code, layer_code, quoted, write_out, write_ties
from dscost.converting.loading import MADE_BY_DSCOST, Subject
from dscost.converting.results import LayerOutcome, how_many
from dscost.converting.trying_code import INSTEAD, try_code
from dscost.errors import InputError
from dscost.files import MADE_BY
from dscost.modules.copying import by_path
from dscost.notation.literals import Reference
from dscost.rewriting.replacing import own_hooks
from dscost.sources import Home
from dscost.sources.objects import resolved
from dscost.version import __version__


class ToWrite(NamedTuple):
    """What code is written of: a subject, its converted model, and what became of its layers."""

    subject: Subject
    module: nn.Module
    layers: Sequence[LayerOutcome]

    @property
    def new(self) -> dict[str, nn.Module]:
        """What took the place of convolutions, by name."""
        found = by_path(self.module)
        return {one.name: found[one.name] for one in self.layers if one.converted}


def code_of(converted: ToWrite, path: Path, weights: str) -> str:
    """Return the code that makes a converted model.

    Args:
        converted: The model.
        path: Where the code will be: others are found from there.
        weights: The file that its weights are or may be in, for the words at the top.

    Raises:
        InputError: No code makes this model.
    """
    code = Code({"import torch", "from torch import nn"}, {}, [])
    if converted.subject.source in MADE_BY_DSCOST:
        write_out(converted.module, code)
        needed = "torch"
    else:
        needs = _replace_in(converted, code, path)
        needed = f"torch and {needs}" if needs else "torch"
    write_ties(converted.module, converted.new.values(), code)
    code.lines.append("return model")
    text = _whole(code, _heading(converted, needed, weights))
    try_code(text, converted.subject, converted.module, path)
    return text


def _heading(converted: ToWrite, needed: str, weights: str) -> str:
    loads = f'torch.load("{weights}")'
    if weights.endswith(".safetensors"):
        loads = f'safetensors.torch.load_file("{weights}")'
    return (
        f"# {MADE_BY} {__version__}; it will write over changes.\n"
        f'"""{_plain(converted.subject.target)}: {how_many(converted.layers)}.\n\n'
        f"Needs {needed}, not dscost. Weights are those that `dscost convert --save` writes:\n\n"
        f"    model = make()\n    model.load_state_dict({loads})\n"
        '"""'
    )


def _plain(text: str) -> str:
    """Return a name as it may stand in a docstring."""
    return text.replace("\\", "/").replace('"', "'").encode("ascii", "replace").decode()


def _whole(code: Code, heading: str) -> str:
    """Return the file: imports, copied parts, and `make`."""
    used = sorted(code.used.values(), key=lambda part: inspect.getsourcelines(part)[1])
    sources = [inspect.getsource(part).rstrip() for part in used]
    body = "\n\n\n".join(re.sub(r"  # type: ignore.*", "", source) for source in sources)
    for name, line in _OF_PARTS.items():
        if re.search(rf"\b{name}\b", body):
            code.imports.add(line)
    if "from torch import Tensor" in code.imports:
        code.imports.difference_update({"from torch import nn", "from torch import Tensor"})
        code.imports.add("from torch import Tensor, nn")
    if not re.search(r"\btorch\.\w", "\n".join([body, *code.lines])):
        code.imports.discard("import torch")
    make = "\n".join(f"    {line}" if line else "" for line in code.lines)
    doc = '    """Return the model with its cheaper convolutions and initial weights."""'
    sections = [*filter(None, [body]), f"def make() -> nn.Module:\n{doc}\n{make}"]
    return f"{heading}\n\n{_sorted(code.imports)}\n\n\n" + "\n\n\n".join(sections) + "\n"


_OF_PARTS = {
    "OrderedDict": "from collections import OrderedDict",
    "Any": "from typing import Any",
    "Tensor": "from torch import Tensor",
}


def _sorted(imports: set[str]) -> str:
    """Return imports: of the standard library, of torch, of others; then what finds the others."""
    groups: dict[int, list[str]] = {}
    for line in imports:
        module = line.split()[1].partition(".")[0]
        place = 3 if not line.startswith(("import ", "from ")) else 2
        if place == 2 and module in _STANDARD:
            place = 0
        elif place == 2 and module == "torch":
            place = 1
        elif place == 2:
            place = 4
        groups.setdefault(place, []).append(line)
    ordered = (
        sorted(groups[at], key=lambda one: (one.startswith("from"), one)) for at in sorted(groups)
    )
    return "\n\n".join("\n".join(lines) for lines in ordered)


_STANDARD = ("collections", "copy", "importlib", "pathlib", "sys", "typing")


# -- somebody's code, with other convolutions


def _replace_in(converted: ToWrite, code: Code, path: Path) -> str:
    """Write how the model is made and changed, and return what its code needs."""
    new = converted.new
    if "" in new:  # a convolution alone
        code.lines.append(f"model = {layer_code(new[''], code)}")
        return ""
    made, needs = _made(converted.subject, code, path)
    code.lines.append(f"model = {made}")
    old = by_path(converted.subject.module)
    for name, layer in new.items():
        has_hooks = bool(own_hooks(old[name]))
        put = code.needs(parts.put)
        if has_hooks:
            put = code.needs(parts.put_with_hooks)
        code.lines.append(f"{put}(model, {quoted(name)}, {layer_code(layer, code)})")
    return needs


def _made(subject: Subject, code: Code, path: Path) -> tuple[str, str]:
    """Return the expression that makes the model of a subject, and what it needs."""
    name = subject.target.rpartition(":")[2]
    given = [f"{key}={_value(value, code)}" for key, value in subject.kwargs.items()]
    match subject.source:
        case "torchvision":
            code.imports.add("import torchvision")
            backbone = ["weights_backbone=None"] if _has_backbone(subject, name) else []
            given = [quoted(name), "weights=None", *backbone, *given]
            return f"torchvision.models.get_model({', '.join(given)})", "torchvision"
        case "timm":
            code.imports.add("import timm")
            given = [quoted(name), "pretrained=False", *given]
            return f"timm.create_model({', '.join(given)})", "timm"
        case "hf":
            code.imports.add("from transformers import AutoConfig, AutoModel")
            configuration = f"AutoConfig.for_model({', '.join([quoted(name), *given])})"
            return f"AutoModel.from_config({configuration})", "transformers"
    if subject.home is None:
        why = "a program has no code" if subject.source == "export" else "nothing can import it"
        raise InputError(f"{subject.target} cannot be made by code: {why}; {INSTEAD}")
    made = _imported(subject.home, code, path)
    needs = f"{subject.home.module}.py" if subject.home.folders else subject.home.module
    if subject.home.is_module:
        code.imports.add("import copy")
        return f"copy.deepcopy({made})", needs
    return f"{made}({', '.join(given)})", needs


def _has_backbone(subject: Subject, name: str) -> bool:
    """Whether torchvision would download weights of a part of a model unless told not to."""
    with subject.importing():
        models = import_module("torchvision.models")
        return "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters


def _imported(home: Home, code: Code, path: Path) -> str:
    """Have a name of somebody's code imported, by folders as seen from the new code."""
    module, (first, *_) = home.module, home.attribute.split(".")
    if home.folders and path.stem == module.partition(".")[0]:
        raise InputError(f"it would import itself for '{module}': give it another name")
    for at, folder in enumerate(home.folders):
        found = "Path(__file__).resolve().parent"
        relative = os.path.relpath(folder, path.resolve().parent)
        if relative != os.curdir:
            found = f"({found} / {quoted(Path(relative).as_posix())}).resolve()"
        adds = "append(" if at else "insert(0, "
        why = f"what {module} imports" if at else module
        code.imports.update(("import sys", "from pathlib import Path"))
        code.imports.add(f"sys.path.{adds}str({found}))  # finds {why}")
    if all(part.isidentifier() for part in module.split(".")):
        called = f"{first}_of_{module.rpartition('.')[2]}" if first in _TAKEN else first
        alias = "" if called == first else f" as {called}"
        code.imports.add(f"from {module} import {first}{alias}")
        return called + home.attribute.removeprefix(first)
    code.imports.add("from importlib import import_module")
    return f"import_module({quoted(module)}).{home.attribute}"


_TAKEN = {
    *("make", "torch", "nn", "sys", "copy", "timm", "torchvision", "import_module", "Path"),
    *("Any", "Tensor", "OrderedDict", "Add", "Multiply", "Concat", *vars(parts)),
}
"""Names that the code may have for something else."""


def _value(value: Any, code: Code) -> str:
    """Return an argument of a factory as code."""
    if isinstance(value, Reference):
        return _object(value, code)
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {_value(one, code)}' for key, one in value.items())}}}"
    if type(value) in (list, tuple):
        inner = ", ".join(_value(one, code) for one in value)
        return f"[{inner}]" if type(value) is list else f"({inner}{',' if len(value) == 1 else ''})"
    text = repr(value)
    try:
        if ast.literal_eval(text) == value:
            return text
    except (ValueError, SyntaxError):
        pass
    raise InputError(f"its argument {text:.60} has no spelling in code")


def _object(reference: Reference, code: Code) -> str:
    """Return what a reference names as code; called where the model was given what that returns."""
    code.imports.add(f"import {reference.module}")
    found: Any = import_module(reference.module)
    for part in reference.attribute.split("."):
        found = getattr(found, part)
    text = f"{reference.module}.{reference.attribute}"
    if not reference.parts and resolved({"": reference})[""] is found:
        return text
    given = ", ".join(f"{key}={_value(one, code)}" for key, one in reference.parts.items())
    return f"{text}({given})"
