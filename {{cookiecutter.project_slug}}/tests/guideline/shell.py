"""Shell scripts as a flat list of their commands, with what becomes of a command's failure.

It reads what the POSIX shell and bash have in common: lists, pipelines, groups, branches, loops,
functions, here-documents and substitutions. A script that it cannot read to the end gives the
commands up to there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from posixpath import basename

OPERATORS = ("&&", "||", ";;&", ";;", ";&", "|&", "|", "&", ";", "(", ")", "\n")
REDIRECTION = re.compile(r"(\d*|&)(<<<|<<-|<<|<>|>>|>\||>&|<&|>|<)")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
VARIABLE = re.compile(r"\$(?:\{[!#]?([A-Za-z_]\w*)|([A-Za-z_]\w*))")
FUNCTION = re.compile(r"[\w:.-]+")
CLOSING = {"then", "elif", "else", "fi", "do", "done", "esac", "}"}
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh"}
# A wrapper runs the rest of its words; these options of it take a word of their own.
WRAPPERS: dict[str, set[str]] = {
    "sudo": {"-u", "-g", "-C", "-h", "-p"},
    "env": {"-u", "-C"},
    "nice": {"-n"},
    "timeout": {"-s", "-k"},
    "time": set(),
    "exec": {"-a"},
    "command": set(),
    "builtin": set(),
    "nohup": set(),
    "stdbuf": {"-i", "-o", "-e"},
    "xargs": {"-a", "-I", "-n", "-P", "-d", "-L", "-E", "-s"},
    "gosu": set(),
    "unbuffer": set(),
    "ionice": {"-c", "-n"},
    "retry": set(),
    "run0": set(),
}
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
        next: the program that its output is piped into.
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
        taking = WRAPPERS[program]
        while rest and (rest[0].startswith("-") or ASSIGNMENT.fullmatch(rest[0])):
            rest = rest[2:] if rest[0] in taking else rest[1:]
        if program in {"timeout", "gosu"}:  # a duration, a user
            rest = rest[1:]
        return rest or words
    if re.fullmatch(r"python[\d.]*|\$\(PYTHON\)|\$\{?PYTHON\}?", program):
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


def commands(
    script: str, *, line: int = 1, file: str = "", errexit: bool = False, pipefail: bool = False
) -> list[Command]:
    """Return the commands of a script, those of its substitutions and of ``sh -c`` among them.

    Args:
        script: its text.
        line: where its first line stands.
        file: where the script stands.
        errexit: as after ``set -e``.
        pipefail: as after ``set -o pipefail``.
    """
    parser = _Parser(_tokens(script.replace("\r\n", "\n"), line))
    try:
        nodes = parser.script()
    except RecursionError:
        return []
    state = _State(errexit, pipefail, file, frozenset(parser.failing))
    return list(_visit(nodes, state, fatal=True, errexit=True))


def cases(script: str) -> list[list[tuple[list[str], bool]]]:
    """Return the arms of each ``case``: its patterns, and whether it always fails."""
    parser = _Parser(_tokens(script.replace("\r\n", "\n"), 1))
    nodes = parser.script()
    return [
        [(arm.patterns, _fails(arm.body, frozenset(parser.failing))) for arm in node.arms]
        for node in _all_cases(nodes)
    ]


# Tokens


@dataclass
class _Token:
    kind: str  # word, operator or redirection
    text: str
    line: int
    quoted: bool = False
    variables: list[str] = field(default_factory=list)
    scripts: list[tuple[str, int]] = field(default_factory=list)
    body: str = ""


def _tokens(text: str, line: int) -> list[_Token]:
    found: list[_Token] = []
    waiting: list[tuple[_Token, str, bool, bool]] = []  # here-documents: token, end, strip, quoted
    at = 0
    while at < len(text):
        char = text[at]
        if text.startswith("\\\n", at):
            at, line = at + 2, line + 1
        elif char in " \t\r":
            at += 1
        elif char == "#" and (at == 0 or text[at - 1] in " \t\n;|&()"):
            at = _end(text, "\n", at)
        elif match := REDIRECTION.match(text, at):
            token = _Token("redirection", match[2], line)
            at = match.end()
            while at < len(text) and text[at] in " \t":
                at += 1
            number = match[1]
            target, at, line = _word(text, at, line)
            token.text = f"{number}{match[2]}"
            token.body, token.variables, token.scripts = (
                target.text,
                target.variables,
                target.scripts,
            )
            found.append(token)
            if match[2] in {"<<", "<<-"}:
                token.variables = []
                waiting.append((token, target.text, match[2] == "<<-", target.quoted))
        elif operator := next((one for one in OPERATORS if text.startswith(one, at)), None):
            found.append(_Token("operator", operator, line))
            at += len(operator)
            if operator == "\n":
                line += 1
                for token, end, strip, quoted in waiting:
                    start = line
                    body, at, line = _document(text, at, line, end, strip)
                    token.body = body
                    if not quoted:
                        token.variables = [a or b for a, b in VARIABLE.findall(body)]
                        token.scripts = _substitutions(body, start)
                waiting.clear()
        else:
            token, at, line = _word(text, at, line)
            found.append(token)
    return found


def _end(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found


def _document(text: str, at: int, line: int, end: str, strip: bool) -> tuple[str, int, int]:
    """Return a here-document's text, and where it ends."""
    rows = []
    while at < len(text):
        stop = _end(text, "\n", at)
        row = text[at:stop]
        at, line = stop + 1, line + 1
        if (row.lstrip("\t") if strip else row) == end:
            break
        rows.append(row.lstrip("\t") if strip else row)
    return "\n".join(rows) + "\n", at, line


def _substitutions(text: str, line: int) -> list[tuple[str, int]]:
    """Return the scripts of ``$(...)`` in a text between double quotes."""
    found, at = [], 0
    while (start := text.find("$(", at)) >= 0:
        end = _closing(text, start + 2)
        if not text.startswith("$((", start):
            found.append((text[start + 2 : end], line + text.count("\n", 0, start)))
        at = max(end, start + 2)
    return found


def _closing(text: str, at: int) -> int:
    """Return where the bracket closes that was opened before ``at``."""
    depth = 1
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char == "'":
            at = _end(text, "'", at + 1)
        elif char == '"':
            at = _quote_end(text, at + 1)
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if not depth:
                return at
        at += 1
    return at


def _quote_end(text: str, at: int) -> int:
    """Return where a double quote closes."""
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            at += 1
        elif text.startswith("$(", at):
            at = _closing(text, at + 2)
        at += 1
    return at


def _word(text: str, at: int, line: int) -> tuple[_Token, int, int]:
    token = _Token("word", "", line)
    start = at
    parts: list[str] = []
    while at < len(text):
        char = text[at]
        if text.startswith("${{", at):  # an expression of a workflow, put in before the shell runs
            stop = _end(text, "}}", at) + 2
            parts.append(text[at:stop])
            at = stop
        elif char == "\\":
            if not text.startswith("\\\n", at):
                parts.append(text[at + 1 : at + 2])
            at += 2
        elif char == "'":
            stop = _end(text, "'", at + 1)
            parts.append(text[at + 1 : stop])
            token.quoted = True
            at = stop + 1
        elif char == '"':
            stop = _quote_end(text, at + 1)
            inner = text[at + 1 : stop]
            token.scripts += _substitutions(inner, line)
            plain = re.sub(r"\\\$", "", inner)
            token.variables += [a or b for a, b in VARIABLE.findall(plain)]
            parts.append(re.sub(r'\\([$`"\\\n])', r"\1", inner))
            token.quoted = True
            at = stop + 1
        elif text.startswith("$((", at):
            stop = _closing(text, at + 2) + 1
            parts.append(text[at:stop])
            at = stop
        elif text.startswith(("$(", "<(", ">("), at):
            stop = _closing(text, at + 2)
            token.scripts.append((text[at + 2 : stop], line + text.count("\n", start, at)))
            parts.append(text[at : stop + 1])
            at = stop + 1
        elif char == "`":
            stop = _end(text, "`", at + 1)
            token.scripts.append((text[at + 1 : stop], line))
            parts.append(text[at : stop + 1])
            at = stop + 1
        elif text.startswith("${", at):
            stop = _end(text, "}", at) + 1
            parts.append(text[at:stop])
            token.variables += [a or b for a, b in VARIABLE.findall(text[at:stop])]
            at = stop
        elif char == "$" and (match := VARIABLE.match(text, at)):
            token.variables.append(match[2])
            parts.append(match[0])
            at = match.end()
        elif char in " \t\n;|&()<>":
            break
        else:
            parts.append(char)
            at += 1
    if at == start:  # no word begins here: take the character, so that reading goes on
        at += 1
    token.text = "".join(parts)
    return token, at, line + text.count("\n", start, at)


# Grammar


@dataclass
class _Simple:
    tokens: list[_Token]


@dataclass
class _Arm:
    patterns: list[str]
    body: "_List"


@dataclass
class _Compound:
    kind: str
    conditions: list["_List"] = field(default_factory=list)
    bodies: list["_List"] = field(default_factory=list)
    arms: list[_Arm] = field(default_factory=list)
    redirections: list[_Token] = field(default_factory=list)


@dataclass
class _Pipeline:
    parts: list[_Simple | _Compound]
    negated: bool


@dataclass
class _AndOr:
    pipelines: list[_Pipeline]
    operators: list[str]
    background: bool = False


_List = list[_AndOr]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.failing: set[str] = set()
        """Functions that end the script as failed."""

    def script(self) -> _List:
        nodes: _List = []
        while self._peek() is not None:
            nodes += self._list()
            self._at += 1  # past what closes nothing
        return nodes

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _is(self, kind: str, *texts: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == kind and token.text in texts

    def _keyword(self, *texts: str) -> bool:
        token = self._peek()
        return self._is("word", *texts) and token is not None and not token.quoted

    def _skip_lines(self) -> None:
        while self._is("operator", "\n", ";"):
            self._at += 1

    def _list(self) -> _List:
        nodes: _List = []
        while True:
            while self._is("operator", "\n", ";", "&"):
                if nodes and self._is("operator", "&"):
                    nodes[-1].background = True
                self._at += 1
            if self._peek() is None or self._keyword(*CLOSING):
                return nodes
            if self._is("operator", ")", ";;", ";&", ";;&"):
                return nodes
            nodes.append(self._and_or())

    def _and_or(self) -> _AndOr:
        node = _AndOr([self._pipeline()], [])
        while self._is("operator", "&&", "||"):
            node.operators.append(self._tokens[self._at].text)
            self._at += 1
            self._skip_lines()
            node.pipelines.append(self._pipeline())
        return node

    def _pipeline(self) -> _Pipeline:
        negated = False
        while self._keyword("!", "time"):
            negated ^= self._keyword("!")
            self._at += 1
        parts = [self._command()]
        while self._is("operator", "|", "|&"):
            self._at += 1
            self._skip_lines()
            parts.append(self._command())
        return _Pipeline(parts, negated)

    def _command(self) -> _Simple | _Compound:
        node: _Compound | None = None
        if self._is("operator", "("):
            self._at += 1
            node = _Compound("group", bodies=[self._list()])
            self._expect("operator", ")")
        elif self._keyword("{"):
            self._at += 1
            node = _Compound("group", bodies=[self._list()])
            self._expect("word", "}")
        elif self._keyword("if"):
            node = self._if()
        elif self._keyword("while", "until"):
            self._at += 1
            node = _Compound("loop", conditions=[self._list()])
            self._do(node)
        elif self._keyword("for", "select"):
            while self._peek() is not None and not self._keyword("do", "{"):
                self._at += 1
            node = _Compound("loop")
            self._do(node)
        elif self._keyword("case"):
            node = self._case()
        if node is None:
            return self._simple()
        while (token := self._peek()) is not None and token.kind == "redirection":
            node.redirections.append(token)
            self._at += 1
        return node

    def _expect(self, kind: str, text: str) -> None:
        if self._is(kind, text):
            self._at += 1

    def _if(self) -> _Compound:
        node = _Compound("if")
        while self._keyword("if", "elif"):
            self._at += 1
            node.conditions.append(self._list())
            self._expect("word", "then")
            node.bodies.append(self._list())
        if self._keyword("else"):
            self._at += 1
            node.bodies.append(self._list())
        self._expect("word", "fi")
        return node

    def _do(self, node: _Compound) -> None:
        self._skip_lines()
        self._expect("word", "do")
        node.bodies.append(self._list())
        self._expect("word", "done")

    def _case(self) -> _Compound:
        self._at += 2
        node = _Compound("case")
        self._skip_lines()
        self._expect("word", "in")
        while True:
            self._skip_lines()
            if self._peek() is None or self._keyword("esac"):
                self._at += 1
                return node
            self._expect("operator", "(")
            patterns = []
            while (token := self._peek()) is not None and not self._is("operator", ")"):
                if token.kind == "word":
                    patterns.append(token.text)
                self._at += 1
            self._at += 1
            body = self._list()
            node.arms.append(_Arm(patterns, body))
            node.bodies.append(body)
            if self._is("operator", ";;", ";&", ";;&"):
                self._at += 1
            elif not self._keyword("esac"):
                self._at += 1  # what closes nothing

    def _simple(self) -> _Simple | _Compound:
        tokens: list[_Token] = []
        while (token := self._peek()) is not None and token.kind != "operator":
            tokens.append(token)
            self._at += 1
        name = tokens[-1].text if tokens else ""
        if self._is("operator", "(") and (
            (len(tokens) == 1 and FUNCTION.fullmatch(name))
            or (tokens and tokens[0].text == "function")
        ):
            self._at += 1
            self._expect("operator", ")")
            self._skip_lines()
            body: _List = [_AndOr([_Pipeline([self._command()], False)], [])]
            if _fails(body, frozenset(self.failing)):
                self.failing.add(name)
            return _Compound("function", bodies=[body])
        if not tokens and self._is("operator", "("):
            self._at += 1
        return _Simple(tokens)


# What becomes of failures


@dataclass
class _State:
    errexit: bool
    pipefail: bool
    file: str
    failing: frozenset[str]


def _visit(nodes: _List, state: _State, *, fatal: bool, errexit: bool) -> Iterator[Command]:
    """Yield the commands of a list.

    Args:
        nodes: the list.
        state: what ``set`` has switched.
        fatal: the list's own failure fails the script.
        errexit: ``set -e`` counts here, which it does not in a condition.
    """
    for number, node in enumerate(nodes):
        is_last = number == len(nodes) - 1
        for place, pipeline in enumerate(node.pipelines):
            caught, skipped, made_fatal = False, False, False
            following = zip(node.operators[place:], node.pipelines[place + 1 :], strict=False)
            for operator, handler in following:
                if operator == "&&":
                    skipped = True
                elif _fails([_AndOr([handler], [])], state.failing):
                    made_fatal = True
                    break
                else:
                    caught = True
                    break
            stops = state.errexit and errexit and not skipped
            reaches = made_fatal or (not caught and (stops or (is_last and fatal)))
            if node.background or pipeline.negated:
                reaches = False
            inner_errexit = errexit and not caught and not skipped and not pipeline.negated
            yield from _pipeline(pipeline, state, fatal=reaches, errexit=inner_errexit)


def _pipeline(node: _Pipeline, state: _State, *, fatal: bool, errexit: bool) -> Iterator[Command]:
    previous = ""
    for number, part in enumerate(node.parts):
        is_last = number == len(node.parts) - 1
        counts = fatal and (is_last or state.pipefail)
        following = "" if is_last else _first_program(node.parts[number + 1])
        inner = replace(state)
        if isinstance(part, _Compound):
            found = _compound(part, state, fatal=counts, errexit=errexit)
        else:
            found = _simple_commands(part, inner if len(node.parts) > 1 else state, fatal=counts)
        for command in found:
            changes: dict[str, str] = {}
            if following and not command.next:
                changes["next"] = following
            if previous and not command.fed_by:
                changes["fed_by"] = previous
            yield replace(command, **changes) if changes else command  # type: ignore[arg-type]
        previous = _first_program(part) or "?"


def _compound(node: _Compound, state: _State, *, fatal: bool, errexit: bool) -> Iterator[Command]:
    # `if ! pytest; then exit 1; fi`: the branch makes the condition's failure count.
    ends = any(_fails(body, state.failing) for body in node.bodies)
    output = next((one.body for one in node.redirections if one.text in {">", ">>", "1>"}), "")
    inside: list[Command] = []
    for condition in node.conditions:
        inside += _visit(condition, state, fatal=False, errexit=False)
    if ends and node.kind == "if":
        inside = [replace(command, fatal=True) for command in inside]
    for body in node.bodies:
        inside += _visit(body, state, fatal=fatal, errexit=errexit)
    for command in inside:
        yield replace(command, redirected=command.redirected or output)


def _simple_commands(node: _Simple, state: _State, *, fatal: bool) -> Iterator[Command]:
    words = [token for token in node.tokens if token.kind == "word"]
    env: dict[str, str] = {}
    while words and (match := ASSIGNMENT.fullmatch(words[0].text)):
        env[match[1]] = match[2]
        words.pop(0)
    redirected = fed_by = document = ""
    variables = [name for token in words for name in token.variables]
    for token in node.tokens:
        for script, line in token.scripts:
            for nested in commands(script, line=line, file=state.file):
                yield replace(nested, fatal=False, next=nested.next or "$()")
        if token.kind != "redirection":
            continue
        if token.text in {">", ">>", "1>", "1>>", "&>", "&>>", ">|"}:
            redirected = token.body
        elif "<<" in token.text:
            fed_by, document = "<<", token.body
            variables += token.variables
    line = node.tokens[0].line if node.tokens else 1
    texts = tuple(token.text for token in words)
    command = Command(
        texts, line, state.file, fatal, env, tuple(variables), redirected, "", fed_by, document
    )
    yield command
    if texts[:1] == ("set",):
        _switch(state, texts[1:])
    yield from _inner_scripts(command, state)


def _switch(state: _State, options: tuple[str, ...]) -> None:
    for number, option in enumerate(options):
        on = option.startswith("-")
        if re.fullmatch(r"[-+][a-zA-Z]+", option) and "e" in option:
            state.errexit = on
        if option in {"errexit", "pipefail"} and number:
            setattr(state, option, options[number - 1].startswith("-"))


def _inner_scripts(command: Command, state: _State) -> Iterator[Command]:
    """Yield the commands that a command is given as text: ``sh -c``, ``eval``, ``ssh host``."""
    core = command.core
    if not core:
        return
    script, errexit = "", False
    if command.program in SHELLS:
        flag = next((at for at, word in enumerate(core) if re.fullmatch(r"-\w*c", word)), None)
        if flag is not None:
            script = "".join(core[flag + 1 : flag + 2])
            errexit = any(re.fullmatch(r"-\w*e\w*", word) for word in core[1 : flag + 1])
        elif command.input:
            script = command.input
    elif command.program == "eval":
        script = " ".join(core[1:])
    elif command.program == "ssh":
        rest = list(core[1:])
        while rest and rest[0].startswith("-"):
            takes = re.fullmatch(r"-[BbcDEeFIiJLlmOopQRSWw]", rest[0])
            rest = rest[2:] if takes else rest[1:]
        script = " ".join(rest[1:]) or command.input
    for nested in commands(script, line=command.line, file=state.file, errexit=errexit):
        yield replace(nested, fatal=nested.fatal and command.fatal)


def _first_program(part: _Simple | _Compound) -> str:
    if isinstance(part, _Simple):
        words = tuple(token.text for token in part.tokens if token.kind == "word")
        return Command(words, 1).program
    for body in part.bodies:
        for node in body:
            return _first_program(node.pipelines[0].parts[0])
    return ""


def _fails(nodes: _List, failing: frozenset[str]) -> bool:
    """Tell whether a list ends the script as failed, whatever else it does."""
    for node in nodes:
        part = node.pipelines[-1].parts[-1]
        if node.operators and "||" in node.operators:
            continue
        if isinstance(part, _Compound):
            if part.kind == "group" and _fails(part.bodies[0], failing):
                return True
            continue
        words = [token.text for token in part.tokens if token.kind == "word"]
        if words[:1] in (["exit"], ["return"]):
            return words[1:2] not in (["0"],)
        if words[:1] == ["false"] and node is nodes[-1]:
            return True
        if words and words[0] in failing:
            return True
    return False


def _all_cases(nodes: _List) -> Iterator[_Compound]:
    for node in nodes:
        for pipeline in node.pipelines:
            for part in pipeline.parts:
                if isinstance(part, _Compound):
                    if part.kind == "case":
                        yield part
                    for inner in (*part.conditions, *part.bodies):
                        yield from _all_cases(inner)
