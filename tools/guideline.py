"""Writes the documents that come from the table of clauses: ``make guideline``.

``tests/guideline/clauses.toml`` of the project is the one source. From it come ``GUIDELINE.md`` of
a project and ``docs/guideline.md`` of the template, in both languages.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from tools.environments import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
SUITE = PROJECT / "tests" / "guideline"
Clause = dict[str, Any]
SECTIONS = {
    "S2": ("Branches", "브랜치 전략"),
    "S3": ("Continuous integration", "CI"),
    "S4": ("Image", "Docker 이미지"),
    "S5": ("Continuous deployment", "CD"),
    "S6": ("Secrets", "Secret 관리"),
    "S7": ("Monitoring and rollback", "모니터링 및 롤백"),
    "S8": ("Rules for agents", "에이전트 수칙"),
}
HEADS = {
    "en": (
        """# The deployment guideline, clause by clause

{link}What the KevinCY-Kodex *Deployment & CI/CD Guideline*, version {version}, asks for, which
files fulfil it, and which check in `tests/guideline/` holds the project to it. `make guideline`
runs them all; a failure names the clause, the file and line, and the fix.
""",
        "| clause | since | what it asks for | files | check |",
    ),
    "ko": (
        """# 배포 지침 조항표

{link}KevinCY-Kodex *Deployment & CI/CD Guideline* {version}이 요구하는 것, 그것을 지키는 파일,
그것을 검사하는 `tests/guideline/`의 테스트입니다. `make guideline`으로 모두 돌립니다. 실패하면
조항, 파일과 줄, 고치는 방법을 알려 줍니다.
""",
        "| 조항 | 도입 | 요구 사항 | 파일 | 검사 |",
    ),
}
LINKS = {
    "guideline.md": "[한국어](guideline.ko.md)\n\n",
    "guideline.ko.md": "[English](guideline.md)\n\n",
}


def clauses() -> list[Clause]:
    """Return the table's clauses, in its order."""
    table: list[Clause] = tomllib.loads((SUITE / "clauses.toml").read_text("utf-8"))["clause"]
    return table


def checks() -> dict[str, list[str]]:
    """Return the tests that guard each clause, as ``file::function``."""
    found: dict[str, list[str]] = {}
    for file in sorted(SUITE.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for clause in _guarded(node):
                    found.setdefault(clause, []).append(f"{file.name}::{node.name}")
    return found


def documents() -> dict[Path, str]:
    """Return the text of every document that comes from the table."""
    texts = {}
    for language in HEADS:
        texts[PROJECT / f"GUIDELINE.{language}.md"] = page(language, "")
        name = "guideline.md" if language == "en" else "guideline.ko.md"
        texts[ROOT / "docs" / name] = page(language, LINKS[name])
    return texts


def page(language: str, link: str) -> str:
    """Return a document in a language.

    Args:
        language: ``en`` or ``ko``.
        link: a line to the other language's document.
    """
    table, guards = clauses(), checks()
    head, columns = HEADS[language]
    version = max(clause["since"] for clause in table)
    parts = [head.format(link=link, version=version)]
    for section, members in groupby(table, lambda clause: str(clause["id"]).partition(".")[0]):
        title = SECTIONS[section][language == "ko"]
        rows = "\n".join(_row(clause, guards, language) for clause in members)
        parts.append(f"\n## {section} {title}\n\n{columns}\n|---|---|---|---|---|\n{rows}\n")
    return "".join(parts)


def main() -> None:
    """Write every document."""
    for file, text in documents().items():
        file.write_text(text, "utf-8")


def _row(clause: Clause, guards: dict[str, list[str]], language: str) -> str:
    files = ", ".join(f"`{name}`" for name in clause["files"])
    tests = ", ".join(f"`{name}`" for name in guards.get(clause["id"], []))
    statement = escape(clause[language], quote=False).replace("__", r"\_\_")
    return f"| {clause['id']} | {clause['since']} | {statement} | {files} | {tests} |"


def _guarded(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the clauses that a test's decorator names: ``@guards("S4.3")``."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "guards":
            values = (arg.value for arg in decorator.args if isinstance(arg, ast.Constant))
            yield from (value for value in values if isinstance(value, str))


if __name__ == "__main__":
    main()
