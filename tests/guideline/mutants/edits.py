"""Small edits of a project's files, as a team or an agent would make them.

An edit that does not find what it changes raises: no change of the template can turn a mutant into
a project without a fault.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Edit = Callable[[Path], None]
# Whoever runs the tests may have rules of their own.
GIT = ("git", "-c", "core.excludesFile=", "-c", "core.autocrlf=false")


class EditError(Exception):
    """An edit cannot be made: the project is not what the edit was written for."""


def read(project: Path, name: str) -> str:
    """Return a file's text with its own line ends.

    Raises:
        EditError: there is no such file.
    """
    try:
        return (project / name).read_bytes().decode()
    except FileNotFoundError as error:
        raise EditError(f"There is no {name}: write the edit for the template as it is.") from error


def save(project: Path, name: str, text: str) -> None:
    """Write a file, with the line ends that the text has.

    The file is a new one with the former one's permissions: a copy of a project shares its files
    with the original.
    """
    file = project / name
    mode = file.stat().st_mode if file.exists() else 0o644
    file.unlink(missing_ok=True)
    file.write_bytes(text.encode())
    file.chmod(mode)


def edits(*steps: Edit) -> Edit:
    """Return the edit that makes several, one after the other."""

    def make(project: Path) -> None:
        for step in steps:
            step(project)

    return make


def swap(name: str, old: str, new: str) -> Edit:
    """Put one text in the place of another, which must stand in the file once."""

    def make(project: Path) -> None:
        text = read(project, name)
        if (found := text.count(old)) != 1:
            raise EditError(f"{name} has {old!r} {found} times: write the edit anew.")
        save(project, name, text.replace(old, new))

    return make


def swap_all(name: str, old: str, new: str) -> Edit:
    """Put one text in the place of another wherever it stands in the file."""

    def make(project: Path) -> None:
        text = read(project, name)
        if old not in text:
            raise EditError(f"{name} has no {old!r}: write the edit anew.")
        save(project, name, text.replace(old, new))

    return make


def append(name: str, text: str) -> Edit:
    """Add text at the end of a file."""

    def make(project: Path) -> None:
        save(project, name, f"{read(project, name).rstrip()}\n{text}")

    return make


def rewrite(name: str, text: str) -> Edit:
    """Put a whole text in the place of a file's."""

    def make(project: Path) -> None:
        read(project, name)
        save(project, name, text)

    return make


def create(name: str, text: str, mode: int = 0o644) -> Edit:
    """Add a file that was not there."""

    def make(project: Path) -> None:
        file = project / name
        if file.exists():
            raise EditError(f"There is a {name} already: write the edit anew.")
        file.parent.mkdir(parents=True, exist_ok=True)
        save(project, name, text)
        file.chmod(mode)

    return make


def script(name: str, text: str) -> Edit:
    """Add an executable shell script."""
    return create(name, f"#!/usr/bin/env bash\n{text}", 0o755)


def remove(name: str) -> Edit:
    """Take a file away."""

    def make(project: Path) -> None:
        read(project, name)
        (project / name).unlink()

    return make


def rename(name: str, new: str) -> Edit:
    """Give a file another name, or another folder."""

    def make(project: Path) -> None:
        text = read(project, name)
        mode = (project / name).stat().st_mode
        (project / name).unlink()
        create(new, text, mode)(project)

    return make


def chmod(name: str, mode: int) -> Edit:
    """Change a file's permissions."""

    def make(project: Path) -> None:
        save(project, name, read(project, name))
        (project / name).chmod(mode)

    return make


def with_crlf(name: str) -> Edit:
    """Give a file the line ends of Windows."""

    def make(project: Path) -> None:
        text = read(project, name)
        if "\r" in text:
            raise EditError(f"{name} has such line ends already: write the edit anew.")
        save(project, name, text.replace("\n", "\r\n"))

    return make


def git(*arguments: str) -> Edit:
    """Run a git command in the project."""

    def make(project: Path) -> None:
        subprocess.run([*GIT, *arguments], cwd=project, check=True, capture_output=True)

    return make


def change_json(name: str, change: Callable[[Any], object]) -> Edit:
    """Change what a JSON file says; it must not say the same afterwards."""

    def make(project: Path) -> None:
        before = read(project, name)
        content = json.loads(before)
        change(content)
        if content == json.loads(before):
            raise EditError(f"{name} says already what the edit would have it say.")
        save(project, name, json.dumps(content, indent=2) + "\n")

    return make


def cut(name: str, head: str) -> Edit:
    """Take away a line and what is indented below it: a step, a job, a key of a YAML file."""
    return swap_block(name, head, "")


def swap_block(name: str, head: str, text: str) -> Edit:
    """Put a text in the place of a line and of what is indented below it.

    Args:
        name: the file.
        head: the line without its indentation; it must stand in the file once.
        text: indented as the line was, by this function.
    """

    def make(project: Path) -> None:
        lines = read(project, name).splitlines(keepends=True)
        start, end = _block(name, lines, head)
        indent = _indent(lines[start])
        save(project, name, "".join([*lines[:start], *_indented(text, indent), *lines[end:]]))

    return make


def into(name: str, head: str, text: str) -> Edit:
    """Add lines at the beginning of what is indented below a line.

    Args:
        name: the file.
        head: the line without its indentation; it must stand in the file once.
        text: indented as the block's own first line is, by this function.
    """

    def make(project: Path) -> None:
        lines = read(project, name).splitlines(keepends=True)
        start, end = _block(name, lines, head)
        inner = next((_indent(line) for line in lines[start + 1 : end] if line.strip()), None)
        if inner is None:
            raise EditError(f"{name} has nothing below {head!r}: write the edit anew.")
        save(
            project,
            name,
            "".join([*lines[: start + 1], *_indented(text, inner), *lines[start + 1 :]]),
        )

    return make


def before(name: str, head: str, text: str) -> Edit:
    """Add lines before a line, indented as it is."""

    def make(project: Path) -> None:
        lines = read(project, name).splitlines(keepends=True)
        start, _ = _block(name, lines, head)
        new = _indented(text, _indent(lines[start]))
        save(project, name, "".join([*lines[:start], *new, *lines[start:]]))

    return make


def after(name: str, head: str, text: str) -> Edit:
    """Add lines after a line and what is indented below it, indented as the line is."""

    def make(project: Path) -> None:
        lines = read(project, name).splitlines(keepends=True)
        start, end = _block(name, lines, head)
        new = _indented(text, _indent(lines[start]))
        save(project, name, "".join([*lines[:end], *new, *lines[end:]]))

    return make


def move(name: str, head: str, *, before_head: str) -> Edit:
    """Move a line, with what is indented below it, to the place before another."""

    def make(project: Path) -> None:
        lines = read(project, name).splitlines(keepends=True)
        start, end = _block(name, lines, head)
        block, rest = lines[start:end], [*lines[:start], *lines[end:]]
        place, _ = _block(name, rest, before_head)
        if place == start:
            raise EditError(f"{name} has {head!r} before {before_head!r} already.")
        save(project, name, "".join([*rest[:place], *block, *rest[place:]]))

    return make


def _block(name: str, lines: list[str], head: str) -> tuple[int, int]:
    """Return where a line stands, and where the deeper indented lines below it end."""
    starts = [number for number, line in enumerate(lines) if line.strip() == head]
    if len(starts) != 1:
        raise EditError(f"{name} has the line {head!r} {len(starts)} times: write the edit anew.")
    start = starts[0]
    depth = len(_indent(lines[start]))
    end = last = start + 1
    for number, line in enumerate(lines[start + 1 :], start + 1):
        if line.strip() and len(_indent(line)) <= depth:
            break
        end = number + 1
        if line.strip():
            last = end
    return start, min(last, end)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indented(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}{line}\n" if line.strip() else "\n"
