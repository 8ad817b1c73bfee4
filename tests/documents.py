"""The pages that people read: README.md and docs/. Their console blocks, and what they say the program prints."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"(?:<!-- (measured|after: [^\n]*) -->\n)?```console\n(.*?)```", re.DOTALL)
"""A block may say which command has been run before, for the file that it writes."""
_COMMAND = re.compile(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", re.DOTALL)
"""A command goes on behind a backslash."""
WIDTH = 88
"""At which sentences are broken, as on a terminal; a pipe has them in one line."""
_TIME = re.compile(r"[\d.]+ (ns|µs|ms|s)\b( \[[\d.]+, [\d.]+\])?")
"""Of too few runs, as on a busy machine, there is no interval."""
_SPEEDUP = re.compile(r"([\d.]+× (faster |slower )?|no difference )\[[\d.]+, [\d.]+\]|cannot tell")


@dataclass(frozen=True)
class Example:
    """One command of a page, what follows it there, and the files that the page has shown by `cat`.

    It runs after another, whose words these are.
    """

    page: Path
    command: str
    printed: str
    files: tuple[tuple[str, str], ...]
    measured: bool
    after: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command.replace("\\\n", ""))[1:]

    @property
    def name(self) -> str:
        return f"{name_of(self.page)}: {' '.join(self.command.split())}"


def pages() -> list[Path]:
    return [README, *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def all_texts() -> str:
    """Return the text of every page, for what may stand on any of them."""
    return "\n".join(page.read_text(encoding="utf-8") for page in pages())


def examples(of: Sequence[Path] | None = None) -> list[Example]:
    found = []
    for page in pages() if of is None else of:
        files: dict[str, str] = {}
        for how, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            after = shlex.split(how.removeprefix("after: "))[1:] if how.startswith("after") else []
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, printed = _COMMAND.fullmatch(part).groups()  # type: ignore[union-attr]
                if command.startswith("cat "):
                    files[command.removeprefix("cat ")] = printed
                    continue
                measured, shown = how == "measured", tuple(files.items())
                found.append(Example(page, command, printed, shown, measured, tuple(after)))
    return found


def python_blocks() -> list[tuple[Path, str]]:
    """Return the blocks that are run: those of `python`; those of `py` are only shown."""
    return [
        (page, block)
        for page in pages()
        for block in re.findall(
            r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
    ]


def wrapped(text: str) -> str:
    """Return what was printed with its sentences broken, tables as they are."""
    return "\n".join(line for whole in text.split("\n") for line in _broken(whole))


def _broken(line: str) -> list[str]:
    label = _LABEL.match(line)
    if len(line) <= WIDTH or (_SHEET.search(line) and not label):
        return [line]
    indent = " " * (label.end() if label else len(line) - len(line.lstrip()))
    whole = re.sub(r"(?<=   )\(.*\)$", lambda remark: remark[0].replace(" ", "\xa0"), line)
    found = wrap(
        whole, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [part.replace("\xa0", " ") for part in found]


_LABEL = re.compile(r" {4}[a-z][a-z ?]{1,9} {2,}")
"""Of a line below a table, what it is about: `    way back   make …`."""
_SHEET = re.compile(r"\S {2,}\S|──")
"""Of a line of a table."""


_BEGINS = ("Noisy:", "Measured on", "FLOPs =")
"""How sentences begin that stand below others, each in a line of its own."""


def unwrapped(text: str) -> str:
    """Return a text whose sentences are broken with each in one line again."""
    lines: list[str] = []
    last = ""
    for line in text.split("\n"):
        is_rest = (
            last
            and line
            and not (_SHEET.search(last) or _SHEET.search(line) or line.startswith(_BEGINS))
            and len(last) <= WIDTH < len(last) + 1 + len(line.split(maxsplit=1)[0])
        )
        if is_rest:
            lines[-1] += " " + line.lstrip()
        else:
            lines.append(line)
        last = line
    return "\n".join(lines)


def without_measurements(text: str) -> str:
    """Return the text with everything left out that differs from one run or machine to the next."""
    text = _SPEEDUP.sub("SPEEDUP", _TIME.sub("TIME", text))
    # which setting is best, and why, may differ: of those sheets the settings stay
    text = re.sub(r"^(setting|part) .*\n─+\n(.+\n)+", r"\1\n", text, flags=re.MULTILINE)
    # what lies between two calls is told only where it is above the noise
    text = re.sub(r"^ +between the calls .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ +MACs +time\n(.*[▏▎▍▌▋▊▉█].*\n)+", "BARS\n", text, flags=re.MULTILINE)
    text = re.sub(r"; (under \S+ )?the clock .*\n", "; the clock\n", text)
    text = re.sub(r"(Noisy: .*\n)?Measured on .*(\n.+)*", "Measured on", text)
    text = re.sub(r"─+", "─", text)
    return re.sub(r" +", " ", text)
