"""What may stand in a layer in the place of an int: many whole numbers at once."""


class Whole:
    """Whole numbers that are computed with as one: arithmetic goes number by number.

    Layers take it for an int. What a layer decides by holds for all of them, else their truth
    raises `Several`.
    """

    __slots__ = ()


class Several(Exception):
    """One answer was needed of numbers that differ: whoever brought them together parts them."""
