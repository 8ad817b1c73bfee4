"""Make the font that pictures are drawn with: DejaVu Sans with fewer characters, and its widths.

`pip install fonttools`, then `python scripts/make_font.py DejaVuSans.ttf`, of Debian's package
fonts-dejavu-core 2.37 in /usr/share/fonts/truetype/dejavu. Beside the font stands its licence.
"""

import json
import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

FONT = Path(__file__).parent.parent / "dscost" / "rendering" / "drawing" / "font"
RANGES = ((0x20, 0x7E), (0xA0, 0x17F), (0x391, 0x3C9))
"""Latin letters with their accents, and Greek ones."""
SIGNS = "–—‘’“”…′‖•←↑→↓−×÷±≈≠≤≥√∞∑∝⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻■□▲△▼◆◇●○★✓✗µ�"

KEPT_NAMES = (0, 1, 2, 4, 5, 6, 14)
"""Copyright, family, style, full name, version, PostScript name, where the licence is."""
ABOUT = """\
DejaVuSans-dscost.ttf is DejaVu Sans 2.37 (https://dejavu-fonts.github.io/) with fewer characters,
made by scripts/make_font.py; widths.json tells how wide they are. Its licence:
"""


def main(source: str) -> None:
    """Write the font and how wide its characters are, in thousandths of its size."""
    wanted = {code for first, last in RANGES for code in range(first, last + 1)} | {
        *map(ord, SIGNS)
    }
    font = TTFont(source)
    options = Options(layout_features=[], hinting=False, name_legacy=True, name_IDs=["*"])
    options.drop_tables += ["GDEF", "GPOS", "GSUB", "MATH", "FFTM"]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    licence = font["name"].getDebugName(13)
    font["name"].names = [one for one in font["name"].names if one.nameID in KEPT_NAMES]
    font["head"].modified = font["head"].created  # so that the same source makes the same bytes
    font.recalcTimestamp = False
    font.save(FONT / "DejaVuSans-dscost.ttf")
    (FONT / "LICENSE.txt").write_text(f"{ABOUT}\n{licence.strip()}\n", encoding="utf-8")
    scale = 1000 / font["head"].unitsPerEm
    widths = {
        chr(code): round(font["hmtx"][name][0] * scale) for code, name in font.getBestCmap().items()
    }
    by_width: dict[int, str] = {}
    for character, width in sorted(widths.items()):
        by_width[width] = by_width.get(width, "") + character
    text = json.dumps({str(width): by_width[width] for width in sorted(by_width)}, indent=0)
    (FONT / "widths.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
