"""The suite's reader of shell scripts: against cases, and what becomes of failures against bash."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.guideline.conftest import Part

# Each script with its commands: their words, and whether the script fails with them.
READ: list[tuple[str, list[tuple[str, bool]]]] = [
    ("", []),
    ("# nothing\n\n", []),
    ("one; two", [("one", False), ("two", True)]),
    ("one\r\ntwo\r\n", [("one", False), ("two", True)]),
    ("one \\\n  --a 'b c' \\\n  \"d $E\"x\n", [("one --a b c d $Ex", True)]),
    ("one a \\\nb \\$c \"\\$d \\e\" $'f'", [("one a b $c $d \\e f", True)]),
    ("one \\", [("one \\", True)]),
    ("one # two; three \"\ntwo a#b", [("one", False), ("two a#b", True)]),
    ("one *.py {a,b} ~/c a=b", [("one *.py {a,b} ~/c a=b", True)]),
    # failures
    ("one || true", [("one", False), ("true", True)]),
    ("one || :", [("one", False), (":", True)]),
    ("one; true", [("one", False), ("true", True)]),
    ("one || exit 0", [("one", False), ("exit 0", True)]),
    ("one || exit 1; two", [("one", True), ("exit 1", False), ("two", True)]),
    ("set -e; one; two", [("set -e", False), ("one", True), ("two", True)]),
    (
        "set -e\none\nset +e\ntwo\nthree",
        [("set -e", False), ("one", True), ("set +e", True), ("two", False), ("three", True)],
    ),
    ("one | two", [("one", False), ("two", True)]),
    (
        "set -euo pipefail\none | two",
        [("set -euo pipefail", False), ("one", True), ("two", True)],
    ),
    ("one & two", [("one", False), ("two", True)]),
    ("! one", [("one", False)]),
    ("if one; then two; fi", [("one", False), ("two", True)]),
    ("if ! one; then exit 1; fi; two", [("one", True), ("exit 1", False), ("two", True)]),
    (
        "if one; then two; else exit 1; fi; three",
        [("one", True), ("two", False), ("exit 1", False), ("three", True)],
    ),
    ("while one; do two; done; three", [("one", False), ("two", False), ("three", True)]),
    ("(one; two) || true", [("one", False), ("two", False), ("true", True)]),
    ("(one || exit 1) || true", [("one", False), ("exit 1", False), ("true", True)]),
    ("x=$(one)", [("one", True), ("", True)]),
    ("export x=$(one)", [("one", False), ("export x=$(one)", True)]),
    ("f() { one; }; f || true", [("f", False), ("one", False), ("true", True)]),
    ("f() { one; }; two", [("two", True), ("one", False)]),
    ("die() { exit 1; }; one || die; two", [
        ("one", True), ("die", False), ("exit 1", False), ("two", True),
    ]),
    # what stands in others
    ("bash -c 'one; two' || true", [
        ("bash -c one; two", False), ("one", False), ("two", False), ("true", True),
    ]),
    ("bash -ec 'one; two'", [("bash -ec one; two", True), ("one", True), ("two", True)]),
    ('eval "one | two"', [("eval one | two", True), ("one", False), ("two", True)]),
    ("ssh -p 22 host 'one; two'", [
        ("ssh -p 22 host one; two", True), ("one", False), ("two", True),
    ]),
    ("sudo bash <<EOF\none\nEOF", [("sudo bash", True), ("one", True)]),
    ("one `two` \"$(three | four)\"", [
        ("two", False), ("three", False), ("four", False), ('one `two` $(three | four)', True),
    ]),
    ("one <(two)", [("two", False), ("one <(two)", True)]),
    ("cat <<EOF | one || true\n$(two)\nthree\nEOF\nfour", [
        ("two", False), ("cat", False), ("one", False), ("true", False), ("four", True),
    ]),
    ("cat <<'EOF' <<B; one\n$(two)\nEOF\nB", [("cat", False), ("one", True)]),
    ("if cat <<A; then one; fi\nAB\n A\nA\ntwo", [("cat", False), ("one", False), ("two", True)]),
    ("cat <<EOF|one\n$(two\nEOF\nthree", [("cat", False), ("one", False), ("three", True)]),
    ("echo $((1<<A)) <<<B 'c <<D' # <<E", [("echo $((1<<A)) c <<D", True)]),
    ("case $1 in a|b) one ;; *) two ;; esac", [("one", True), ("two", True)]),
    ("for x in $(one); do two; done", [("one", False), ("two", True)]),
    ("function f { one; }", [("one", False)]),
    ("for ((i = 0; i < 3; i++)); do one; done", [("one", True)]),
    ('[[ -n "$A" && $B =~ ^v[0-9]+$ ]] && one', [
        ("[[ -n $A && $B =~ ^v[0-9]+$ ]]", True), ("one", True),
    ]),
    ("one > out 2>&1 --late", [("one --late", True)]),
    ("one | two | three\nfour > a && five", [
        ("one", False), ("two", False), ("three", False), ("four", True), ("five", True),
    ]),
    ("[ $# = 1 ] && one > a\n[ -n \"$2\" ] && two", [
        ("[ $# = 1 ]", False), ("one", False), ("[ -n $2 ]", True), ("two", True),
    ]),
    ("a= b=\nif one; then two; fi", [("", False), ("one", False), ("two", True)]),
    ('export "A=$B" C=\'d e\'; for x do one; done', [("export A=$B C=d e", False), ("one", True)]),
    ("x=${A:+$B;} one 2>&1 ${C:?it's}", [("one ${C:?it's}", True)]),
    # what is filled in before a shell reads it
    ("one ${{ a.b && 'c d' || 'e' }}-f && two", [
        ("one ${{ a.b && 'c d' || 'e' }}-f", True), ("two", True),
    ]),
    ("${{ inputs.run }} || true", [("${{ inputs.run }}", False), ("true", True)]),
    ("$(PYTHON) -m pytest $(ARGS)", [
        ("PYTHON", False), ("ARGS", False), ("$(PYTHON) -m pytest $(ARGS)", True),
    ]),
    (": \"${KEY:?KEY isn't set; see (docs)}\"; one", [
        (": ${KEY:?KEY isn't set; see (docs)}", False), ("one", True),
    ]),
    # no shell would run these to the end
    ("one || true\nif two; then three", [
        ("one", False), ("true", False), ("two", False), ("three", True),
    ]),
    ("one; fi; two", [("one", False), ("two", True)]),
    ("(one; two", [("one", False), ("two", True)]),
    ("one || ", [("one", True)]),
    ('one\ntwo "three', [("one", False), ("two three", True)]),
    ("one $(if $(A),--b) || true", [
        ("A", False), ("$(A),--b", False), ("one $(if $(A),--b)", False), ("true", True),
    ]),
    ("(" * 2000, []),
    (" && ".join(["one"] * 3000), []),
]  # fmt: skip

# Scripts of the commands one, two, three and four, for bash to tell what becomes of failures.
RUN = [
    "one; two",
    "one && two; three",
    "one || two",
    "one && two || three",
    "one || two && three",
    "one | two",
    "one | two | three; four",
    "set -o pipefail; one | two",
    "! one; two",
    "! one || two",
    "! one && exit 1; two",
    "! one | two; three",
    "one & wait; two",
    "one || exit 1; two",
    "one || { echo no; exit 1; }; two",
    "one || (exit 1); two",
    "(one || exit 1; two) || three",
    "(one; two); three",
    "(set -e; one; two); three",
    "(set -e; one; two) || three",
    "{ one; two; } && three",
    "{ one; two; } | three",
    "set +e; one; set -e; two; three",
    "(set +e; one); two",
    "if one; then two; fi; three",
    "if one && two; then three; else exit 1; fi; four",
    "if ! one; then exit 1; fi; two",
    "if false; then true; elif one; then two; else exit 2; fi; three",
    "if (one; two); then three; fi",
    "while ! one; do break; done; two",
    "for x in 1; do one; two; done; three",
    "case x in x) one; two ;; esac; three",
    "x=$(one); two",
    "x=$(one; two); three",
    'x="a $(one | two)" y=b; three',
    "export x=$(one); two",
    "echo $(one); two",
    "f() { one; two; }; f; three",
    "f() { one; two; }; f || three",
    "set -e; f() { one || return 1; two; }; f; three",
    "f() { f; }; one; two",
    "die() { echo no; exit 1; }; one || die; two",
    "bash -c 'one; two'; three",
    "bash -ec 'one; two'; three",
    "bash -ec 'one; two' || three",
    "eval 'one; two'; three",
    "bash <<< 'one; two'; three",
    "bash -e <<EOF\none\ntwo\nEOF\nthree",
    "cat <<EOF | one && two\nEOF\nthree",
    "set -e\none || true\ntwo",
]
NAMES = ("one", "two", "three", "four")
# Functions for bash: each reads its input, notes that it has run, and fails where it is told to.
FUNCTION = '() { cat > /dev/null; echo NAME >> "$LOG"; [ "$FAIL" != NAME ]; }'
FUNCTIONS = {f"BASH_FUNC_{name}%%": FUNCTION.replace("NAME", name) for name in NAMES}


def succeeds(script: str, failing: str, log: Path, *, errexit: bool) -> bool:
    """Run a script in bash, with one of its commands failing."""
    run = subprocess.run(
        ["bash", *(["-e"] * errexit), "-c", script],
        env={**os.environ, **FUNCTIONS, "LOG": str(log), "FAIL": failing},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return run.returncode == 0


def of(command: Any) -> tuple[str, bool]:
    return command.text, command.fatal


@pytest.mark.parametrize(("script", "expected"), READ, ids=[script[:40] for script, _ in READ])
def test_script_is_read(part: Part, script: str, expected: list[tuple[str, bool]]) -> None:
    # Given a script, When it is read, Then its commands are known, and which of them it needs
    assert [of(command) for command in part("shell").commands(script)] == expected


@pytest.mark.parametrize("errexit", [False, True], ids=["", "errexit"])
@pytest.mark.parametrize("script", RUN)
def test_bash_agrees(part: Part, tmp_path: Path, script: str, errexit: bool) -> None:
    # Given a script that ends well
    log = tmp_path / "log"
    assert succeeds(script, "none", log, errexit=errexit)
    ran = set(log.read_text("utf-8").split())
    # When each of its commands fails in turn
    found = part("shell").commands(script, errexit=errexit)
    fatal = {name for name in ran if not succeeds(script, name, log, errexit=errexit)}
    # Then the suite knows with which of them the script fails
    assert {one.text for one in found if one.fatal and one.text in ran} == fatal


@pytest.mark.parametrize(
    ("script", "index", "expected"),
    [
        ("one | two", 0, {"next": "two", "fed_by": ""}),
        ("A=1 sudo one | two", 1, {"next": "", "fed_by": "one"}),
        ("{ one; two; } | three", 0, {"next": "three"}),
        ("one | while read x; do two; done", 2, {"fed_by": "one"}),
        ("x=$(one)", 0, {"next": "$()"}),
        ("one > a", 0, {"redirected": "a"}),
        ("one 2> a >> b", 0, {"redirected": "b"}),
        ("one 2> a", 0, {"redirected": ""}),
        ("one >&2", 0, {"redirected": ""}),
        ("{ one; two > b; } > a", 0, {"redirected": "a"}),
        ("{ one; two > b; } > a", 1, {"redirected": "b"}),
        ("one && two > a", 0, {"redirected": ""}),
        ("one && two > a", 1, {"redirected": "a"}),
        ('one <<< "$A"', 0, {"fed_by": "<<", "input": "$A", "variables": ("A",)}),
        ("one <<E\na $B\n\\$C\nE", 0, {"input": "a $B\n\\$C\n", "variables": ("B",)}),
        ('one <<E\n"${{ a }}" ${B}\nE', 0, {"input": '"${{ a }}" ${B}\n', "variables": ("B",)}),
        ("one <<'E'\na $B\nE", 0, {"input": "a $B\n", "variables": ()}),
        ("one <<-E > a\n\tb\n\tE", 0, {"input": "b\n", "redirected": "a"}),
        ("one <<A>b\na\nA", 0, {"input": "a\n", "redirected": "b"}),
        ("one <<A | two\na\nA", 1, {"fed_by": "one", "input": ""}),
        ("one <<A; two <<B\na\nA\nb\nB\nthree", 1, {"input": "b\n"}),
        ("one <<A\na\nA\ntwo <<B\nb <<C\nB\nthree", 1, {"input": "b <<C\n", "line": 13}),
        ("yes | ssh host one", 2, {"text": "one", "fed_by": "yes"}),
        ("A=1 B=\"c $D\" one", 0, {"env": {"A": "1", "B": "c $D"}, "variables": ()}),
        ("A=1", 0, {"env": {"A": "1"}, "words": ()}),
        ("one $A \"${B:-$C}\" '$D' \\$E ${#F}", 0, {"variables": ("A", "B", "C", "F")}),
        ("one \"$(two $A)\" $B", 1, {"variables": ("B",)}),
        ("one $A${{ b.c }}", 0, {"variables": ("A",)}),
        ("\n\n  one\n", 0, {"line": 12}),
        ("one\n${{\n a }} b; two", 2, {"line": 12}),
        ("one && \\\n  two", 1, {"line": 11}),
        ("ssh host <<E\none\ntwo\nE", 2, {"text": "two", "line": 12, "input": ""}),
    ],
)  # fmt: skip
def test_command_is_known(part: Part, script: str, index: int, expected: dict[str, object]) -> None:
    # Given a script whose first line is line 10 of a file
    # When it is read
    command = part("shell").commands(script, line=10, file="x")[index]
    # Then what a command is given, and what becomes of its output, is known
    assert {name: getattr(command, name) for name in expected} == expected
    assert command.file == "x"


@pytest.mark.parametrize(
    ("words", "core"),
    [
        ("sudo -u app env A=1 timeout -k 5 60 pytest -q", "pytest -q"),
        ("python3.11 -W error -m pytest tests", "pytest tests"),
        ("$(PYTHON) -m ruff check", "ruff check"),
        ("uv run --group dev pytest", "pytest"),
        ("uv tool run ruff check", "ruff check"),
        ("uvx ruff check", "ruff check"),
        ("coverage run --branch -m pytest", "pytest"),
        ("poetry run python -m flake8", "flake8"),
        ("xargs -0 -n 1 rm", "rm"),
        ("python app.py", "python app.py"),
        ("env", "env"),
        ("", ""),
    ],
)
def test_wrappers_are_looked_through(part: Part, words: str, core: str) -> None:
    # Given a command that others run, When its core is asked for, Then it is the command itself
    command = part("shell").Command(tuple(words.split()), 1)
    assert command.core == tuple(core.split())
    assert command.program == "".join(core.split()[:1])


def test_arms_are_known(part: Part) -> None:
    # Given a script that judges a name
    script = """
    case "$NAME" in
      feature/?* | "fix/"*) echo good ;;
      (main) exit 0 ;;
      *) echo bad >&2; exit 1
    esac
    """
    # When its arms are asked for
    arms = part("shell").cases(script)
    # Then their patterns are known, and which of them refuse
    assert arms == [[(["feature/?*", "fix/*"], False), (["main"], False), (["*"], True)]]
