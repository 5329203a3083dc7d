"""A real browser without a window, told what to do by the DevTools protocol over two pipes.

https://chromedevtools.github.io/devtools-protocol: a message is JSON and ends in a zero byte.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE = "chromium-headless-shell"
PROGRAMS = (PACKAGE, "google-chrome", "chromium")
# The file descriptors on which Chromium reads commands and writes answers.
COMMANDS, ANSWERS = 3, 4
POLL_SECONDS = 0.1


class BrowserError(Exception):
    """The browser is missing or has refused a command; the text says why."""


class Page:
    """A page that is open in a browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = os.fdopen(answers, "rb", closefd=False)
        self._number = 0
        self._session: dict[str, str] = {}
        self.problems: list[str] = []
        """Exceptions that no script caught, and errors in the console."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser carry out a command, and return its result.

        Raises:
            BrowserError: it has refused, or has died.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str, ready: str) -> None:
        """Open an address, and wait until an expression is true there."""
        self.call("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && {ready}")

    def run(self, script: str) -> Any:
        """Return the value of an expression, or of the promise that it is.

        Raises:
            BrowserError: it has thrown.
        """
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.call("Runtime.evaluate", expression=script, **options)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {answer['exceptionDetails']['exception']}")
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 30.0) -> None:
        """Wait until an expression is true.

        Raises:
            BrowserError: it is not, in that time.
        """
        limit = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            if time.monotonic() > limit:
                raise BrowserError(f"not in {seconds:g} s: {script}")
            time.sleep(POLL_SECONDS)

    def choose_file(self, selector: str, file: Path) -> None:
        """Choose a file in an input, as a person does in the system's window."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def _read(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise BrowserError("the browser has died")
            data += byte
        message: dict[str, Any] = json.loads(data)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(parameters["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(parameters["entry"]["text"])


def find_program() -> str | None:
    """Return the browser of this machine, if it has one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def browsing(microphone: Path, profile: Path) -> Iterator[Page]:
    """Open a browser until the block ends.

    Args:
        microphone: a wav file; its microphone hears this, once, from when it is opened.
        profile: an empty folder, for what the browser keeps.

    Raises:
        BrowserError: it is not installed.
    """
    program = find_program()
    if program is None:
        raise BrowserError(f"There is no browser: apt-get install {PACKAGE}.")
    theirs, commands = os.pipe()
    answers, ours = os.pipe()

    def give_pipes() -> None:
        os.dup2(theirs, COMMANDS)
        os.dup2(ours, ANSWERS)

    with subprocess.Popen(
        [
            program,
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox",  # it refuses to run as root with one; it opens our own page alone
            f"--user-data-dir={profile}",
            "--mute-audio",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}%noloop",
        ],
        stderr=subprocess.DEVNULL,
        preexec_fn=give_pipes,
        pass_fds=(COMMANDS, ANSWERS),
    ) as process:
        os.close(theirs)
        os.close(ours)
        try:
            yield Page(commands, answers)
        finally:
            process.kill()
            os.close(commands)
            os.close(answers)
