"""YAML as plain texts, lists and mappings that know their lines.

Nothing is converted: ``true`` stays the text ``true``, so a workflow's key ``on`` stays ``on``.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from tests.guideline.findings import BrokenFileError

MERGE = "<<"
# In C where it was built so: several times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Text(str):
    """A scalar. In a block (``|``), ``line`` is that of its first line of content."""

    __slots__ = ("file", "line", "tag")
    file: str
    line: int
    tag: str


class Seq(list[Any]):
    """A list."""

    file = ""
    line = 1
    tag = ""


class Map(dict[str, Any]):
    """A mapping; ``places`` says where each key stands, as (file, line)."""

    file = ""
    line = 1
    tag = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.places: dict[str, tuple[str, int]] = {}

    def place_of(self, key: str) -> tuple[str, int]:
        """Return the file and line of a key, or of the mapping where the key is missing."""
        return self.places.get(key, (self.file, self.line))

    def line_of(self, key: str) -> int:
        """Return the line of a key, or that of the mapping where the key is missing."""
        return self.place_of(key)[1]

    def map(self, key: str) -> "Map":
        """Return the mapping under a key, an empty one where there is none."""
        found = self.get(key)
        if isinstance(found, Map):
            return found
        empty = Map()
        empty.file, empty.line = self.place_of(key)
        return empty


def text_at(value: str, line: int, file: str = "", tag: str = "") -> Text:
    """Return a scalar that stands at a line."""
    text = Text(value)
    text.line, text.file, text.tag = line, file, tag
    return text


def load(content: str, file: str) -> Any:
    """Return the first document.

    Args:
        content: of the file.
        file: its name, for the error.

    Raises:
        BrokenFileError: it is no YAML.
    """
    try:
        node = next(yaml.compose_all(content, Loader=LOADER), None)
        return _value(node, (), file) if node else Map()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise BrokenFileError(file, line, f"this is no YAML: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise BrokenFileError(file, 1, f"this is no YAML: {str(error).splitlines()[0]}.") from None


def _value(node: yaml.Node, parents: tuple[yaml.Node, ...], file: str) -> Any:
    if node in parents:
        raise RecursionError("an anchor contains itself")
    line = node.start_mark.line + 1
    tag = node.tag if node.tag.startswith("!") else ""
    inside = (*parents, node)
    if isinstance(node, yaml.ScalarNode):
        return text_at(node.value, line + (node.style in {"|", ">"}), file, tag)
    if isinstance(node, yaml.SequenceNode):
        values = Seq(_value(one, inside, file) for one in node.value)
        values.line, values.file, values.tag = line, file, tag
        return values
    found, merged = Map(), Map()
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        value = _value(value_node, inside, file)
        if key == MERGE and not key_node.style:
            for one in value if isinstance(value, Seq) else [value]:
                if isinstance(one, Map):
                    merged.update({name: one[name] for name in one if name not in merged})
                    merged.places = one.places | merged.places
        else:
            found[key] = value
            found.places[key] = (file, key_node.start_mark.line + 1)
    whole = Map({**merged, **found})
    whole.places, whole.line = merged.places | found.places, line
    whole.file, whole.tag = file, tag
    return whole


def scalars(value: Any, key: str = "") -> Iterator[tuple[str, Text]]:
    """Yield every scalar with the key that it stands under, in lists the list's key."""
    if isinstance(value, Map):
        for name, one in value.items():
            yield from scalars(one, name)
    elif isinstance(value, Seq):
        for one in value:
            yield from scalars(one, key)
    else:
        yield key, value
