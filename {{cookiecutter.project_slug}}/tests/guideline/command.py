"""A command of a shell script, and what it runs behind sudo, ``uv run``, ``python -m`` ..."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import basename

SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh"}
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
PYTHON = re.compile(r"python[\d.]*|\$\(PYTHON\)|\$\{?PYTHON\}?")
SSH_OPTION_WITH_VALUE = re.compile(r"-[BbcDEeFIiJLlmOopQRSWw]")
# A wrapper runs the rest of its words; these options of it take a word of their own.
WRAPPERS = {
    "sudo": "-u -g -C -h -p", "env": "-u -C", "nice": "-n", "ionice": "-c -n", "exec": "-a",
    "timeout": "-s -k", "stdbuf": "-i -o -e", "xargs": "-a -I -n -P -d -L -E -s", "time": "",
    "command": "", "builtin": "", "nohup": "", "gosu": "", "unbuffer": "", "retry": "", "run0": "",
}  # fmt: skip
# Options of docker, kubectl and their like that stand before a subcommand, with a value.
WITH_VALUE = {
    "--context", "-c", "-H", "--host", "-f", "--file", "-p", "--project-name", "--profile",
    "--env-file", "--config", "-l", "--log-level", "--project-directory", "-n", "--namespace",
}  # fmt: skip
RUNNERS = {"uv", "uvx", "pipx", "poetry", "pdm", "pipenv", "hatch", "rye", "tox", "coverage"}


@dataclass(frozen=True)
class Command:
    """A simple command.

    Args:
        words: without quotes; variables and substitutions stay as they are written.
        line: counted from 1.
        file: where it stands; empty when only the script is known.
        fatal: its failure fails the script.
        env: the assignments before it.
        variables: names of those that it expands outside redirections.
        redirected: its output goes to a file; the file's name.
        next: the program that its output is piped into; ``$()`` for one in a substitution.
        fed_by: the program whose output it reads; ``<<`` for a text of the script.
        input: a here-document or here-string.
    """

    words: tuple[str, ...]
    line: int
    file: str = ""
    fatal: bool = True
    env: dict[str, str] = field(default_factory=dict, hash=False)
    variables: tuple[str, ...] = ()
    redirected: str = ""
    next: str = ""
    fed_by: str = ""
    input: str = ""

    @cached_property
    def core(self) -> tuple[str, ...]:
        """The words without what only runs the others: sudo, env, ``uv run``, ``python -m`` ..."""
        words = self.words
        while words:
            shorter = _unwrapped(words)
            if shorter == words:
                break
            words = shorter
        return words

    @cached_property
    def program(self) -> str:
        """The name of the program, without its folder."""
        return basename(self.core[0]) if self.core else ""

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The words after the program."""
        return self.core[1:]

    @property
    def text(self) -> str:
        """The words with a space between two."""
        return " ".join(self.words)

    @property
    def script(self) -> str:
        """The script that it is given as text: of ``sh -c``, ``eval``, ``ssh host``."""
        words = list(self.arguments)
        if self.program in SHELLS:
            flag = next((at for at, word in enumerate(words) if re.fullmatch(r"-\w*c", word)), None)
            return self.input if flag is None else "".join(words[flag + 1 : flag + 2])
        if self.program == "ssh":
            while words and words[0].startswith("-"):
                del words[: 2 if SSH_OPTION_WITH_VALUE.fullmatch(words[0]) else 1]
            return " ".join(words[1:]) or self.input
        return " ".join(words) if self.program == "eval" else ""

    def starts_with(self, *names: str) -> bool:
        """Tell whether it is the program and subcommands of these names, options left out."""
        return self._plain[: len(names)] == names

    @cached_property
    def _plain(self) -> tuple[str, ...]:
        """The program and its words, options left out."""
        plain, words = [self.program], iter(self.arguments)
        for word in words:
            if word in WITH_VALUE:
                next(words, None)
            elif not word.startswith("-"):
                plain.append(word)
        return tuple(plain)

    def has(self, *options: str) -> bool:
        """Tell whether one of the options is given, with or without ``=value``."""
        return any(word.split("=", 1)[0] in options for word in self.arguments)

    def option(self, *names: str) -> str | None:
        """Return the value of an option, as ``--name value`` or ``--name=value``."""
        for number, word in enumerate(self.arguments):
            name, equals, value = word.partition("=")
            if name in names:
                following = self.arguments[number + 1 : number + 2]
                return value if equals else (following or ("",))[0]
        return None


def _unwrapped(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that a wrapper runs, or the same words where the first is none."""
    program = basename(words[0])
    if program in WRAPPERS:
        rest = words[1:]
        taking = WRAPPERS[program].split()
        while rest and (rest[0].startswith("-") or ASSIGNMENT.fullmatch(rest[0])):
            rest = rest[2:] if rest[0] in taking else rest[1:]
        if program in {"timeout", "gosu"}:  # a duration, a user
            rest = rest[1:]
        return rest or words
    if PYTHON.fullmatch(program):
        position = 1
        while position < len(words) and words[position].startswith("-"):
            if words[position] == "-m" and position + 1 < len(words):
                return words[position + 1 :]
            position += 1 + (words[position] in {"-W", "-X"})
        return words
    if program in RUNNERS and len(words) > 1:
        if program == "coverage" and words[1] == "run" and "-m" in words:
            return words[words.index("-m") + 1 :]
        if "run" in words[1:3] or program == "uvx" or words[1:3] == ("tool", "run"):
            rest = words[words.index("run") + 1 :] if "run" in words else words[1:]
            while rest and rest[0].startswith("-"):
                rest = (
                    rest[2:] if rest[0] in {"--with", "--group", "--extra", "--from"} else rest[1:]
                )
            return rest or words
    return words
