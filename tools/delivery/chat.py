"""A language-model server on a network, below the end-to-end tests: it writes numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tools.delivery.images import build
from tools.delivery.network import Container, Network, succeeds

PORT = 8000


@contextmanager
def running_chat(
    network: Network, role: str = "chat", tokens: int = 40, seconds: float = 0.1, key: str = ""
) -> Iterator[str]:
    """Run `tests/servers/chat_server.py` until the block ends, and give its base URL.

    Servers of the network, their containers and this machine reach it there.

    Args:
        network: where it is.
        role: its name there.
        tokens: how many an answer has.
        seconds: from one token to the next.
        key: what callers must have; nothing when empty.

    Raises:
        EngineError: it does not start.
    """
    pace = {"TOKENS": str(tokens), "TOKEN_SECONDS": str(seconds), "API_KEY": key}
    with network.container(role, build("chat"), **pace) as container:
        container.until(lambda: _listens(container), "ready")
        yield f"http://{container.address}:{PORT}/v1"


def _listens(container: Container) -> bool:
    ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/ready')"
    return succeeds("exec", container.name, "python3", "-c", ask)
