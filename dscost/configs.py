"""Where the data files stand that people read and copy: inside the wheel, or beside the package in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def config_folder(kind: str) -> Path:
    """Return the folder of one kind of data, such as `architectures`."""
    installed = _PACKAGE / "configs" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / "configs" / kind
