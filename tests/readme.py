"""The console blocks of the README: their commands, and what they say the program prints."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"

_BLOCK = re.compile(r"(?:<!-- (measured|after: [^\n]*) -->\n)?```console\n(.*?)```", re.DOTALL)
"""A block may say which command has been run before, for the file that it writes."""
_TIME = re.compile(r"[\d.]+ (ns|µs|ms|s)\b( \[[\d.]+, [\d.]+\])?")
"""Of too few runs, as on a busy machine, there is no interval."""
_SPEEDUP = re.compile(r"([\d.]+× (faster |slower )?|no difference )\[[\d.]+, [\d.]+\]|cannot tell")


@dataclass(frozen=True)
class Example:
    """One command of a block, what follows it there, and the files that the block shows by `cat`.

    It runs after others, whose words these are.
    """

    command: str
    printed: str
    files: tuple[tuple[str, str], ...]
    measured: bool
    after: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command)[1:]


def examples() -> list[Example]:
    found = []
    for how, block in _BLOCK.findall(README.read_text(encoding="utf-8")):
        files: list[tuple[str, str]] = []
        after = (
            tuple(shlex.split(how.removeprefix("after: ")))[1:] if how.startswith("after") else ()
        )
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            if command.startswith("cat "):
                files.append((command.removeprefix("cat "), printed))
            else:
                found.append(Example(command, printed, tuple(files), how == "measured", after))
    return found


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
