"""Asks the running service how it is: ``python -m app.healthcheck [/health | /ready]``."""

import os
import sys
import urllib.error
import urllib.request
from http.client import HTTPException

SECONDS = 2.0
# No proxy of the environment: it would be asked for its own port, not this container's.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check(path: str, port: str) -> str | None:
    """Return None when the service answers 200 within 2 seconds, else the reason in one line.

    Args:
        path: ``/health`` (alive) or ``/ready`` (can answer).
        port: TCP port on this machine, as ``PORT`` has it.
    """
    try:
        with direct.open(f"http://127.0.0.1:{port}{path}", timeout=SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        return str(error)


def main() -> int:
    """Return 0 for a healthy service, else 1 and print the reason."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/health"
    reason = check(path, os.environ.get("PORT") or "8000")
    if reason:
        print(f"{path}: {reason}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
