"""Where secrets stand as text in a project's files, by what kind of file it is."""

import itertools
import json
import re
from collections.abc import Iterator
from posixpath import basename, splitext

from tests.guideline import dockerfile, python_code, yaml_text
from tests.guideline.findings import BrokenFileError
from tests.guideline.project import DOCKERFILE, YAML, Project, in_tests
from tests.guideline.secret_text import is_secret_name, is_value, is_value_in_code, known_secret
from tests.guideline.yaml_text import Map, Seq, Text

PROGRAMS = {".py", ".js", ".mjs", ".cjs", ".ts", ".jsx", ".tsx", ".vue", ".html", ".htm", ".ipynb"}
SETTINGS = {".toml", ".json", ".cfg", ".conf", ".ini", ".properties", ".service", ".env", ".tf"}
SHELL = {".sh", ".bash"}
KEYS = {".pem", ".key", ".p8"}
KEY_BEGINS = re.compile(r"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----\s*")
EXAMPLE = re.compile(r"(?:.*/)?\.?env\.(?:example|sample|template|dist)|(?:.*/)?\.env\.example")
ENV_FILE = re.compile(r"(?:.*/)?(?:\.env(?:\.[\w.-]+)?|[\w.-]*\.env(?:\.[\w-]+)?)")
ASSIGNMENT = re.compile(
    r"(?<![\w$./-])(?P<name>[A-Za-z_]\w*)=(?P<value>\"[^\"]*\"|'[^']*'|\$\([^)]*\)|[^\s;&|)\"']+)"
)
OPTION = re.compile(
    r"(?:--(?:api-?key|token|password|passphrase|secret|requirepass)[ =]|\brequirepass\s+"
    r"|\blogin\b[^\n|]*\s-p[ =]?|\bcurl\b[^\n|]*\s(?:-u|--user)[ =][^\s:]+:)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"';|&)]+)"
)
LINE = re.compile(
    r"^\s*(?:export\s+|set\s+)?[\"']?(?P<name>[\w.-]+)[\"']?\s*(?:::?=|\?=|\+=|[:=])\s*"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^#\n]*?)\s*,?\s*(?:[#;].*)?$"
)
IN_PROGRAM = re.compile(
    r"(?P<name>[A-Za-z_][\w-]*)[\"']?\s*(?::\s*\w+\s*)?[:=]\s*(?P<quote>[\"'`])(?P<value>[^\"'`\n]+)(?P=quote)"
)
HEADER = re.compile(r"(?i)(?P<name>x-api-key|authorization)[\"']?\s*:\s*(?P<value>[^\s\"',]+)")
Place = tuple[int, str]


def is_program(file: str) -> bool:
    """Tell whether a file is code: Python, JavaScript, HTML, a notebook, a script."""
    return splitext(file)[1] in PROGRAMS | SHELL


def is_configuration(file: str) -> bool:
    """Tell whether a file says how the service is built, deployed or set."""
    name = basename(file)
    return bool(
        DOCKERFILE.fullmatch(file)
        or YAML.fullmatch(file)
        or ENV_FILE.fullmatch(file)
        or splitext(name)[1] in SETTINGS | SHELL | KEYS
        or name in {"Makefile", "makefile", "GNUmakefile"}
    )


def secrets_in(project: Project, file: str) -> list[Place]:
    """Return (line, name) of every secret that stands as text in a file; nothing of tests."""
    if in_tests(file):
        return []
    text = project.text(file)
    suffix = splitext(file)[1]
    if suffix == ".py":
        tree = python_code.parse(text)
        found = list(python_code.secrets(tree)) if tree else list(in_program(text))
    elif suffix == ".ipynb":
        found = list(_in_notebook(text))
    elif suffix in PROGRAMS:
        found = list(in_program(text))
    elif DOCKERFILE.fullmatch(file):
        found = list(_in_dockerfile(text))
    elif YAML.fullmatch(file):
        found = list(_in_yaml(project, file))
    elif suffix in SHELL or file in project.scripts:
        found = list(in_script(text))
    else:
        found = [*_in_lines(text), *in_script(text)]
    return sorted(set(found))


def in_program(text: str, first: int = 1) -> Iterator[Place]:
    """Yield the secrets of a program that is not Python."""
    for number, line in enumerate(text.splitlines(), first):
        if known_secret(line):
            yield number, "a text of this form"
        for match in IN_PROGRAM.finditer(line):
            if is_secret_name(match["name"]) and is_value_in_code(match["value"], match["name"]):
                yield number, match["name"]


def in_script(text: str, first: int = 1) -> Iterator[Place]:
    """Yield the secrets of a shell script, or of a text that holds commands."""
    for number, line in enumerate(text.splitlines(), first):
        if line.lstrip().startswith("#"):
            continue
        if known_secret(line) or KEY_BEGINS.fullmatch(line):
            yield number, "a text of this form"
        for match in ASSIGNMENT.finditer(line):
            if is_secret_name(match["name"]) and is_value(match["value"], match["name"]):
                yield number, match["name"]
        for match in OPTION.finditer(line):
            if is_value(match["value"]):
                yield number, "the option's value"
        for match in HEADER.finditer(line):
            if is_value(match["value"]) and match["value"].lower() not in {"bearer", "basic"}:
                yield number, match["name"]


def in_env_file(text: str) -> Iterator[Place]:
    """Yield the secrets of an env file."""
    yield from _in_lines(text)
    for number, line in enumerate(text.splitlines(), 1):
        if known_secret(line):
            yield number, line.split("=")[0].strip("# ")


def _in_lines(text: str) -> Iterator[Place]:
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.match(line)
        if not match or line.lstrip().startswith(("#", ";", "//")):
            continue
        name, value = match["name"], match["value"]
        if value.startswith(("{", "[")):
            continue
        if is_secret_name(name) and is_value(value, name):
            yield number, name


def _in_notebook(text: str) -> Iterator[Place]:
    try:
        cells = json.loads(text).get("cells", [])
    except (ValueError, AttributeError):
        return
    for cell in cells:
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        code = source if isinstance(source, str) else "".join(source)
        plain = re.sub(r"(?m)^\s*[%!].*$", "", code)
        tree = python_code.parse(plain)
        found = python_code.secrets(tree) if tree else in_program(plain)
        lines = code.splitlines()
        for number, name in {*found, *in_script(code)}:
            row = json.dumps(lines[number - 1], ensure_ascii=False)[1:-1] if lines else ""
            yield text.count("\n", 0, max(text.find(row), 0)) + 1, name


def _in_dockerfile(text: str) -> Iterator[Place]:
    for one in dockerfile.read(text):
        named: list[tuple[str, str]] = []
        if one.keyword in {"ENV", "LABEL", "ARG"}:
            words = dockerfile.split_words(one.value)
            named = [(word.partition("=")[0], word.partition("=")[2]) for word in words]
            if one.keyword == "ENV" and words and "=" not in words[0]:
                named = [(words[0], " ".join(words[1:]))]
        elif one.keyword in {"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK"}:
            yield from ((one.line, name) for _, name in in_script(one.script))
        for name, value in named:
            if known_secret(value) or (is_secret_name(name) and is_value(value, name)):
                yield one.line, name


def _in_yaml(project: Project, file: str) -> Iterator[Place]:
    try:
        content = project.yaml(file)
    except BrokenFileError:
        yield from _in_lines(project.text(file))
        return
    for key, value in yaml_text.scalars(content):
        if key.lower() != "secrets" and is_secret_name(key) and is_value(value, key):
            yield value.line, key
        yield from in_script(value, value.line)
    yield from _in_pairs(content)


def _in_pairs(content: object, name: str = "") -> Iterator[Place]:
    """Yield the secrets that stand beside their names.

    So they do in ``{name: X, value: Y}``, ``X: {default: Y}`` and ``[--x, Y]``.
    """
    if isinstance(content, Map):
        pairs = {name: content.get("default"), str(content.get("name", "")): content.get("value")}
        for own, value in pairs.items():
            if isinstance(value, Text) and is_secret_name(own) and is_value(value, own):
                yield value.line, own
        for key, one in content.items():
            yield from _in_pairs(one, key)
    elif isinstance(content, Seq):
        for option, value in itertools.pairwise(content):
            if str(option).startswith("-") and not str(value).startswith(("-", "{", "[")):
                yield from in_script(f"{option} {value}", getattr(value, "line", 1))
        for one in content:
            yield from _in_pairs(one)
