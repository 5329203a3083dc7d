"""Shell scripts as a flat list of their commands, with what becomes of a command's failure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tests.guideline.command import SHELLS, Command
from tests.guideline.shell_syntax import SUBSTITUTIONS, Node, Syntax, inside

__all__ = ["SHELLS", "Command", "cases", "commands"]

SIMPLE = {"CallExpr", "DeclClause", "TestClause"}
PIPES = {"|", "|&"}
OUTPUT = {">", ">>", ">|", "&>", "&>>"}


def commands(
    script: str, *, line: int = 1, file: str = "", errexit: bool = False, pipefail: bool = False
) -> list[Command]:
    """Return the commands of a script, those of its substitutions and of ``sh -c`` among them.

    The commands of a function stand where it is called. What breaks the syntax is left out.

    Args:
        script: its text, which may have the ``${{ }}`` of a workflow.
        line: where its first line stands.
        file: where the script stands.
        errexit: as after ``set -e``.
        pipefail: as after ``set -o pipefail``.
    """
    try:
        found = list(_Walk(script, errexit=errexit, pipefail=pipefail).commands())
    except RecursionError:
        return []
    return [replace(one, line=one.line + line, file=file) for one in found]


def cases(script: str) -> list[list[tuple[list[str], bool]]]:
    """Return the arms of each ``case``: its patterns, and whether it always fails."""
    return list(_Walk(script).cases())


@dataclass(frozen=True)
class _Place:
    """Where a statement stands.

    Args:
        fatal: its failure is the failure of the script.
        inverse: its success is, as behind ``!``.
        checked: ``set -e`` counts, which it does not in a condition.
        exits: an ``exit 1`` fails the script, and not just a process whose failure is lost.
        redirected, next, fed_by, input: see `Command`.
    """

    fatal: bool = True
    inverse: bool = False
    checked: bool = True
    exits: bool = True
    redirected: str = ""
    next: str = ""
    fed_by: str = ""
    input: str = ""

    def negated(self) -> "_Place":
        return replace(self, fatal=self.inverse, inverse=self.fatal, checked=False)

    def not_last(self) -> "_Place":
        return replace(self, fatal=False, inverse=False)

    def process(self, *, fatal: bool) -> "_Place":
        return replace(self, fatal=fatal, checked=self.checked and fatal, exits=fatal)


class _Walk:
    """A walk through a script, in the order in which it runs."""

    def __init__(self, script: str, *, errexit: bool = False, pipefail: bool = False) -> None:
        self._syntax = Syntax(script)
        self._options = {"errexit": errexit, "pipefail": pipefail}
        self._functions: dict[str, list[Node]] = {}
        self._failing: set[str] = set()
        self._called: set[tuple[str, _Place]] = set()
        for node in _functions(self._syntax.statements):
            name, body = node["Name"]["Value"], node["Body"]
            self._functions.setdefault(name, []).append(body)
            if self._fails([body]):
                self._failing.add(name)

    def commands(self) -> Iterator[Command]:
        """Yield the commands, then those of functions without a call; lines count from 0."""
        place = _Place()
        yield from self._sequence(self._syntax.statements, place)
        for name in self._functions:
            if name not in {called for called, _ in self._called}:
                yield from self._call(name, place.not_last())

    def cases(self) -> Iterator[list[tuple[list[str], bool]]]:
        """Yield the arms of each ``case``."""
        for node in inside(self._syntax.statements, {"CaseClause"}):
            arms = node.get("Items", [])
            patterns = [[self._syntax.word(one) for one in arm["Patterns"]] for arm in arms]
            fails = [self._fails(arm.get("Stmts", [])) for arm in arms]
            yield list(zip(patterns, fails, strict=True))

    # Statements

    def _sequence(self, statements: Sequence[Node], place: _Place) -> Iterator[Command]:
        for one in statements:
            yield from self._statement(one, place if one is statements[-1] else place.not_last())

    def _process(self, statements: Sequence[Node], place: _Place) -> Iterator[Command]:
        """Yield the commands of a process of its own: what it sets counts only there."""
        options = dict(self._options)
        yield from self._sequence(statements, place)
        self._options = options

    def _statement(self, statement: Node, place: _Place) -> Iterator[Command]:
        node, redirections = statement.get("Cmd", {}), statement.get("Redirs", [])
        if statement.get("Background"):
            place = place.process(fatal=False)
        if statement.get("Negated"):
            place = place.negated()
        for one in redirections:
            place = self._redirected(one, place)
        kind = node.get("Type")
        if kind in SIMPLE:
            yield from self._simple(node, redirections, place)
            return
        yield from self._substitutions([redirections, node.get("Word"), node.get("Loop")], place)
        if kind == "BinaryCmd" and node["Op"] in PIPES:
            yield from self._pipeline(list(_parts(statement)), place)
        elif kind == "BinaryCmd":
            yield from self._list(node["X"], node["Op"], node["Y"], place)
        elif kind == "IfClause":
            yield from self._if(node, place)
        elif kind == "WhileClause":
            held, failed = ([], node["Do"]) if node.get("Until") else (node["Do"], [])
            yield from self._sequence(node["Cond"], self._asked(place, held, failed))
            yield from self._sequence(node["Do"], place)
        elif kind == "Subshell":
            yield from self._process(node["Stmts"], place.process(fatal=self._reaches(place)))
        elif kind != "FuncDecl":
            for part in (node, *node.get("Items", [])):
                timed = [part["Stmt"]] if "Stmt" in part else []
                yield from self._sequence(part.get("Stmts", part.get("Do", timed)), place)

    def _list(self, first: Node, sign: str, second: Node, place: _Place) -> Iterator[Command]:
        held, failed = ([second], []) if sign == "&&" else ([], [second])
        asked = self._asked(place, held, failed)
        yield from self._statement(first, replace(asked, fatal=place.fatal) if held else asked)
        yield from self._statement(second, place)

    def _pipeline(self, parts: Sequence[Node], place: _Place) -> Iterator[Command]:
        fatal = self._reaches(place)
        programs = [self._program(part) for part in parts]
        for number, part in enumerate(parts):
            last = part is parts[-1]
            here = place.process(fatal=fatal and (last or self._options["pipefail"]))
            if not last:
                here = replace(here, next=programs[number + 1])
            if number:
                here = replace(here, fed_by=programs[number - 1] or "?", input="")
            yield from self._process([part], here)

    def _if(self, node: Node, place: _Place) -> Iterator[Command]:
        otherwise = node.get("Else", {})
        failed = [] if "Cond" in otherwise else otherwise.get("Then", [])
        yield from self._sequence(node.get("Cond", []), self._asked(place, node["Then"], failed))
        yield from self._sequence(node["Then"], place)
        if otherwise:
            yield from self._if(otherwise, place)

    def _substitutions(self, found: Any, place: _Place, fatal: bool = False) -> Iterator[Command]:
        fed_by = "" if place.fed_by == "<<" else place.fed_by
        place = replace(place, redirected="", next="$()", fed_by=fed_by, input="", checked=False)
        for node in inside(found, SUBSTITUTIONS):
            yield from self._process(node.get("Stmts", []), place.process(fatal=fatal))

    # Commands

    def _simple(self, node: Node, redirections: Sequence[Node], place: _Place) -> Iterator[Command]:
        operands, assignments = node.get("Args", []), node.get("Assigns", [])
        # `x=$(false)` fails, `echo $(false)` does not.
        fatal = self._reaches(place) and bool(assignments) and not operands
        yield from self._substitutions([node, redirections], place, fatal)
        documents = [one.get("Hdoc") or one["Word"] for one in redirections if "<<" in one["Op"]]
        pairs = (self._syntax.word(one).partition("=") for one in assignments)
        command = Command(
            self._words(node),
            self._syntax.line(node),
            fatal=self._reaches(place),
            env={name.rstrip("+"): value for name, _, value in pairs},
            variables=tuple(self._syntax.variables([operands, node.get("X"), documents])),
            redirected=place.redirected,
            next=place.next,
            fed_by=place.fed_by,
            input=place.input,
        )
        yield command
        if command.words:
            self._switch(command.words)
            yield from self._call(command.words[0], place)
        if command.script:
            yield from self._inner(command, documents)

    def _call(self, name: str, place: _Place) -> Iterator[Command]:
        """Yield the commands of a function, once for each place: it may call itself."""
        if (name, place) not in self._called:
            self._called.add((name, place))
            for body in self._functions.get(name, []):
                yield from self._statement(body, place)

    def _inner(self, command: Command, documents: Sequence[Node]) -> Iterator[Command]:
        """Yield the commands of the script that a command is given as text."""
        of_input = bool(documents) and command.script == command.input
        line = self._syntax.line(documents[-1]) if of_input else command.line
        errexit = any(re.fullmatch(r"-\w*e\w*", word) for word in command.words)
        errexit |= command.program == "eval" and self._options["errexit"]
        for one in commands(command.script, line=line, errexit=errexit):
            yield replace(
                one,
                fatal=one.fatal and command.fatal,
                redirected=one.redirected or command.redirected,
                next=one.next or command.next,
                fed_by=one.fed_by or ("" if of_input else command.fed_by),
            )

    def _words(self, node: Node) -> tuple[str, ...]:
        if node["Type"] == "TestClause":
            return tuple(word.strip("\"'") for word in self._syntax.text(node).split())
        name = [node["Variant"]] if "Variant" in node else []
        return tuple(self._syntax.word(one) for one in (*name, *node.get("Args", [])))

    def _program(self, part: Node) -> str:
        """Return the program that a part of a pipeline runs first."""
        first = next(inside(part, SIMPLE), None)
        return Command(self._words(first), 1).program if first else ""

    def _redirected(self, redirection: Node, place: _Place) -> _Place:
        document = self._syntax.document(redirection)
        if document is not None:
            return replace(place, fed_by="<<", input=document)
        if redirection["Op"] in OUTPUT and redirection.get("N", {}).get("Value", "1") == "1":
            return replace(place, redirected=self._syntax.word(redirection["Word"]))
        return place

    def _switch(self, words: Sequence[str]) -> None:
        """Follow ``set``."""
        for flag, name in pairwise((*words[1:], "") if words[0] == "set" else ()):
            short = "errexit" if re.fullmatch(r"[-+]\w*e\w*", flag) else ""
            self._options |= dict.fromkeys({short, name} & self._options.keys(), flag[0] == "-")

    # What becomes of failures

    def _reaches(self, place: _Place) -> bool:
        """Tell whether a failure fails the script."""
        return place.fatal or (place.checked and self._options["errexit"])

    def _asked(self, place: _Place, held: Sequence[Node], failed: Sequence[Node]) -> _Place:
        """Return the place of a condition, from what runs where it holds and where it fails."""
        fatal, inverse = (place.exits and self._fails(one) for one in (failed, held))
        return replace(place, fatal=fatal, inverse=inverse, checked=False)

    def _fails(self, statements: Sequence[Node]) -> bool:
        """Tell whether statements always end as failed."""
        for statement in statements:
            node = statement.get("Cmd", {})
            if node.get("Type") == "CallExpr" and "Args" in node:
                name, *arguments = self._words(node)
                if name in {"exit", "return"}:
                    return arguments[:1] != ["0"]
                if name in self._failing or (name == "false" and statement is statements[-1]):
                    return True
            lost = node.get("Type") == "Subshell" and not self._options["errexit"]
            inner = [node["Y"]] if node.get("Op") == "&&" else node.get("Stmts", [])
            if not lost and self._fails(inner):
                return True
        return False


def _parts(statement: Node) -> Iterator[Node]:
    """Yield the parts of a pipeline."""
    node = statement.get("Cmd", {})
    if node.get("Op") in PIPES:
        yield from _parts(node["X"])
        yield node["Y"]
    else:
        yield statement


def _functions(found: Any) -> Iterator[Node]:
    for node in inside(found, {"FuncDecl"}):
        yield node
        yield from _functions(node["Body"])
