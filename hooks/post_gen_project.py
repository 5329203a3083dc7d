"""Keeps the files of the chosen variant under their final names, and writes the first ``.env``."""

from __future__ import annotations

import os
import sys

ANSWERS: dict[str, str] = dict({{cookiecutter | pairs}})  # type: ignore  # noqa: F821 - cookiecutter fills it in

KEY_BYTES = 32
# answer -> choice -> its files. A chosen file loses a ".<choice>" in its name; the files of
# the other choices go.
ENGINES = {"stt_engine": "stt", "llm_engine": "llm", "tts_engine": "tts"}
ENGINE_FILES = ("app/ai/{task}/{module}.py", "tests/unit/ai/{task}/test_{module}.py")
CUDA_FILES = ("app/ai/devices/cuda.py", "tests/unit/ai/devices/test_cuda.py")
METRICS_FILES = ("app/ai/gpu_metrics.py", "tests/unit/ai/test_gpu_metrics.py")
GPU_PAGE = "docs/operations-gpu"
MONITORING = "deploy/monitoring"
GPU_FILES = (f"{MONITORING}/rules/gpu.yml", f"{MONITORING}/grafana/dashboards/gpu.json")
# In this order: the pages of a language have their final names when the device is chosen.
PAGES = ("CONTRIBUTING", "AGENTS", "GUIDELINE", "deploy/README", "docs/operations", GPU_PAGE)
VARIANTS: dict[str, dict[str, list[str]]] = {
    "docs_language": {code: [f"{page}.{code}.md" for page in PAGES] for code in ("ko", "en")},
    "device": {
        "cpu": ["Dockerfile.cpu"],
        "gpu": [
            *("Dockerfile.gpu", "compose.cuda.yaml", "deploy/stack.cuda.yaml", f"{GPU_PAGE}.md"),
            *CUDA_FILES,
            *METRICS_FILES,
            *GPU_FILES,
        ],
    },
    "stt_engine": {"openai-whisper": [], "faster-whisper": []},
    "llm_engine": {"transformers": [], "openai-compatible": []},
    "tts_engine": {"supertonic": [], "openai-compatible": [], "espeak-ng": []},
}
# answer -> the key of its openai-compatible engine. Without that engine, no line here names it.
LINES = {"llm_engine": "LLM_API_KEY", "tts_engine": "TTS_API_KEY"}
WORKFLOWS = [f".github/workflows/cd-{name}.yml" for name in ("staging", "production")]
LINE_FILES = [*WORKFLOWS, "deploy/secrets.toml"]
for answer, task in ENGINES.items():
    for engine, files in VARIANTS[answer].items():
        files += [f.format(task=task, module=engine.replace("-", "_")) for f in ENGINE_FILES]


def keep_chosen_variant() -> None:
    """Rename the files of each chosen variant and remove those of the others."""
    for answer, choices in VARIANTS.items():
        for choice, names in choices.items():
            for name in names:
                if choice == ANSWERS[answer]:
                    os.rename(name, name.replace(f".{choice}", ""))
                else:
                    os.remove(name)


def keep_needed_lines() -> None:
    """Remove the lines that name a key which no chosen engine reads."""
    others = [key for answer, key in LINES.items() if ANSWERS[answer] != "openai-compatible"]
    for name in LINE_FILES:
        with open(name, "r+", encoding="utf-8") as file:
            lines = [line for line in file if not any(key in line for key in others)]
            file.seek(0)
            file.truncate()
            file.writelines(lines)


def keep_locks() -> None:
    """Keep the locks of the chosen engines; torch's own where one of them needs torch."""
    tools = "-supertonic" if ANSWERS["tts_engine"] == "supertonic" else ""
    engines = "-".join(ANSWERS[name] for name in ("device", *ENGINES))
    os.rename(f"requirements/{engines}.txt", "requirements.txt")
    os.rename(f"requirements/dev{tools}.txt", "requirements-dev.txt")
    if ANSWERS["__torch"]:
        os.rename(f"requirements/torch-{ANSWERS['device']}.txt", "requirements-torch.txt")
    for name in os.listdir("requirements"):
        os.remove(f"requirements/{name}")
    os.rmdir("requirements")


def write_env() -> None:
    """Write ``.env`` from ``.env.example``: mode 600, a random value for every ``:change-me``.

    The values come from `os.urandom`, as those of `secrets` do, whose import takes longer than
    this whole hook.
    """
    file = os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        open(".env.example", encoding="utf-8") as example,
        open(file, "w", encoding="utf-8") as env,
    ):
        for line in example:
            env.write(line.replace(":change-me", f":{os.urandom(KEY_BYTES).hex()}"))


def main() -> None:
    """Finish the project and say what was made, answer by answer."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    keep_chosen_variant()
    keep_needed_lines()
    keep_locks()
    write_env()
    print(f"\nMade {ANSWERS['project_slug']} with these answers:")
    for name, value in ANSWERS.items():
        if not name.startswith("_"):
            print(f"  {name:16} {' '.join(value.split())}")
    print(f"\nNext: cd {ANSWERS['project_slug']} && make run")


if __name__ == "__main__":
    main()
