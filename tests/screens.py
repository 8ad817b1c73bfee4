"""What a terminal shows of a command: twelve screens, of every width, encoding and colour that matters.

A screen is stored as text, and where there is colour a line of letters stands below each line that has any: `g` green,
`r` red, `y` yellow, `B` bold, `d` dim, one under each character. `scripts/fill_screens.py` writes them anew: look at
each, and at what it was, before you commit it.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import NamedTuple

import pyte

FOLDER = Path(__file__).parent / "data" / "screens"
TALLEST = 400
"""Lines that a terminal keeps, with those that have scrolled away."""
LETTERS = {"green": "g", "red": "r", "brown": "y", "yellow": "y"}
TIMEOUT_S = 60
_SGR = re.compile("\x1b\\[([0-9;]*)m")


class Screen(NamedTuple):
    """A command on a terminal.

    Args:
        name: Of the file that holds it.
        command: What is typed, in the folder of the stored screens.
        columns: Characters per line.
        encoding: Of the terminal.
        color: Whether `NO_COLOR` is not set.
    """

    name: str
    command: str
    columns: int
    encoding: str
    color: bool

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.txt"


SCREENS = [
    Screen("model-advice-100-utf8", "model plants.json", 100, "utf-8", True),
    Screen("model-explained-140-cp1252", "model plants.json --explain", 140, "cp1252", True),
    Screen("model-counted-60-ascii", "model net.yaml --no-time", 60, "ascii", True),
    Screen("model-tree-200-cp1252", "model net.yaml --no-time --tree", 200, "cp1252", False),
    Screen("layer-timed-60-utf8", "model layer.json", 60, "utf-8", True),
    Screen("layer-counted-100-ascii", "layer 256 256 3 --no-time", 100, "ascii", False),
    Screen("models-140-utf8", "compare resnet18 mobilenet_v2 plants.json", 140, "utf-8", False),
    Screen("layers-compared-60-cp1252", "compare resnet18 resnet34 --top 3", 60, "cp1252", False),
    Screen("check-failed-100-cp1252", "check over.yaml", 100, "cp1252", True),
    Screen("check-failed-200-utf8", "check over.yaml -v", 200, "utf-8", True),
    Screen("device-140-ascii", "device t4", 140, "ascii", False),
    Screen("list-devices-200-ascii", "list devices", 200, "ascii", False),
]


def shown(screen: Screen) -> str:
    """Return what a terminal shows once the command has ended, as it is stored."""
    terminal = pyte.Screen(screen.columns, TALLEST)
    stream = pyte.Stream(terminal)
    stream.feed(_SGR.sub(_dim_as_italics, _written(screen).decode(screen.encoding)))
    lines = []
    for number in range(TALLEST):
        cells = [terminal.buffer[number][column] for column in range(screen.columns)]
        lines.append("".join(cell.data for cell in cells).rstrip())
        letters = "".join(map(_letter, cells)).rstrip()
        lines += [letters] if letters else []
    return "\n".join(lines).rstrip() + "\n"


def _dim_as_italics(found: re.Match[str]) -> str:
    """Return a change of style with what the emulator does not know in terms of what dscost does not use."""
    codes = ["3" if code == "2" else code for code in found[1].split(";")]
    return f"\x1b[{';'.join(codes)}m"


def _letter(cell: pyte.screens.Char) -> str:
    """Return what stands below a character for its style."""
    if not cell.data.strip():
        return " "
    return LETTERS.get(cell.fg) or ("B" if cell.bold else "d" if cell.italics else " ")


def _written(screen: Screen) -> bytes:
    """Return all that a command writes to a terminal of that size, which is both stdout and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", TALLEST, screen.columns, 0, 0))
    environment = {
        **{key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")},
        "PYTHONIOENCODING": screen.encoding,
        "TERM": "xterm-256color",
        **({} if screen.color else {"NO_COLOR": "1"}),
    }
    process = subprocess.Popen(
        [Path(sys.executable).parent / "dscost", *screen.command.split()],
        cwd=FOLDER,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # the terminal is closed: nobody writes to it any more
        pass
    finally:
        os.close(ours)
        process.wait(TIMEOUT_S)
    return written
