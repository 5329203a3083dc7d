"""What a team does to its project: edits of places that an update must keep, or tell of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Edit = Callable[[Path], None]
NEW_FILE = "notes/안내 문서.md"


def replace(project: Path, name: str, old: str, new: str) -> None:
    """Replace a text that stands once in a file."""
    text = (project / name).read_text("utf-8")
    assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
    (project / name).write_text(text.replace(old, new), "utf-8")


def append(project: Path, name: str, text: str) -> None:
    """Add a text at the end of a file."""
    with (project / name).open("a", encoding="utf-8") as file:
        file.write(text)


def change_a_function(project: Path) -> None:
    line = 'return " ".join("".join(kept).split())'
    replace(project, "app/utils/text.py", line, f'{line}.strip("~")')


def add_a_function(project: Path) -> None:
    text = '\n\ndef mask_all(texts: Iterable[str]) -> list[str]:\n    """Mask each."""\n'
    append(project, "app/utils/masking.py", f"{text}    return [mask(text) for text in texts]\n")


def add_a_file(project: Path) -> None:
    (project / "notes").mkdir()
    (project / NEW_FILE).write_text("# 안내\n\nHello.\n", "utf-8")


def move_a_function(project: Path) -> None:
    """Move one to the end of its file, of which the template changes another part."""
    file = project / "deploy/stack.py"
    head, _, rest = file.read_text("utf-8").partition("def pinned(")
    body, _, tail = rest.partition("def fragment(")
    assert tail
    file.write_text(f"{head}def fragment({tail}\n\ndef pinned({body.rstrip()}\n", "utf-8")


def install_a_build_tool(project: Path) -> None:
    """Extend a line of the Dockerfile that the template leaves alone."""
    replace(project, "Dockerfile", "build-essential=12.*", "build-essential=12.* git=1:*")


def extend_the_workflow(project: Path) -> None:
    step = "      - name: Show what is installed\n        run: .venv/bin/pip list\n"
    scan = "        run: make scan\n"
    replace(project, ".github/workflows/ci.yml", scan, scan + step)


def add_a_section(project: Path) -> None:
    replace(project, "README.md", "## Secrets\n", "## Our servers\n\nThey hum.\n\n## Secrets\n")


def delete_a_file(project: Path) -> None:
    (project / "tests/unit/utils/test_subtitles.py").unlink()


def delete_what_the_template_changes(project: Path) -> None:
    (project / "tests/unit/deploy/test_stack.py").unlink()


def rename_what_the_template_changes(project: Path) -> None:
    (project / "compose.yaml").rename(project / "docker-compose.yaml")


def change_a_binary(project: Path) -> None:
    with (project / "tests/data/speech.wav").open("ab") as file:
        file.write(b"\x00\xff\r\n\x00")


def make_it_executable(project: Path) -> None:
    (project / "main.py").chmod(0o755)


def change_a_setting(project: Path) -> None:
    old = next(
        line
        for line in (project / "settings.toml").read_text("utf-8").splitlines()
        if line.startswith("stt_model = ")
    )
    replace(project, "settings.toml", old, 'stt_model = "medium"')


def add_a_dependency(project: Path) -> None:
    line = '    "obstore>=0.12.1",\n'
    replace(project, "pyproject.toml", line, line + '    "orjson>=3.11",\n')


def add_a_make_target(project: Path) -> None:
    comment = "# The first folder among pip's sources of wheels, if there is one.\n"
    target = "docs: ## Build the documents\n\t$(BIN)/python -m docs\n\n"
    replace(project, "Makefile", comment, target + comment)


def ignore_more(project: Path) -> None:
    append(project, ".gitignore", "*.sqlite3\n")


def end_lines_as_windows_does(project: Path) -> None:
    """Rewrite a file that the template changes."""
    file = project / "deploy/stack.yaml"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))


EDITS: tuple[Edit, ...] = (
    change_a_function,
    add_a_function,
    add_a_file,
    move_a_function,
    install_a_build_tool,
    extend_the_workflow,
    add_a_section,
    delete_a_file,
    delete_what_the_template_changes,
    rename_what_the_template_changes,
    change_a_binary,
    make_it_executable,
    change_a_setting,
    add_a_dependency,
    add_a_make_target,
    ignore_more,
    end_lines_as_windows_does,
)


def install_a_program(project: Path) -> None:
    """Extend a line of the Dockerfile that the template changes."""
    replace(project, "Dockerfile", "libgomp1=1*", "libgomp1=1* sox=14.*")


def add_a_step_where_the_template_does(project: Path) -> None:
    place = "      - name: Install dependencies\n"
    step = "      - name: Free the disk\n        run: sudo rm -rf /opt/ghc\n"
    replace(project, ".github/workflows/ci.yml", place, step + place)


def declare_a_make_target(project: Path) -> None:
    replace(project, "Makefile", ".PHONY: help ", ".PHONY: docs help ")


def write_rules_for_agents(project: Path) -> None:
    """Add a file that the template brings too."""
    (project / "AGENTS.md").write_text("# House rules\n\nBe kind.\n", "utf-8")


CONFLICTS: tuple[Edit, ...] = (
    install_a_program,
    add_a_step_where_the_template_does,
    declare_a_make_target,
    write_rules_for_agents,
)


def work(project: Path, edits: tuple[Edit, ...]) -> None:
    """Make edits."""
    for edit in edits:
        edit(project)
