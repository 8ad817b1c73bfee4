"""The pages of docs/reference, from what is already told elsewhere.

Options come from the parser, names of the library from their docstrings, metrics from the table of
figures and `scripts/metrics.yaml`, the languages of files from the README.md beside these.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
import yaml

from dscost.cli.app import COMMANDS, _app
from dscost.cli.examples import EXAMPLES
from dscost.cli.groups import grouped
from dscost.cli.help import _plain
from dscost.reports.figures import MEANINGS

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
LANGUAGES = ("architectures", "budgets", "conventions", "devices", "sweeps")
MODULES = {"dscost": "", "dscost.nn": "Modules of torch", "dscost.pages": "Pages of a result"}
"""The public modules, and the headings above their names."""


def generated() -> dict[Path, str]:
    """Return the text of every page that is made here, by its path."""
    found = {
        REFERENCE / "options.md": options(),
        REFERENCE / "library.md": library(),
        REFERENCE / "metrics.md": metrics(),
    }
    for name in LANGUAGES:
        found[REFERENCE / "languages" / f"{name}.md"] = language(name)
    return found


def _made_of(source: str, title: str, *blocks: str) -> str:
    """Return a page with a line that says what it is made of."""
    made = f"<!-- Made by scripts/fill_documents.py of {source}: change that, not this page. -->"
    return "\n\n".join([made, f"# {title}", *blocks]) + "\n"


def _paragraph(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()), 110, break_long_words=False, break_on_hyphens=False
    )


# -- every command and option


def options() -> str:
    """Return the page of commands and their options, as the parser has them."""
    import_module("dscost.rendering.formats")  # as help does, which names them
    group: Any = typer.main.get_command(_app(()))
    about = (
        "Every command with its arguments and options, as `dscost help COMMAND` shows them. An "
        "option of one spelling means the same in every command."
    )
    index = "\n".join(f"- [{name}](#dscost-{name})" for name in COMMANDS)
    commands = (_of_command(name, group.commands[name]) for name in COMMANDS)
    return _made_of("the parser", "Commands and options", _paragraph(about), index, *commands)


def _of_command(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"dscost {name}", terminal_width=10_000)
    usage = " ".join([f"dscost {name}", *command.collect_usage_pieces(context)])
    examples = [f"# {one.does}\n{one.line}" for one in EXAMPLES.get(name, ())]
    code = "\n".join([usage, *(["", *examples] if examples else [])])
    records: dict[str, list[tuple[str, str]]] = {}
    named = {}
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is None:
            continue
        if param.param_type_name == "argument":
            records.setdefault("Arguments", []).append((record[0].strip("{}").upper(), record[1]))
        else:
            named[param.name] = _plain(record)
    for title, names in grouped(name, list(named)):
        records.setdefault(title, []).extend(named[one] for one in names)
    parts = [f"**{title}**\n\n" + "\n".join(map(_item, found)) for title, found in records.items()]
    said = "\n\n".join(_paragraph(_inert(one)) for one in (command.help or "").split("\n\n"))
    return "\n\n".join([f"## dscost {name}", said, f"```sh\n{code}\n```", *parts])


def _item(record: tuple[str, str]) -> str:
    name, meaning = (" ".join(one.split()) for one in record)
    meaning = re.sub(r"\.? *\[default: (.+)\]$", r". Default: \1", meaning).removesuffix(".")
    return _wrapped(f"- `{name}`: {_inert(meaning)}.")


def _wrapped(text: str, indent: str = "  ") -> str:
    """Return a text in lines of 110 characters, none of which ends within code."""
    whole = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\xa0"), text)
    filled = textwrap.fill(
        whole, 110, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return filled.replace("\xa0", " ")


def _inert(text: str) -> str:
    """Return a text whose characters mean nothing in Markdown, except in code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*<\[\]|])", r"\\\1", part) for part in parts
    )


# -- every name of the library


def library() -> str:
    """Return the page of public names: signatures, and docstrings as Markdown."""
    about = (
        "The names that stay as they are: those of `dscost`, the modules of `dscost.nn`, and what "
        "a format of your own needs of `dscost.pages`. [From Python](../library.md) shows them at "
        "work."
    )
    blocks = [_paragraph(about)]
    for module, heading in MODULES.items():
        home = import_module(module)
        if heading:
            blocks.append(f"## {heading}\n\nOf `{module}`.")
        level = "###" if heading else "##"
        names = (name for name in home.__all__ if not name.startswith("_"))
        blocks += [_of_name(level, name, getattr(home, name)) for name in names]
    return _made_of("docstrings", "The library", *blocks)


def _of_name(level: str, name: str, thing: Any) -> str:
    parts = [f"{level} {name}", f"```py\n{_signature(name, thing)}\n```", _markdown(thing)]
    if inspect.isclass(thing):
        members = [(key, one) for key, one in _members(thing) if one.__doc__]
        lines = (f"- `{key}`: {_inert(_first_line(one.__doc__))}" for key, one in members)
        said = "\n".join(_wrapped(line) for line in lines)
        parts += [f"It has:\n\n{said}"] if said else []
    return "\n\n".join(parts)


def _members(thing: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class, without those of torch."""
    for key in dir(thing):
        owner = next((one for one in thing.__mro__ if key in vars(one)), object)
        if key.startswith("_") or not owner.__module__.startswith("dscost"):
            continue
        one = vars(owner)[key]
        if isinstance(one, classmethod | staticmethod):
            one = one.__func__
        if isinstance(one, property):
            yield key, one
        elif inspect.isfunction(one) and key != "forward":
            yield f"{key}()", one


def _first_line(doc: str) -> str:
    return " ".join(inspect.cleandoc(doc).split("\n\n")[0].split())


def _signature(name: str, thing: Any) -> str:
    """Return how something is called, annotations as they are written in its source."""
    made = thing
    if inspect.isclass(thing):
        made = vars(thing).get("__init__")
        if not inspect.isfunction(made) or made.__code__.co_filename.startswith("<"):
            return _call(f"class {name}", _fields(thing))
    source = textwrap.dedent(inspect.getsource(made))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.FunctionDef)
    taken = _parameters(tree.args)
    if inspect.isclass(thing):
        return _call(f"class {name}", [one for one in taken if one != "self"])
    gives = f" -> {_annotation(tree.returns)}" if tree.returns else ""
    return _call(f"def {name}", taken, gives)


def _fields(thing: type) -> list[str]:
    """Return the fields that a class states by annotation, with their defaults."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    assert isinstance(tree, ast.ClassDef)
    stated = [one for one in tree.body if isinstance(one, ast.AnnAssign)]
    return [text for text in map(_text, stated) if not text.startswith("_")]


def _parameters(args: ast.arguments) -> list[str]:
    """Return each parameter with its annotation and its default."""
    plain = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    found = [_parameter(one, default) for one, default in zip(plain, defaults, strict=True)]
    if args.vararg:
        found.append(f"*{_parameter(args.vararg, None)}")
    elif args.kwonlyargs:
        found.append("*")
    found += [
        _parameter(one, default)
        for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    return [*found, f"**{_parameter(args.kwarg, None)}"] if args.kwarg else found


def _parameter(one: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_annotation(one.annotation)}" if one.annotation else ""
    equals = " = " if annotation else "="
    return f"{one.arg}{annotation}" + (f"{equals}{_text(default)}" if default else "")


def _annotation(tree: ast.expr) -> str:
    """Return an annotation, without the quotes of one that is a text."""
    is_text = isinstance(tree, ast.Constant) and isinstance(tree.value, str)
    return tree.value if is_text else _text(tree)  # type: ignore[attr-defined,no-any-return]


def _text(tree: ast.AST) -> str:
    """Return an expression as source, its texts between double quotes."""
    text = ast.unparse(tree)
    return text if '"' in text else text.replace("'", '"')


def _call(head: str, taken: list[str], gives: str = "") -> str:
    if not taken and head.startswith("class"):
        return head
    line = f"{head}({', '.join(taken)}){gives}"
    if len(line) <= 88:
        return line
    inside = "".join(f"    {one},\n" for one in taken)
    return f"{head}(\n{inside}){gives}"


_SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Source|Example|Examples|Note):$")


def _markdown(thing: Any) -> str:
    """Return a docstring as Markdown: its sections as lists, its examples as blocks."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    blocks: list[str] = []
    heading = ""
    for part in re.split(r"\n\n+", doc):
        lines = part.split("\n")
        found = _SECTION.match(lines[0])
        if found:
            heading, lines = found[1], textwrap.dedent("\n".join(lines[1:])).split("\n")
            blocks.append(f"**{heading}**")
        blocks.append(_block(heading, lines))
    return "\n\n".join(filter(None, blocks))


def _block(heading: str, lines: list[str]) -> str:
    text = textwrap.dedent("\n".join(lines))
    if text.startswith(">>>"):
        return f"```pycon\n{text}\n```"
    if text.startswith("    ") or lines[0].startswith("    "):
        return f"```text\n{text}\n```"
    if heading in ("Args", "Raises"):
        entries = re.split(r"\n(?=\S)", text)
        pairs = (" ".join(entry.split()).partition(": ") for entry in entries)
        return "\n".join(_wrapped(f"- `{name}`: {_inert(what)}") for name, _, what in pairs)
    is_list = any(line.lstrip().startswith("- ") for line in lines)
    return "\n".join(map(_inert, text.split("\n"))) if is_list else _paragraph(_inert(text))


# -- every metric


def metrics() -> str:
    """Return the page of metrics: what each is, its formula, an example by hand, its source."""
    about = (
        "Every number that dscost tells, with its unit, its formula, an example worked out by hand "
        "and its source. The examples are held against what dscost computes. Letters as in the "
        "papers: M input channels, N output channels, K kernel (Kh × Kw where it is not square), G "
        "groups, T depth multiplier, B batch, H′ × W′ the output's size."
    )
    index = "\n".join(f"- [{name}](#{name})" for name in told_by_hand())
    blocks = (_of_metric(name, one) for name, one in told_by_hand().items())
    return _made_of(
        "the table of figures and scripts/metrics.yaml",
        "Metrics",
        _paragraph(about),
        index,
        *blocks,
    )


def told_by_hand() -> Mapping[str, Mapping[str, Any]]:
    """Return what `scripts/metrics.yaml` tells of each metric."""
    text = (ROOT / "scripts" / "metrics.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return found


def _of_metric(name: str, told: Mapping[str, Any]) -> str:
    unit, meaning = MEANINGS.get(name, MEANINGS.get(name.removesuffix("_s"), ("", "")))
    meaning, unit = told.get("meaning", meaning), told.get("unit", unit)
    hand = "\n\n".join(
        filter(None, [f"```text\n{told['by_hand'].strip()}\n```", told.get("shown_as")])
    )
    parts = [
        f"## {name}",
        _paragraph(_inert(f"{meaning[0].upper()}{meaning[1:]}.")),
        "\n".join(map(_wrapped, [f"- Unit: {unit}", f"- Formula: {told['formula']}"])),
        _paragraph(f"For example, {told['example']}"),
        hand,
    ]
    if "published" in told:
        rows = [f"- {what}: {value:,}; {by}." for what, _, value, by in told["published"]]
        parts.append("Of known models:\n\n" + "\n".join(map(_wrapped, rows)))
    return "\n\n".join([*parts, _paragraph(f"Source: {told['source']}")])


# -- the languages of files


def language(name: str) -> str:
    """Return the README.md of a folder of `configs`, its links as they are from docs/."""
    text = (ROOT / "configs" / name / "README.md").read_text(encoding="utf-8")
    title, _, rest = text.removeprefix("# ").partition("\n")
    rest = re.sub(r"\]\(\.\./(\w+)/README\.md\)", r"](\1.md)", rest)
    rest = re.sub(r"\[([^\]]+\.yaml)\]\(\1\)", rf"`configs/{name}/\1`", rest)
    rest = rest.replace("of this folder", f"of `configs/{name}`")
    return _made_of(f"configs/{name}/README.md", title, rest.strip())
