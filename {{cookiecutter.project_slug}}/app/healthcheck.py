"""Asks the running service how it is: ``python -m app.healthcheck [/health | /ready]``."""

import os
import sys
import urllib.error
import urllib.request

SECONDS = 2.0


def check(path: str, port: int) -> str | None:
    """Return None when the service answers 200 within 2 seconds, else the reason in one line.

    Args:
        path: ``/health`` (alive) or ``/ready`` (can answer).
        port: TCP port on this machine.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)


def main() -> int:
    """Return 0 for a healthy service, else 1 and print the reason."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/health"
    reason = check(path, int(os.environ.get("PORT", "8000")))
    if reason:
        print(f"{path}: {reason}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
