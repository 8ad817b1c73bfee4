"""A folder of images as calibration inputs. No torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dscost.converting.recovering.arrays import Arrays, Wanted, spaced
from dscost.errors import InputError, UnavailableError, first_line, some_of, without
from dscost.files import reason_of
from dscost.notation.units import format_shape

ENDINGS = frozenset(".png .jpg .jpeg .bmp .webp .gif .tif .tiff .ppm .pgm .jp2".split())
MODES = {1: "L", 3: "RGB"}
"""How Pillow calls images of so many channels."""
DEPTH_8, DEPTH_16 = np.float32(255), 65535
"""White of so many bits. Of a mode `I` it is taken to be that of 16: PNG has no more."""
DEEP = ("I", "F")
"""What the names begin with of Pillow's modes of more than 8 bits."""


def read_images(
    folder: Path, wanted: Sequence[Wanted], what: str
) -> tuple[Arrays, tuple[str, ...]]:
    """Return the images of a folder as the model takes them, and what is to be said of them.

    Args:
        folder: Where they are.
        wanted: The inputs of the model.
        what: What it was given as, for errors.

    Raises:
        InputError: There are none, one cannot be read, or the model takes no images.
        UnavailableError: Pillow is not installed.
    """
    one, channels, is_last = _image_input(wanted, what)
    paths = _images_in(folder, what)
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{what}: {without('Pillow', 'images')}") from error
    height, width = one.shape[1:3] if is_last else one.shape[2:4]
    some = spaced(len(paths), 4 * height * width * channels)
    found = []
    for path in (paths[at] for at in some):
        try:
            with Image.open(path) as image:
                found.append(_pixels(image, channels, (width, height), f"{what}: {path.name}"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{what}: {path.name} cannot be read: {first_line(error)}") from error
    pixels: Any = np.stack(found)
    if one.kind == "fractions":
        pixels = pixels.astype(np.float32) / DEPTH_8
        pixels = pixels.astype("float32" if one.dtype == "bfloat16" else one.dtype)
    else:
        pixels = pixels.round().astype(one.dtype)
    values = pixels if is_last else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return Arrays({one.name: values}), tuple(_notes(one, (height, width), len(paths), len(some)))


def _pixels(image: Any, channels: int, size: tuple[int, int], what: str) -> np.ndarray:
    """Return an image of another size as values 0 to 255, `(H, W, channels)`.

    Raises:
        InputError: Its values have no known range.
    """
    from PIL import Image, ImageOps

    upright, bilinear = ImageOps.exif_transpose(image), Image.Resampling.BILINEAR
    if not upright.mode.startswith(DEEP):
        found = np.asarray(upright.convert(MODES[channels]).resize(size, bilinear))
        return found.reshape(*found.shape[:2], channels)
    # Pillow's own conversion cuts off what is above 255
    values = np.asarray(upright).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    is_float = upright.mode == "F"
    if not 0 <= low <= high <= (DEPTH_8 if is_float else DEPTH_16):
        known = "0 to 1 or 0 to 255 of floating point" if is_float else "0 to 65,535"
        raise InputError(f"{what} has values {low:.5g} to {high:.5g}, expected {known}")
    scale = DEPTH_8 / DEPTH_16 if not is_float else DEPTH_8 if high <= 1 else 1.0
    grey = Image.fromarray((values * scale).astype(np.float32)).resize(size, bilinear)
    return np.repeat(np.asarray(grey)[..., None], channels, -1)


def _image_input(wanted: Sequence[Wanted], what: str) -> tuple[Wanted, int, bool]:
    """Return the input that images are for, its channels, and whether they come last."""
    needed = [one for one in wanted if one.is_needed]
    instead = "give an .npz or file.py:batches"
    if len(needed) != 1:
        names = ", ".join(one.name for one in needed)
        raise InputError(f"{what}: images for a model of several inputs, {names}: {instead}")
    (one,) = needed
    if len(one.shape) == 4 and one.kind != "truth values" and one.dtype != "int8":
        for axis, is_last in ((1, False), (3, True)):
            if one.shape[axis] in MODES:
                return one, one.shape[axis], is_last
    shape = format_shape(one.shape) or "a single number"
    raise InputError(
        f"{what}: the model takes {shape} {one.dtype}, images have 1 or 3 channels: {instead}"
    )


def _images_in(folder: Path, what: str) -> list[Path]:
    """Return the images of a folder, sorted by name."""
    try:
        there = sorted(folder.iterdir(), key=lambda path: path.name)
        found = [one for one in there if one.suffix.lower() in ENDINGS and one.is_file()]
        inside = [one.name for one in there if one.is_dir()]
    except OSError as error:
        raise InputError(f"{what}: cannot be read: {reason_of(error)}") from error
    if found:
        return found
    if not there:
        raise InputError(f"{what}: the folder is empty")
    among = f" itself; give one of the folders in it: {some_of(inside, 4)}" if inside else ""
    raise InputError(f"{what}: no images are in it{among or ', such as .png or .jpg'}")


def _notes(one: Wanted, size: tuple[int, int], there: int, taken: int) -> Iterator[str]:
    if taken < there:
        yield f"{taken} of the {there:,} images are calibrated on, evenly spaced by name."
    scale = "values 0 to 1" if one.kind == "fractions" else "values 0 to 255"
    yield (
        f"Images were resized to {format_shape(size)} (bilinear), {scale}, with no mean or "
        "standard deviation subtracted: for others give file.py:batches."
    )
