"""The links, headings and names of files in a page of Markdown, as GitHub and the site read them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]*)\)")


def prose(page: Path) -> str:
    """Return a page without its blocks of code and its comments."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead to, in its own spelling."""
    return [link for link in _LINK.findall(_CODE.sub("", prose(page))) if link]


def named_in_code(page: Path) -> list[str]:
    """Return what stands between single backquotes."""
    return _CODE.findall(prose(page))


def headings(page: Path) -> list[str]:
    return re.findall(r"^#{1,6} +(.+?) *#*$", prose(page), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings that are the same on GitHub and on the site."""
    here, there = (
        numbered(map(_github, headings(page)), "-"),
        numbered(map(_site, headings(page)), "_"),
    )
    return {one for one, other in zip(here, there, strict=True) if one == other}


def numbered(slugs: Iterable[str], separator: str) -> list[str]:
    """Return slugs with a number after those that have been there before."""
    seen: Counter[str] = Counter()
    found = []
    for slug in slugs:
        found.append(f"{slug}{separator}{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def _text(heading: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("*", "")


def _github(heading: str) -> str:
    """As github-slugger does it: what is no letter, digit, space, hyphen or underscore goes."""
    return re.sub(r"[^\w\- ]", "", _text(heading).lower()).replace(" ", "-")


def _site(heading: str) -> str:
    """As `slugify` of Python-Markdown's toc does it."""
    plain = unicodedata.normalize("NFKD", _text(heading)).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
