"""Whether weights of two stages make the kernel they stand for, in their own dtype."""

import numpy as np

from dscost.errors import InputError

REPRODUCED = {"float64": 1e-9, "float32": 1e-5, "float16": 1e-2, "bfloat16": 3e-2}
"""How far a kernel of full rank may be from the one it stands for, relative to its norm."""


def require_reproduced(
    name: str, kernel: np.ndarray, made: np.ndarray, dtype: str, *, is_full: bool
) -> None:
    """Refuse weights that do not fit into the dtype, which an error in float64 does not tell.

    Args:
        name: Of the layer.
        kernel: `(N, M/G, Kh, Kw)`, in float64.
        made: What both stages make together, in float64, by weights that were rounded to the dtype.
        dtype: Of both.
        is_full: Whether that is of full rank, so that both are to be the same.

    Raises:
        InputError: They do not.
    """
    with np.errstate(all="ignore"):
        off = float(np.linalg.norm(made - kernel))
        within = REPRODUCED.get(dtype, 1.0) * float(np.linalg.norm(kernel))
    if not np.isfinite(off) or (is_full and off > within):
        raise InputError(
            f"the weights of '{name}' are too large or too small for two factors in {dtype}: "
            "convert the model in float32"
        )
