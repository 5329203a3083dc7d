"""What an answer may be, and one sentence for each that cannot make a working project.

``kodex_extensions.py`` applies the rules right after the last question. A pre_gen hook would come
too late: cookiecutter has made a folder by then, named by an answer that nobody has checked.
"""

from __future__ import annotations

import keyword
import re

CHOICES: dict[str, tuple[str, ...]] = {
    "device": ("cpu", "gpu"),
    "stt_engine": ("openai-whisper", "faster-whisper"),
    "llm_engine": ("transformers", "openai-compatible"),
    "tts_engine": ("supertonic", "openai-compatible", "espeak-ng"),
    "spoken_language": ("ko", "en", "auto"),
    "docs_language": ("ko", "en"),
    "license": ("MIT", "Apache-2.0", "Proprietary"),
}
FREE_TEXT: dict[str, tuple[int, str]] = {
    "project_name": (60, "Kodex Voice"),
    "description": (300, "Answers spoken questions about our handbook."),
    "author": (100, "Kodex Team"),
}
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# A host with an optional port, then lower-case path parts, as in the distribution
# specification's grammar for image names (no scheme, no trailing slash, no tag).
REGISTRY = re.compile(
    r"[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
)


def problems(answers: dict[str, str]) -> list[str]:
    """Return a sentence for every wrong answer: its name, its value, the rule, an example."""
    found = []
    for name, choices in CHOICES.items():
        if answers[name] not in choices:
            rule = f"is not one of {', '.join(choices)}"
            found.append(_sentence(name, answers[name], rule, choices[0]))
    for name, (longest, example) in FREE_TEXT.items():
        text = answers[name].strip()
        if not text:
            found.append(_sentence(name, answers[name], "is empty", example))
        elif len(text) > longest:
            rule = f"is longer than {longest} characters"
            found.append(_sentence(name, text[:20] + "...", rule, example))
    slug = answers["project_slug"]
    if not SLUG.fullmatch(slug) or len(slug) > 50 or keyword.iskeyword(slug):
        rule = "must be 1 to 50 lower-case letters, digits and single hyphens, a letter first"
        found.append(_sentence("project_slug", slug, rule, "kodex-voice"))
    if not REGISTRY.fullmatch(answers["registry"]):
        rule = "must be a registry host with an optional namespace, in lower case, without https://"
        found.append(_sentence("registry", answers["registry"], rule, "ghcr.io/my-org"))
    return found


def _sentence(name: str, value: str, rule: str, example: str) -> str:
    return f"{name}: {value!r} {rule}, for example {name}={example}."
