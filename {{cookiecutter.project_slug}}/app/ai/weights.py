"""Where a model's weights lie, by the name that the settings give it."""

from pathlib import Path


def local_weights(name: str, models_dir: Path, setting: str = "The setting") -> Path | None:
    """Return the folder or file of a model.

    Args:
        name: a path, or a name: ``owner/name`` is ``models/owner/name`` where that is there.
        models_dir: the folder of the weights.
        setting: which setting has the name, for the error.

    Returns:
        What is there, or None for a name that the engine itself can fetch.

    Raises:
        FileNotFoundError: a path (it begins with ``.`` or ``/``) where nothing is.
    """
    for path in (Path(name), models_dir / name):
        if path.exists():
            return path
    if name.startswith((".", "/")):
        raise FileNotFoundError(f"{setting} names {name}, but there is no such folder or file")
    return None
