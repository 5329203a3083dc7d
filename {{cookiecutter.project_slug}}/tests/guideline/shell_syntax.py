"""The syntax of shell scripts, as shfmt reads it."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from functools import cache
from typing import Any

Node = dict[str, Any]  # of shfmt's syntax tree; its `Type` is a type of the Go package syntax

PATH = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
SUBSTITUTIONS = {"CmdSubst", "ProcSubst"}
NAME = re.compile(r"^[A-Za-z_]\w*")
# An expression of a workflow, which is filled in before a shell reads the script.
EXPRESSION = re.compile(rb"\$\{\{.*?\}\}", re.DOTALL)
ESCAPED = re.compile(r"\\(?:\n|(.))", re.DOTALL)
ESCAPED_IN_QUOTES = re.compile(r'\\(?:\n|([$`"\\]))')
ERROR = re.compile(rb"(\d+):(\d+): ")
BREAKING = re.compile(rb"\w+|[|&;<>]+|.", re.DOTALL)
MOST_ERRORS = 20


class Syntax:
    """The statements of a script, and the text of their words."""

    def __init__(self, script: str) -> None:
        self._source = script.replace("\r\n", "\n").encode(errors="replace")
        masked = EXPRESSION.sub(lambda match: b"_" * len(match[0]), self._source)
        self.statements = _statements(masked)

    def line(self, node: Node) -> int:
        """Return how many lines stand before a node's."""
        return self._source.count(b"\n", 0, node["Pos"]["Offset"])

    def text(self, node: Node) -> str:
        """Return a node as it is written."""
        return self._source[node["Pos"]["Offset"] : node["End"]["Offset"]].decode(errors="replace")

    def word(self, node: Node) -> str:
        """Return a word, a part of one or an assignment without its quotes."""
        text, kind = self.text(node), node.get("Type")
        if isinstance(node.get("Value"), dict):
            return text.removesuffix(self.text(node["Value"])) + self.word(node["Value"])
        if kind == "DblQuoted":
            return ESCAPED_IN_QUOTES.sub(r"\1", text.lstrip("$")[1:-1])
        if kind == "SglQuoted":
            return text.lstrip("$")[1:-1]
        if "Parts" in node:
            return "".join(map(self.word, node["Parts"]))
        return ESCAPED.sub(r"\1", text) if kind == "Lit" else text

    def document(self, redirection: Node) -> str | None:
        """Return the here-document or here-string of a redirection."""
        if redirection["Op"] == "<<<":
            return self.word(redirection["Word"])
        if redirection["Op"] not in {"<<", "<<-"}:
            return None
        lines = self.text(redirection["Hdoc"]) if "Hdoc" in redirection else ""
        text = lines[: lines.rfind("\n") + 1]  # behind it stands the mark of its end
        return re.sub(r"(?m)^\t+", "", text) if redirection["Op"] == "<<-" else text

    def variables(self, found: Any) -> Iterator[str]:
        """Yield the names of the variables that words expand, not those of substitutions."""
        for node in inside(found, {"ParamExp", *SUBSTITUTIONS}):
            if node["Type"] == "ParamExp":
                yield from NAME.findall(self.text(node["Param"]))
                yield from self.variables(list(node.values()))


@cache
def _statements(source: bytes) -> list[Node]:
    """Return the statements of a script, without the words that break the syntax.

    Raises:
        FileNotFoundError: shfmt is missing.
    """
    shfmt = shutil.which("shfmt", path=PATH)
    if shfmt is None:
        raise FileNotFoundError("shfmt is missing: install the packages of the group dev.")
    command = [shfmt, "--to-json", "--language-dialect=bash"]
    for _ in range(MOST_ERRORS):
        done = subprocess.run(command, input=source, capture_output=True, check=False)
        if done.returncode == 0:
            return list(json.loads(done.stdout).get("Stmts", []))
        if not (place := ERROR.search(done.stderr)):
            break
        before = source.split(b"\n")[: int(place[1]) - 1]
        start = sum(len(line) + 1 for line in before) + int(place[2]) - 1
        blank = BREAKING.sub(lambda match: b" " * len(match[0]), source[start:], count=1)
        source = source[:start] + blank
    return []


def inside(found: Any, types: set[str]) -> Iterator[Node]:
    """Yield the outermost nodes of some types."""
    if isinstance(found, dict) and found.get("Type") in types:
        yield found
    elif isinstance(found, dict | list):
        for one in found.values() if isinstance(found, dict) else found:
            yield from inside(one, types)
