"""GitHub's expressions, such as those of ``if``, as far as an event decides them."""

import re
from collections.abc import Mapping

TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(&&|\|\||==|!=|<=|>=|[!<>(),])|([^\s!&|=<>(),']+))")
UNKNOWN = None
Value = str | bool | None


def may_hold(condition: str, context: Mapping[str, str], *, status: bool = True) -> bool:
    """Tell whether a condition can be true.

    Args:
        condition: of an ``if``; empty is true.
        context: what is known, such as ``github.event_name``.
        status: whether everything before went well; ``failure()`` is its opposite.
    """
    return evaluate(condition, context, status=status) is not False


def evaluate(condition: str, context: Mapping[str, str], *, status: bool = True) -> bool | None:
    """Return whether a condition is true, None where the context does not decide it."""
    return _truth(value_of(condition, context, status=status)) if condition.strip() else True


def value_of(text: str, context: Mapping[str, str], *, status: bool = True) -> Value:
    """Return the value of an expression, None where the context does not decide it."""
    text = text.strip()
    if text.startswith("${{") and text.endswith("}}"):
        text = text[3:-2]
    reader = _Reader(text, context, status)
    value = reader.either()
    return value if reader.at_end else UNKNOWN


def _truth(value: Value) -> bool | None:
    if isinstance(value, str):
        return value not in {"", "0", "false"}
    return value


class _Reader:
    def __init__(self, text: str, context: Mapping[str, str], status: bool) -> None:
        self._tokens = [match.groups() for match in TOKEN.finditer(text)]
        self._at = 0
        self._context = context
        self._status = status

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._tokens)

    def _take(self, *operators: str) -> str:
        if not self.at_end and self._tokens[self._at][1] in operators:
            self._at += 1
            return str(self._tokens[self._at - 1][1])
        return ""

    def either(self) -> Value:
        value = self._both()
        while self._take("||"):
            other = self._both()
            left, right = _truth(value), _truth(other)
            value = True if left is True or right is True else other if left is False else UNKNOWN
        return value

    def _both(self) -> Value:
        value = self._comparison()
        while self._take("&&"):
            other = self._comparison()
            left, right = _truth(value), _truth(other)
            value = False if left is False or right is False else other if left else UNKNOWN
        return value

    def _comparison(self) -> Value:
        value = self._single()
        while operator := self._take("==", "!=", "<", ">", "<=", ">="):
            other = self._single()
            if UNKNOWN in (value, other) or operator not in {"==", "!="}:
                value = UNKNOWN
            else:
                same = str(value).lower() == str(other).lower()
                value = same if operator == "==" else not same
        return value

    def _single(self) -> Value:
        if self._take("!"):
            truth = _truth(self._single())
            return UNKNOWN if truth is UNKNOWN else not truth
        if self._take("("):
            value = self.either()
            self._take(")")
            return value
        if self.at_end:
            return UNKNOWN
        string, _, word = self._tokens[self._at]
        self._at += 1
        if string:
            return str(string)[1:-1].replace("''", "'")
        if word is None:
            return UNKNOWN
        if self._take("("):
            return self._call(word.lower())
        if word.lower() in {"true", "false"}:
            return word.lower() == "true"
        if re.fullmatch(r"[\d.]+", word):
            return str(word)
        return self._context.get(word.lower(), UNKNOWN)

    def _call(self, name: str) -> Value:
        arguments: list[Value] = []
        while not self.at_end and not self._take(")"):
            arguments.append(self.either())
            self._take(",")
        if name in {"always", "success", "failure", "cancelled"}:
            return {"always": True, "success": self._status, "failure": not self._status}.get(
                name, False
            )
        if UNKNOWN in arguments or len(arguments) != 2:
            return UNKNOWN
        whole, part = (str(one).lower() for one in arguments)
        if name == "startswith":
            return whole.startswith(part)
        if name == "endswith":
            return whole.endswith(part)
        return part in whole if name == "contains" else UNKNOWN
