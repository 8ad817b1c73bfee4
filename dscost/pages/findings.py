"""What was found wrong, as CI likes to hear it: each at a place of a file, under a rule."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Rule(NamedTuple):
    """A kind of finding, explained.

    Args:
        title: What it is, in a few words.
        meaning: When it is found.
        help: What to do about it.
        level: What it is unless somebody says otherwise: `fail`, `error`, `warn` or `note`.
    """

    title: str
    meaning: str
    help: str
    level: str = "error"


class Found(NamedTuple):
    """One finding.

    Args:
        rule: The key of its rule.
        level: As it counts: `fail` where nothing could be judged, `error`, `warn` or `note`.
        subject: What it is about, such as a model; empty for the whole file.
        check: What was checked, the same whether it holds or not.
        line: Line of the file, from 1.
        column: Column of that line, from 1.
        sentence: What is wrong, in one line.
        reasons: Why, and what would help, a line each.
        is_violation: Whether a limit is broken, rather than something not judged.
        gravity: Its place among all, 0 for the worst.
        fingerprint: The same while figures, lines and messages change, and unique.
        source: Where the code that it is about is defined, a file below the repository and a line;
            `None` where it is about the file itself, or code that is not seen.
    """

    rule: str
    level: str
    subject: str
    check: str
    line: int
    column: int
    sentence: str
    reasons: Sequence[str]
    is_violation: bool
    gravity: int
    fingerprint: str
    source: tuple[Path, int] | None = None

    @property
    def title(self) -> str:
        """The sentence, after what it is about."""
        return self.with_subject(self.sentence)

    @property
    def text(self) -> str:
        """What is wrong and why, one line or more."""
        return "\n".join([self.title, *self.reasons])

    def with_subject(self, text: str) -> str:
        """Return a text after what it is about."""
        return f"{self.subject}: {text}" if self.subject else text


class Judged(NamedTuple):
    """All that was found in one file.

    Args:
        path: The file, below the repository where it is in one.
        found: What was found, in the order of the file.
        held: What was checked and holds: subject and check.
        subjects: All of them, in the order of the file.
        rules: All that there are, by key.
        summary: The outcome in one line of figures alone, no name that others have given in it.
        exit_code: 0 where all is well, 1 where a limit is broken, 2 where something could not be
            judged.
    """

    path: Path
    found: Sequence[Found]
    held: Sequence[tuple[str, str]]
    subjects: Sequence[str]
    rules: Mapping[str, Rule]
    summary: str
    exit_code: int


class NotJudged(NamedTuple):
    """A file that could not be judged at all.

    Args:
        path: The file, if the mistakes are its own.
        mistakes: Line, column and what is wrong there; 0 and 0 where it has no place.
    """

    path: Path | None
    mistakes: Sequence[tuple[int, int, str]]
