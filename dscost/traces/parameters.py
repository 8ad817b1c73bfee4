"""What a network holds, in the words of a trace."""

from typing import NamedTuple


class Parameter(NamedTuple):
    """A parameter of the model; shared ones appear once, under their first name."""

    name: str
    numel: int
    nbytes: int
    trainable: bool = True
