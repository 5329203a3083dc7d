"""The suite's parsers: Dockerfiles against BuildKit's own, the others against cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dockerfile as buildkit
import pytest

from tests.conftest import Render
from tests.guideline.conftest import Part

HOSTILE = {
    "continued": "FROM a\nRUN one \\\n  && two \\  \n  && three\nCMD x\n",
    "comments inside": "FROM a\nRUN one \\\n# not this\n\n  && two\nUSER b\n",
    "escape directive": "# escape=`\nFROM a\nRUN dir C:\\ `\n  && two\n",
    "directive after comment": "# a comment\n# escape=`\nFROM a\nRUN one \\\n  two\n",
    "syntax and escape": "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN one `\n two\n",
    "windows line ends": "FROM a AS b\r\nRUN one \\\r\n  two\r\nUSER c\r\n",
    "here-document": "FROM a\nRUN <<EOF\nset -e\n# kept\nFROM no\nEOF\nUSER b\n",
    "here-documents": "FROM a\nRUN cat <<A <<'B' && x\none\nA\ntwo\nB\nUSER b\n",
    "tabs in a here-document": "FROM a\nRUN <<-EOF\n\tone\n\tEOF\nUSER b\n",
    "copied here-document": 'FROM a\nCOPY <<"EOF" /x\n$HOME\nEOF\nUSER b\n',
    "no here-document": "FROM a\nRUN x <<< y\nRUN echo $((1<<2))\nUSER b\n",
    "flags": "FROM --platform=$X a AS b\nRUN --mount=type=cache,target=/c --network=none x --y\n"
    "COPY --from=b --chown=1:2 c d\n",
    "exec forms": 'FROM a\nRUN ["a", "b c"]\nCMD [ "x" ]\nENTRYPOINT [not json]\n'
    'SHELL ["sh", "-c"]\n',
    "onbuild": "FROM a\nONBUILD RUN x \\\n y\nONBUILD COPY . .\nUSER b\n",
    "lower case": "from a as b\nrun x\nuser c\n",
    "indented": "  FROM a\n\tRUN x\n  # comment\n",
    "health check": "FROM a\nHEALTHCHECK --interval=5s CMD x || exit 1\nHEALTHCHECK NONE\n",
    "byte order mark": "\ufeffFROM a\nUSER b\n",
    "no line end": "FROM a\nUSER b",
    "quotes": 'FROM a\nENV A="b c" D=\'e # f\' G=h\\ i\nLABEL x="y\\\n z"\n',
    "continued to the end": "FROM a\nRUN x \\\n",
}
IGNORED = [
    # (lines of .dockerignore, path, kept out)
    ("data", "data/x", True),
    ("data/", "data/x/y", True),
    ("/data", "data/x", True),
    ("data", "app/data/x", False),
    ("**/data", "app/data/x", True),
    ("**/data", "data", True),
    ("*.env", "a.env", True),
    ("*.env", "deploy/a.env", False),
    ("**/.env*", ".env.local", True),
    ("**/.env*", "deploy/.env", True),
    ("**", "any/thing", True),
    ("*", "any/thing", True),
    ("*\n!app", "app/x.py", False),
    ("*\n!app\n**/*.pyc", "app/x.pyc", True),
    ("!app\n*", "app/x.py", True),
    ("app\n!app/keep", "app/keep/x", False),
    ("app/*\n!app/keep", "app/other", True),
    ("# data", "data/x", False),
    (" # data", "data/x", False),
    ("  data  ", "data/x", True),
    ("data\r\n!data/x\r\n", "data/x", False),
    ("\ufeffdata", "data/x", True),
    ("./data", "data/x", True),
    ("a/../data", "data/x", True),
    ("da?a", "data/x", True),
    ("d[a-c]ta", "data/x", True),
    ("d[^a]ta", "data/x", False),
    ("a**b", "axxb", False),
    ("a**b", "a/x/b", True),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/x/y/b", True),
    ("a/**", "a", False),
    ("a.b", "axb", False),
    ("x+(y)", "x+(y)/z", True),
    ("\\*", "*", True),
    ("\\*", "x", False),
    ("! app\n", "app/x", False),
    ("*\n! app", "app/x", False),
    ("!", "app/x", False),
]
SCRIPTS = [
    # (script, with set -e, the programs whose failure fails the script)
    ("a; b", True, "a b"),
    ("a; b", False, "b"),
    ("a\nb", True, "a b"),
    ("a || true", True, "true"),
    ("a || :", True, ":"),
    ("a || exit 1", True, "a exit"),
    ("a || { echo no; exit 1; }", True, "a exit echo"),
    ("a || echo no", True, "echo"),
    ("a && b", True, "a b"),
    ("a && b\nc", True, "b c"),
    ("a; true", False, "true"),
    ("set +e\na\nb", True, "set b"),
    ("set -e\na\nb", False, "a b"),
    ("a | tee x", True, "tee"),
    ("set -o pipefail\na | tee x", True, "set a tee"),
    ("a &\nb", True, "b"),
    ("! a", True, ""),
    ("if a; then b; fi", True, "b"),
    ("if ! a; then exit 1; fi", True, "a exit"),
    ("(a; b) || true", True, "true"),
    ("fail() { echo x; exit 1; }\na || fail x", True, "a echo exit fail"),
    ("for x in 1; do a; done", True, "a"),
    ("x=$(a)", True, "a"),
    ("sh -c 'a; b'", True, "sh b"),
    ("sh -ec 'a; b'", True, "sh a b"),
    ("ssh host 'a && b'", True, "ssh a b"),
    ("cat <<E\na\nE\nb", True, "cat b"),
    ("a \\\n  x # b\n", True, "a"),
    ("echo 'a; b' \"c; d\"", True, "echo"),
    ("sudo -u x env A=1 a", True, "a"),
    ("python3 -m a x", True, "a"),
    ("uv run --group dev a", True, "a"),
]


def ours(module: Any, text: str) -> list[tuple[Any, ...]]:
    """Return what the suite reads in a Dockerfile."""
    return [
        (
            one.keyword,
            one.line,
            one.end_line,
            one.flags,
            one.words is not None or one.keyword == "HEALTHCHECK",
            tuple((text.name, text.content) for text in one.heredocs),
        )
        for one in module.read(text)
    ]


def theirs(text: str) -> list[tuple[Any, ...]]:
    """Return what BuildKit reads in a Dockerfile."""
    return [
        (
            (one.sub_cmd or one.cmd).upper(),
            one.start_line,
            one.end_line,
            tuple(one.flags),
            bool(one.json) or one.cmd.upper() == "HEALTHCHECK",
            tuple((text.name, text.content) for text in one.heredocs),
        )
        for one in buildkit.parse_string(text)
    ]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_dockerfiles_are_read_as_buildkit_reads_them(text: str, part: Part) -> None:
    # Given a Dockerfile that is hard to read, When both read it, Then they read the same
    assert ours(part("dockerfile"), text) == theirs(text)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_own_dockerfiles_are_read_as_buildkit_reads_them(
    device: str, part: Part, render: Render
) -> None:
    # Given a project's Dockerfile
    text = (render({"device": device}) / "Dockerfile").read_text("utf-8")
    # When both read it, Then they read the same
    assert ours(part("dockerfile"), text) == theirs(text)
    assert len(theirs(text)) > 30


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A", "1"),
        ("${A}", "1"),
        ("${A:-x}", "1"),
        ("${B:-x}", "x"),
        ("${B-x}", ""),
        ("${C-x}", "x"),
        ("${C:-$A}", "1"),
        ("${A:+x}", "x"),
        ("${B:+x}", ""),
        (r"\$A", "$A"),
        ("a${A}b$C", "a1b"),
    ],
)
def test_variables_are_filled_in(text: str, value: str, part: Part) -> None:
    # Given a text and variables, When it is expanded, Then it is what the builder makes of it
    assert part("dockerfile").expand(text, {"A": "1", "B": ""}) == value


def test_stages_know_where_they_come_from(part: Part) -> None:
    # Given stages that are built on, copied from and mounted in others
    text = (
        "ARG BASE=x:1\nFROM ${BASE} AS base\nFROM base AS one\nFROM x:2 AS two\nFROM x:3 AS three\n"
        "FROM x:4 AS unused\nFROM one\nCOPY --from=two a b\nRUN --mount=from=three,target=/t c\n"
    )
    parsed = part("dockerfile").parse(text, "Dockerfile")
    final = parsed.stage("")
    # When the last one is followed, Then its chain and everything that reaches it are known
    assert [stage.name for stage in parsed.chain(final, {})] == ["base", "one", ""]
    reaching = [stage.name for stage in parsed.reaching(final, {})]
    assert reaching == ["base", "one", "two", "three", ""]
    assert parsed.base_of(parsed.stages[0], {}) == "x:1"
    assert parsed.base_of(parsed.stages[0], {"BASE": "y"}) == "y"


@pytest.mark.parametrize(("lines", "path", "kept_out"), IGNORED)
def test_dockerignore(lines: str, path: str, kept_out: bool, part: Part, tmp_path: Path) -> None:
    # Given a .dockerignore
    (tmp_path / ".dockerignore").write_bytes(lines.encode())
    # When it is asked about a file, Then it answers as the builder does
    assert part("ignores").docker_ignores(tmp_path, path) is kept_out


def test_a_dockerfiles_own_ignore_file_comes_first(part: Part, tmp_path: Path) -> None:
    # Given two of them
    (tmp_path / ".dockerignore").write_text("data\n", "utf-8")
    (tmp_path / "worker.Dockerfile.dockerignore").write_text("models\n", "utf-8")
    ignores = part("ignores").docker_ignores
    # When each Dockerfile's is asked, Then the one counts that bears its name
    assert ignores(tmp_path, "data/x") is True
    assert ignores(tmp_path, "data/x", "worker.Dockerfile") is False
    assert ignores(tmp_path, "models/x", "worker.Dockerfile") is True


@pytest.mark.parametrize(("script", "errexit", "fatal"), SCRIPTS)
def test_failures_of_commands(script: str, errexit: bool, fatal: str, part: Part) -> None:
    # Given a script
    found = part("shell").commands(script, errexit=errexit)
    # When its commands are read, Then those are known whose failure fails it
    assert sorted(one.program for one in found if one.fatal and one.words) == sorted(fatal.split())


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("", True),
        ("false", False),
        ("${{ false }}", False),
        ("github.event_name == 'push'", True),
        ("github.event_name != 'push'", False),
        ("github.ref == 'refs/heads/main' && github.event_name == 'push'", True),
        ("startsWith(github.ref, 'refs/tags/')", False),
        ("!startsWith(github.ref, 'refs/tags/')", True),
        ("always()", True),
        ("failure()", False),
        ("vars.ON == 'yes'", None),
        ("false && vars.ON", False),
        ("true || vars.ON", True),
        ("contains(github.ref, 'main')", True),
        ("(github.event_name == 'x' || false) && true", False),
    ],
)
def test_conditions(condition: str, value: bool | None, part: Part) -> None:
    # Given a push to main
    context = {"github.event_name": "push", "github.ref": "refs/heads/main"}
    # When a condition is evaluated, Then it is what GitHub makes of it, None where that is open
    assert part("expressions").evaluate(condition, context) is value


@pytest.mark.parametrize(
    ("on", "names"),
    [
        ("push", {"a push to main", "a push to example", "a push of the tag v1.2.3"}),
        ("[push, pull_request]", {"a pull request to main", "a push to feature/example"}),
        ("{push: {branches: [main]}}", {"a push to main"}),
        ("{push: {branches: ['**', '!main']}}", {"a push to feature/example"}),
        ("{push: {tags: ['v*']}}", {"a push of the tag v1.2.3"}),
        ("{push: {branches-ignore: [main]}}", {"a push to example"}),
        ("{workflow_dispatch: }", {"workflow_dispatch"}),
    ],
)
def test_triggers(on: str, names: set[str], part: Part) -> None:
    # Given a workflow whose triggers are written in one of the ways that there are
    text = f"on: {on}\njobs:\n  a:\n    steps: []\n"
    # When its events are listed
    found = {str(event) for event in part("workflows").parse(text, "x.yml").events()}
    # Then they are there, and main only where it is let in
    assert names <= found
    assert ("a push to main" in found) == ("a push to main" in names or on.startswith("[push"))


def test_overlays_are_merged(part: Part) -> None:
    # Given a compose file with an anchor, and an overlay
    files = {
        "compose.yaml": "x: &x\n  image: a\nservices:\n  s:\n    <<: *x\n"
        "    volumes: ['d:/data:ro', '/anon']\n"
        "    environment: [A=1, B=2]\n",
        "compose.more.yaml": "services:\n  s:\n    volumes:\n      - {type: tmpfs, target: /data}\n"
        "    environment: {B: '3'}\n  t: {image: '${I:-b}'}\n",
    }
    load = part("yaml_text").load
    compose = part("compose")
    # When they are merged
    groups = compose.groups(sorted(files))
    made = compose.deployment(groups[0], lambda file: load(files[file], file), {})
    # Then the overlay wins where it says something
    assert sorted(groups, key=len) == [("compose.yaml",), ("compose.yaml", "compose.more.yaml")]
    service = made.services["s"]
    assert service.image == "a"
    assert made.services["t"].image == "b"
    assert dict(service.environment) == {"A": "1", "B": "3"}
    assert {(one.kind, one.target) for one in service.mounts()} == {
        ("tmpfs", "/data"),
        ("anonymous", "/anon"),
    }
    assert service.mount_at("/data/x").file == "compose.more.yaml"


@pytest.mark.parametrize(
    ("target", "programs"),
    [("lint", ["tool", "ruff"]), ("all", ["tool", "ruff", "pytest"]), ("soft", ["ruff"])],
)
def test_make_targets(target: str, programs: list[str], part: Part) -> None:
    # Given a Makefile
    text = (
        "BIN := venv/bin\nall: lint\n\t@$(BIN)/pytest\nlint: tool\n\t$(BIN)/ruff \\\n\t  check\n"
        "tool:\n\ttool\nsoft:\n\t-ruff\n"
    )
    made = part("makefile").parse(text, "Makefile")
    # When a target is made, Then its needs come first, and a - lets failures pass
    found = list(made.commands(target))
    assert [one.program for one in found] == programs
    assert all(one.fatal for one in found) is (target != "soft")
