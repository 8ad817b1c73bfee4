"""Write down what a terminal shows now: look at each change.

tests/test_screens.py tells when that is due.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from screens import FOLDER, SCREENS, shown


def main(names: list[str]) -> None:
    """Write the screens of these names, or all."""
    FOLDER.mkdir(exist_ok=True)
    for screen in SCREENS:
        if not names or screen.name in names:
            screen.path.write_text(shown(screen), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
