"""Makefiles: what the recipe of a target runs, prerequisites first."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.guideline import shell
from tests.guideline.shell import Command

VARIABLE = re.compile(r"^(?:export\s+|override\s+)*([\w.-]+)\s*(\?=|::?:?=|\+=|!=|=)\s*(.*)$")
RULE = re.compile(r"^((?:[^\s:=#]|\$[({][^)}]*[)}])[^:=#]*?)\s*&?::?(?!=)\s*(.*)$")
REFERENCE = re.compile(r"\$(?:\(([\w.-]+)\)|\{([\w.-]+)\}|(\$))")
DEEPEST = 20


@dataclass
class Rule:
    """A target: what it needs, and its recipe's lines with their numbers."""

    needs: list[str] = field(default_factory=list)
    recipe: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Makefile:
    """A Makefile; ``first`` is the target that ``make`` alone makes."""

    file: str
    rules: dict[str, Rule]
    variables: dict[str, str]
    first: str

    def commands(self, target: str, done: frozenset[str] = frozenset()) -> Iterator[Command]:
        """Yield the commands that making a target runs, each recipe line a script of its own."""
        rule = self.rules.get(target)
        if rule is None or target in done:
            return
        for needed in rule.needs:
            yield from self.commands(needed, done | {target})
        one_shell = ".ONESHELL" in self.rules
        errexit = bool(re.search(r"-\w*e", self.variables.get(".SHELLFLAGS", "")))
        ignored = ".IGNORE" in self.rules
        lines = rule.recipe
        if one_shell and lines:
            lines = [("\n".join(text for text, _ in lines), lines[0][1])]
        for text, number in lines:
            prefix = re.match(r"\s*[@+-]*", text)
            start = prefix[0] if prefix else ""
            script = self.expand(text[len(start) :]).replace("$$", "$")
            for command in shell.commands(script, line=number, file=self.file, errexit=errexit):
                survives = "-" in start or ignored
                yield replace(command, fatal=command.fatal and not survives)

    def expand(self, text: str, depth: int = 0) -> str:
        """Return a text with the variables filled in that are set in the file itself."""

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            if match[3] or name not in self.variables or depth > DEEPEST:
                return match[0]
            return self.expand(self.variables[name], depth + 1)

        return REFERENCE.sub(value, text)


def parse(content: str, file: str) -> Makefile:
    """Return a Makefile; what it includes or computes is left out."""
    made = Makefile(file, {}, {}, "")
    current: list[Rule] = []
    lines = content.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        while line.endswith("\\") and at < len(lines):
            recipe = line.startswith("\t")
            # The shell sees the line end of a recipe; elsewhere it is a space.
            line = f"{line}\n{lines[at].removeprefix(chr(9))}" if recipe else line[:-1] + lines[at]
            at += 1
        if line.startswith("\t"):
            for rule in current:
                rule.recipe.append((line[1:], number))
            continue
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        if match := VARIABLE.match(plain):
            _set(made.variables, *match.groups())
            continue
        if match := RULE.match(plain):
            needs, _, inline = re.sub(r"\s#.*", "", match[2]).partition(";")
            if VARIABLE.match(needs.strip()):  # a variable of one target
                continue
            names = made.expand(match[1]).split()
            current = [made.rules.setdefault(name, Rule()) for name in names]
            for rule in current:
                rule.needs += [one for one in made.expand(needs).split() if one != "|"]
                if inline.strip():
                    rule.recipe.append((inline.strip(), number))
            made.first = made.first or next((one for one in names if not one.startswith(".")), "")
    made.first = made.variables.get(".DEFAULT_GOAL", made.first)
    return made


def _set(variables: dict[str, str], name: str, operator: str, value: str) -> None:
    value = re.sub(r"\s+#.*", "", value).strip()
    if operator == "+=":
        variables[name] = f"{variables.get(name, '')} {value}".strip()
    elif operator != "?=" or name not in variables:
        variables[name] = value
