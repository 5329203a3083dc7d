"""What an update says of itself: for a terminal, and as Markdown for a pull request."""

from collections.abc import Iterator

from tools.template.clauses import Group
from tools.template.update import Update

# GitHub takes 65,536 characters in the text of a pull request.
MARKDOWN_MOST = 60_000


def versions(update: Update) -> str:
    """Return both versions, before and after, in a line."""
    old, new = (
        f"{template} (guideline {guideline})"
        for template, guideline in (update.before.versions, update.after.versions)
    )
    return f"template {old} -> {new}"


def summary(update: Update) -> Iterator[str]:
    """Yield the changed files by clause, and what the update leaves to a person."""
    for group in update.groups:
        yield ""
        yield from _heading(group)
        yield from (f"  {path}" for path in group.paths)
    yield from _notes(update)


def patch(update: Update) -> Iterator[str]:
    """Yield the difference by clause."""
    for group in update.groups:
        yield ""
        yield from (f"=== {line}" for line in _heading(group))
        for path in group.paths:
            yield update.bench.difference(path).rstrip("\n")
    yield from _notes(update)


def markdown(update: Update) -> str:
    """Return the difference by clause, as far as a pull request has room for it."""
    lines = [f"Updates the {versions(update)}.", ""]
    new = [one for one in update.clauses if one.since > update.before.versions[1]]
    if new and update.before.versions[1] != update.after.versions[1]:
        lines += [f"New in guideline {update.after.versions[1]}:", ""]
        lines += [f"- {clause.id} {clause.statement}" for clause in new] + [""]
    if update.merged.conflicts:
        lines += ["**Conflicts**, marked in the files as git marks them:", ""]
        lines += [f"- `{path}`" for path in update.merged.conflicts] + [""]
    lines += [f"- {note}" for note in _notes(update) if note]
    text = "\n".join(lines).rstrip() + "\n"
    for group in update.groups:
        section = _section(group, [update.bench.difference(path) for path in group.paths])
        if len(text) + len(section) > MARKDOWN_MOST:
            section = _section(group, [])
        if len(text) + len(section) > MARKDOWN_MOST:
            return f"{text}\nThere is more: see the files of this pull request.\n"
        text += section
    return text


def _heading(group: Group) -> list[str]:
    """Return a line for each clause of a group."""
    return [f"{clause.id} {clause.statement}" for clause in group.clauses] or [group.title]


def _section(group: Group, patches: list[str]) -> str:
    files = "\n".join(f"- `{path}`" for path in group.paths)
    clauses = "\n".join(f"> {line}" for line in _heading(group)) if group.clauses else ""
    text = "\n\n".join(part for part in (f"\n### {group.title}", clauses, files) if part)
    if not patches:
        return f"{text}\n"
    body = "".join(patches)
    fence = "`" * max(3, _longest_run(body) + 1)
    shown = f"<details><summary>Difference</summary>\n\n{fence}diff\n{body}{fence}\n</details>"
    return f"{text}\n\n{shown}\n"


def _longest_run(text: str) -> int:
    """Return how many backticks follow each other at most."""
    longest = 0
    while "`" * (longest + 1) in text:
        longest += 1
    return longest


def _notes(update: Update) -> Iterator[str]:
    if update.merged.left_out:
        yield ""
        yield "Left out, for this project has deleted them: " + ", ".join(update.merged.left_out)
    if ".env.example" in update.changes:
        yield ""
        yield ".env.example changes; .env is yours: see whether it needs the new lines."
    if update.dropped:
        yield ""
        yield "Answers that the template does not ask for any more: " + ", ".join(update.dropped)
