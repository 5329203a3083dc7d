"""``.cruft.json``: the template, its commit, and the answers that this project was made with."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.template.errors import TemplateError
from tools.template.git import ADDRESS_TOKEN

FILE = ".cruft.json"
# cookiecutter's own short forms of addresses, which cruft writes down as they were typed.
SHORT_FORMS = {
    "gh:": "https://github.com/{}.git",
    "gl:": "https://gitlab.com/{}.git",
    "bb:": "https://bitbucket.org/{}",
}


@dataclass(frozen=True)
class Record:
    """Where this project comes from.

    Args:
        template: address of the template's repository, or its folder.
        commit: the template's commit; None where none holds what was rendered.
        context: the answers, and the template's own values, whose names begin with ``_``.
        text: the whole record, as it stands in the file.
    """

    template: str
    commit: str | None
    context: dict[str, Any]
    text: str

    @property
    def answers(self) -> dict[str, str]:
        """What the project was asked."""
        named = self.context.items()
        return {name: str(value) for name, value in named if not name.startswith("_")}

    @property
    def versions(self) -> tuple[str, str]:
        """Versions of the template and of the guideline."""
        names = ("_template_version", "_guideline_version")
        template, guideline = (str(self.context.get(name, "unknown")) for name in names)
        return template, guideline

    def at(self, address: str) -> "Record":
        """Return the record with another address of the template."""
        return replace(self, template=_expanded(address))

    def moved(self, commit: str, checkout: str | None, rendered: "Record") -> "Record":
        """Return the record after an update to a commit, as it was rendered there."""
        state = json.loads(self.text)
        template = without_token(self.template)
        context = dict(rendered.context) | {"_template": template}
        if "_commit" in self.context:  # cruft's own record
            context["_commit"] = commit
        state |= {"template": template, "commit": commit, "checkout": checkout}
        state["context"] = {"cookiecutter": context}
        text = json.dumps(state, ensure_ascii=False, indent=2) + "\n"
        return replace(self, commit=commit, context=context, text=text)


def read(project: Path) -> Record:
    """Return the record of a project.

    Raises:
        TemplateError: it is missing or cannot be read.
    """
    file = project / FILE
    try:
        text = file.read_text("utf-8")
        state = json.loads(text)
        template = _expanded(state["template"])
        context = dict(state["context"]["cookiecutter"])
        commit = state["commit"] and str(state["commit"])
    except FileNotFoundError as error:
        raise TemplateError(
            f"{FILE} is missing: it says which template this project was made from. Take it back "
            f"from git, or write it with `cruft link`."
        ) from error
    except (AttributeError, OSError, ValueError, KeyError, TypeError) as error:
        raise TemplateError(
            f"{FILE} cannot be read as a record of the template: take it back from git."
        ) from error
    return Record(template, commit, context, text)


def without_token(address: str) -> str:
    """Return an address without the name and the token that may stand in it."""
    return ADDRESS_TOKEN.sub(r"\1", address)


def _expanded(address: str) -> str:
    """Return an address as git knows it."""
    for short, whole in SHORT_FORMS.items():
        if address.startswith(short):
            return whole.format(address.removeprefix(short))
    return address
