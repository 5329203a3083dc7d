"""Other repositories of the template than the one that all tests share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.conftest import Answers
from tests.update.older import Template
from tests.update.project import generate, run


class Place:
    """A folder with repositories of the template, and the variables that lead to them.

    What is asked of github.com is found in the folder ``hub``; ``published`` is the template there.
    """

    def __init__(self, folder: Path, template: Template, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.template = template
        mapped = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{(folder / 'hub').as_uri()}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
        }
        self.environment = {**environment, **mapped}
        self.published = self.clone("hub/org/kodex-template.git", "--bare")

    def clone(self, name: str, *options: str) -> Path:
        """Make a clone of the template in the folder."""
        path = self.folder / name
        self.git(self.folder, "clone", "--quiet", *options, str(self.template.path), str(path))
        return path

    def git(self, folder: Path, *arguments: str) -> str:
        """Return what git prints in a folder."""
        done = run("git", *arguments, folder=folder, environment=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def release(self, clone: Path, tag: str) -> str:
        """Publish what was changed in a clone, under a tag; return the commit."""
        self.git(clone, "add", "--all")
        self.git(clone, "commit", "--quiet", f"--message=feat: {tag}")
        self.git(clone, "push", "--quiet", str(self.published), f"HEAD:refs/tags/{tag}")
        return self.git(clone, "rev-parse", "HEAD")

    def generate(self, source: str, answers: Answers, checkout: str | None = None) -> Path:
        """Generate a project."""
        return generate(source, self.folder / "here", self.environment, answers, checkout)
