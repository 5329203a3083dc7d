"""Dockerfiles as BuildKit reads them: stages, instructions, variables, here-documents."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.guideline.findings import BrokenFileError

DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
HEREDOC = re.compile(r"(?<![<\w])(\d*)<<(-?)(['\"]?)([A-Za-z_.][\w.-]*)\3(?=[\s;|&)>]|$)")
WITH_HEREDOCS = {"RUN", "COPY", "ADD"}
JSON_FORMS = {"RUN", "CMD", "ENTRYPOINT", "SHELL", "COPY", "ADD", "VOLUME"}
SUBSTITUTION = re.compile(
    r"\\\$|\$(?:\{(?P<braced>\w+)(?:(?P<operator>:?[-+?])(?P<word>[^{}]*(?:\{[^{}]*\})?[^{}]*))?\}"
    r"|(?P<plain>\w+))"
)


@dataclass(frozen=True)
class Heredoc:
    """A text between ``<<NAME`` and ``NAME``; ``line`` is that of its first line."""

    name: str
    content: str
    line: int


@dataclass(frozen=True)
class Instruction:
    """An instruction.

    Args:
        keyword: in upper case; of an ``ONBUILD``, the keyword of what it triggers.
        value: what follows the keyword and its flags, continuation lines joined.
        flags: such as ``--from=build``, as written.
        line, end_line: counted from 1.
        words: of the exec form (JSON), else None.
        heredocs: the texts that it brings.
    """

    keyword: str
    value: str
    flags: tuple[str, ...]
    line: int
    end_line: int
    words: tuple[str, ...] | None = None
    heredocs: tuple[Heredoc, ...] = ()

    def flag(self, name: str) -> str:
        """Return a flag's value, empty where it is missing."""
        values = [one.partition("=")[2] for one in self.flags if one.split("=")[0] == f"--{name}"]
        return values[-1] if values else ""

    @property
    def script(self) -> str:
        """The shell script of a ``RUN``: its here-document, else its text."""
        if self.words is not None:
            return " ".join(_quoted(word) for word in self.words)
        if self.heredocs and HEREDOC.match(self.value.strip()):
            return self.heredocs[0].content
        return "\n".join([self.value, *(f"{one.content}{one.name}" for one in self.heredocs)])

    @property
    def script_line(self) -> int:
        """Where the script begins."""
        own = self.heredocs and HEREDOC.match(self.value.strip())
        return self.heredocs[0].line if own else self.line


@dataclass
class Stage:
    """A stage; ``base`` is what its FROM names, variables not yet filled in."""

    name: str
    base: str
    line: int
    number: int
    instructions: list[Instruction] = field(default_factory=list)


@dataclass
class Dockerfile:
    """A Dockerfile.

    Args:
        file: where it stands.
        stages: in order.
        arguments: the global ARGs and their defaults.
    """

    file: str
    stages: list[Stage]
    arguments: dict[str, str]

    def stage(self, name: str) -> Stage | None:
        """Return a stage by its name or number; an empty name is the last one."""
        if not name:
            return self.stages[-1]
        for stage in self.stages:
            if name.lower() in {stage.name.lower(), str(stage.number)}:
                return stage
        return None

    def base_of(self, stage: Stage, given: Mapping[str, str]) -> str:
        """Return what a stage is built on, with the build's own arguments."""
        return expand(stage.base, {**self.arguments, **_known(given, self.arguments)})

    def parent(self, stage: Stage, given: Mapping[str, str]) -> Stage | None:
        """Return the former stage that a stage is built on, if it is one."""
        base = self.base_of(stage, given)
        found = self.stage(base) if base else None
        return found if found and found.number < stage.number else None

    def chain(self, stage: Stage, given: Mapping[str, str]) -> list[Stage]:
        """Return the stage after those that it is built on, the first of them first."""
        parent = self.parent(stage, given)
        return [*(self.chain(parent, given) if parent else []), stage]

    def reaching(self, stage: Stage, given: Mapping[str, str]) -> list[Stage]:
        """Return every stage of which something can be in the stage's result, in order."""
        found: dict[int, Stage] = {}
        waiting = [stage]
        while waiting:
            one = waiting.pop()
            if one.number in found:
                continue
            found[one.number] = one
            if parent := self.parent(one, given):
                waiting.append(parent)
            for instruction, variables in self.evaluated(one, given):
                for name in sources_of(instruction):
                    source = self.stage(expand(name, variables))
                    if source and source.number < one.number:
                        waiting.append(source)
        return [found[number] for number in sorted(found)]

    def evaluated(
        self, stage: Stage, given: Mapping[str, str]
    ) -> Iterator[tuple[Instruction, dict[str, str]]]:
        """Yield a stage's instructions, each with the variables that it sees."""
        variables: dict[str, str] = {}
        if parent := self.parent(stage, given):
            for instruction, inherited in self.evaluated(parent, given):
                if instruction.keyword == "ENV":
                    variables.update(pairs(instruction, inherited))
        fixed = set(variables)
        for instruction in stage.instructions:
            yield instruction, dict(variables)
            if instruction.keyword == "ENV":
                added = dict(pairs(instruction, variables))
                variables.update(added)
                fixed |= added.keys()  # an ENV wins over an ARG of its name
            elif instruction.keyword == "ARG":
                for name, default in arguments_of(instruction, variables).items():
                    value = default if default is not None else self.arguments.get(name, "")
                    if name not in fixed:
                        variables[name] = given.get(name, value)


def parse(content: str, file: str) -> Dockerfile:
    """Return a Dockerfile.

    Raises:
        BrokenFileError: it holds no stage.
    """
    instructions = list(read(content))
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for one in instructions:
        if one.keyword == "FROM":
            words = one.value.split()
            name = words[2] if len(words) > 2 and words[1].lower() == "as" else ""
            stages.append(Stage(name, words[0] if words else "", one.line, len(stages)))
        elif stages:
            stages[-1].instructions.append(one)
        elif one.keyword == "ARG":
            for key, default in arguments_of(one, arguments).items():
                arguments[key] = default or ""
    if not stages:
        raise BrokenFileError(file, 1, "this Dockerfile has no FROM.")
    return Dockerfile(file, stages, arguments)


def read(content: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile's text."""
    lines = content.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    escape = _escape(lines)
    continuation = re.compile(rf"(?:^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    at = 0
    while at < len(lines):
        start, text = at, lines[at].lstrip()
        at += 1
        if not text or text.startswith("#"):
            continue
        end = at
        while continuation.search(text) and at < len(lines):
            text = text[: text.rindex(escape)]
            following = lines[at]
            at += 1
            # Comments and empty lines within an instruction are left out.
            while (not following.strip() or following.lstrip().startswith("#")) and at < len(lines):
                following = lines[at]
                at += 1
            if following.strip() and not following.lstrip().startswith("#"):
                text += following
                end = at
        if continuation.search(text):
            text = text[: text.rindex(escape)]
        triggered = re.sub(r"(?i)^onbuild\s+", "", text)
        heredocs = []
        if triggered.split(None, 1)[:1] and triggered.split(None, 1)[0].upper() in WITH_HEREDOCS:
            for match in HEREDOC.finditer(_outside_quotes(triggered)):
                rows, first = [], at + 1
                while at < len(lines):
                    row = lines[at]
                    at += 1
                    if (row.lstrip("\t") if match[2] else row) == match[4]:
                        break
                    rows.append(row + "\n")
                heredocs.append(Heredoc(match[4], "".join(rows), first))
                end = at
        yield _instruction(triggered.strip(), start + 1, end, tuple(heredocs))


def _instruction(text: str, line: int, end: int, heredocs: tuple[Heredoc, ...]) -> Instruction:
    keyword, _, rest = re.sub(r"\s", " ", text, count=1).partition(" ")
    flags = []
    rest = rest.strip()
    while match := re.match(r"--[a-z][\w-]*(?:=(?:\"[^\"]*\"|'[^']*'|\S)*)?(?=\s|$)", rest):
        flags.append(match[0])
        rest = rest[match.end() :].lstrip()
    words = None
    if keyword.upper() in JSON_FORMS and rest.startswith("["):
        try:
            found = json.loads(rest)
        except ValueError:
            found = None
        if isinstance(found, list) and all(isinstance(word, str) for word in found):
            words = tuple(found)
    return Instruction(keyword.upper(), rest, tuple(flags), line, end, words, heredocs)


def _escape(lines: list[str]) -> str:
    """Return the character that continues lines: a directive in the first lines may change it."""
    for line in lines:
        match = DIRECTIVE.fullmatch(line.strip())
        if not match:
            return "\\"
        if match[1].lower() == "escape":
            return match[2]
    return "\\"


def _outside_quotes(text: str) -> str:
    """Return a text with ``<<`` between quotes made harmless; its length stays."""
    quoted = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'")
    return quoted.sub(lambda match: match[0] if "<" not in match[0] else "x" * len(match[0]), text)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _known(given: Mapping[str, str], declared: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name in declared}


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its ``$NAME`` and ``${NAME:-word}`` filled in; unknown ones are empty."""

    def value(match: re.Match[str]) -> str:
        if match[0] == r"\$":
            return "$"
        name, operator, word = match["braced"] or match["plain"], match["operator"], match["word"]
        found = variables.get(name)
        has = bool(found) if (operator or "").startswith(":") else found is not None
        if operator and operator.endswith("-") and not has:
            return expand(word or "", variables)
        if operator and operator.endswith("+"):
            return expand(word or "", variables) if has else ""
        return found or ""

    return SUBSTITUTION.sub(value, text)


def split_words(text: str) -> list[str]:
    """Return the words of an ENV, ARG or COPY: quotes taken away, variables kept."""
    words, word, quote, started = [], "", "", False
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'" and at + 1 < len(text) and text[at + 1] != "$":
            word += text[at + 1]
            started, at = True, at + 1
        elif quote:
            quote, word = ("", word) if char == quote else (quote, word + char)
        elif char in "\"'":
            quote, started = char, True
        elif char.isspace():
            if started:
                words.append(word)
            word, started = "", False
        else:
            word, started = word + char, True
        at += 1
    return [*words, word] if started else words


def pairs(instruction: Instruction, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the names and values of an ENV or LABEL."""
    words = split_words(instruction.value)
    if words and "=" not in words[0]:  # ENV NAME the whole rest
        name, _, value = instruction.value.strip().partition(" ")
        return [(name, expand(value.strip(), variables))]
    named = (word.partition("=") for word in words)
    return [(name, expand(value, variables)) for name, _, value in named]


def arguments_of(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str | None]:
    """Return the names of an ARG, each with its default or None."""
    named = (word.partition("=") for word in split_words(instruction.value))
    return {name: expand(value, variables) if equals else None for name, equals, value in named}


def sources_of(instruction: Instruction) -> list[str]:
    """Return the stages or images that an instruction takes files from."""
    if instruction.keyword in {"COPY", "ADD"}:
        return [name] if (name := instruction.flag("from")) else []
    mounts = [flag.partition("=")[2] for flag in instruction.flags if flag.startswith("--mount=")]
    parts = [part.partition("=") for mount in mounts for part in mount.split(",")]
    return [value for name, _, value in parts if name == "from"]


def copied(instruction: Instruction, variables: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the sources of a COPY or ADD, and its target."""
    words = list(instruction.words or split_words(instruction.value))
    words = [expand(word, variables) for word in words]
    return (words[:-1], words[-1]) if len(words) > 1 else ([], "")
