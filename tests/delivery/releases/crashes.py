"""Added to the voice of a release: the process ends with status 70, 5 s after that was loaded."""

import os
import threading

load_well = globals()["load"]  # the engine's own


def load(*settings: object) -> object:
    """Load the voice, which is the last engine, so that the service is ready for a while."""
    threading.Timer(5, os._exit, (70,)).start()
    return load_well(*settings)
