"""Section 4: the image, and what it must not hold."""

from __future__ import annotations

from tests.guideline.mutants.edits import (
    Edit,
    append,
    create,
    cut,
    edits,
    into,
    remove,
    rewrite,
    script,
    swap,
    with_crlf,
)
from tests.guideline.mutants.model import Mutant

FILE = "Dockerfile"
IGNORE = ".dockerignore"
COMPOSE = "compose.yaml"
STACK = "deploy/stack.yaml"
STAGING = ".github/workflows/cd-staging.yml"
CPU_BASE = "ARG BASE_IMAGE=python:3.11-slim\n"
GPU_BASE = "ARG BASE_IMAGE=nvidia/cuda:12.8.1-base-ubuntu22.04\n"
FINAL = "\nFROM ${BASE_IMAGE}\n"
FFMPEG = "    && apt-get install -y --no-install-recommends ffmpeg=7:* \\\n"
FINAL_APT = f"RUN apt-get update \\\n{FFMPEG}    && rm -rf /var/lib/apt/lists/*\n"
COMPILER = "build-essential=12.*"
ACCOUNT = (
    "useradd --uid 10001 --user-group --home-dir /tmp --no-create-home"
    " --shell /usr/sbin/nologin appuser"
)
USER = "USER 10001:10001\n"
APP = "COPY --chmod=755 app app\n"
HUB = "https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct"

# The image of a smaller project, in one stage.
SINGLE_STAGE = """\
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg
COPY requirements-torch.txt requirements.txt ./
RUN pip install --no-cache-dir -r requirements-torch.txt -r requirements.txt
RUN useradd --create-home appuser
WORKDIR /srv
COPY main.py settings.toml ./
COPY templates templates
COPY static static
COPY app app
USER appuser
HEALTHCHECK CMD ["python", "-m", "app.healthcheck"]
CMD ["python", "main.py"]
"""
TWO_STAGES = SINGLE_STAGE.replace(
    """\
COPY requirements-torch.txt requirements.txt ./
RUN pip install --no-cache-dir -r requirements-torch.txt -r requirements.txt
""",
    "COPY --from=packages /opt/packages /usr/local\n",
).replace(
    "FROM python:3.11-slim\n",
    """\
FROM python:3.11-slim AS packages
RUN apt-get update && apt-get install -y build-essential
COPY requirements-torch.txt requirements.txt ./
RUN pip install --prefix /opt/packages -r requirements-torch.txt -r requirements.txt

FROM python:3.11-slim AS runtime
""",
)
WORKER = """\
FROM python:3.11-slim AS packages
COPY requirements.txt .
RUN pip install --prefix /opt/packages -r requirements.txt

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg
RUN useradd appuser
COPY --from=packages /opt/packages /usr/local
WORKDIR /srv
COPY main.py settings.toml ./
COPY app app
USER appuser
HEALTHCHECK CMD ["python", "-m", "app.healthcheck"]
CMD ["python", "main.py"]
"""
WORKER_SERVICE = """\
worker:
  build:
    context: .
    dockerfile: Dockerfile.worker
  volumes:
    - ${MODELS_VOLUME:-models}:/srv/models
    - data:/srv/data
    - tts:/srv/static/tts
"""
DENY_LIST = """\
# What the builder does not need
.git
.github
**/__pycache__
**/*.pyc
.venv
.env
.env.*
data
models
**/*.gguf
**/*.onnx
**/*.pt
**/*.safetensors
static/tts
tests
"""
FETCH = """\
set -eu
python - <<'PYTHON'
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-0.5B-Instruct", cache_dir="/srv/models")
PYTHON
"""
COPY_ALL = edits(
    swap(FILE, "COPY --chmod=755 main.py settings.toml ./\n", ""),
    swap(FILE, "COPY --chmod=755 templates templates\nCOPY --chmod=755 static static\n", ""),
    swap(FILE, APP, "COPY --chmod=755 . .\n"),
)
WITH_MODELS = append(IGNORE, "!models\n")


def ignored(text: str) -> Edit:
    """Write another .dockerignore."""
    return rewrite(IGNORE, text)


def without(*lines: str) -> str:
    """Return the list of what is ignored without some lines."""
    return "".join(
        line for line in DENY_LIST.splitlines(keepends=True) if line.strip() not in lines
    )


def base(text: str) -> Edit:
    """Begin the Dockerfile in another way."""
    return swap(FILE, CPU_BASE, text)


def gpu_base(text: str) -> Edit:
    """Begin the Dockerfile of a GPU project in another way."""
    return swap(FILE, GPU_BASE, text)


def final_apt(text: str) -> Edit:
    """Install the packages of the final stage in another way."""
    return swap(FILE, FINAL_APT, text)


def before_app(text: str) -> Edit:
    """Add an instruction to the final stage."""
    return swap(FILE, APP, text + APP)


def in_build(text: str) -> Edit:
    """Add an instruction to the end of the build stage."""
    return swap(FILE, FINAL, f"\n{text}{FINAL}")


def after_user(text: str) -> Edit:
    """Add an instruction after USER."""
    return swap(FILE, USER, USER + text)


def user(text: str) -> Edit:
    """Write something else than USER."""
    return swap(FILE, USER, text)


MUTANTS = (
    Mutant(
        "alpine",
        "S4.1",
        "the base is alpine",
        base("ARG BASE_IMAGE=python:3.11-alpine\n"),
        "the base is pinned by its digest",
        base(f"ARG BASE_IMAGE=python:3.11-slim@sha256:{'5a' * 32}\n"),
    ),
    Mutant(
        "newer-python",
        "S4.1",
        "the base is of another Python, put together of two arguments",
        base("ARG PYTHON_VERSION=3.12\nARG BASE_IMAGE=python:${PYTHON_VERSION}-slim\n"),
        "the same base is put together of two arguments",
        base("ARG PYTHON_VERSION=3.11\nARG BASE_IMAGE=python:${PYTHON_VERSION}-slim\n"),
    ),
    Mutant(
        "final-stage-only",
        "S4.1",
        "the final stage is built on Debian",
        swap(FILE, FINAL, "\nFROM debian:bookworm-slim\n"),
        "the final stage has a name and is built on the same image from a mirror",
        swap(
            FILE,
            FINAL,
            "\nFROM registry.corp.example:5000/library/python:3.11.9-slim-bookworm AS runtime\n",
        ),
    ),
    Mutant(
        "argument-of-compose",
        "S4.1",
        "compose builds on another base",
        swap(
            COMPOSE,
            "    build: .\n",
            "    build:\n      context: .\n      args:\n        BASE_IMAGE: python:3.11\n",
        ),
        "compose gives the build another version",
        swap(
            COMPOSE,
            "    build: .\n",
            "    build:\n      context: .\n      args:\n        - VERSION=compose\n",
        ),
        seen_in=frozenset({FILE}),
    ),
    Mutant(
        "argument-of-the-workflow",
        "S4.1",
        "the workflow builds on another base",
        into(STAGING, "build-args: |", "BASE_IMAGE=ubuntu:24.04"),
        "the workflow builds on a mirror of the base",
        into(STAGING, "build-args: |", "BASE_IMAGE=mirror.gcr.io/library/python:3.11-slim"),
        seen_in=frozenset({FILE}),
    ),
    Mutant(
        "second-image",
        "S4.1",
        "a second image of the project is built on the whole Python",
        edits(
            create("Dockerfile.worker", WORKER.replace("python:3.11-slim\n", "python:3.11\n")),
            into(COMPOSE, "services:", WORKER_SERVICE),
        ),
        "a second image of the project is as it should be",
        edits(
            create("Dockerfile.worker", WORKER),
            into(COMPOSE, "services:", WORKER_SERVICE),
        ),
    ),
    Mutant(
        "devel",
        "S4.2",
        "the base is the one for developers",
        gpu_base("ARG BASE_IMAGE=nvidia/cuda:12.8.1-devel-ubuntu22.04\n"),
        "the build stage alone uses the image for developers",
        swap(
            FILE,
            "FROM ${BASE_IMAGE} AS build",
            "FROM nvidia/cuda:12.8.1-devel-ubuntu22.04 AS build",
        ),
        also=frozenset({"S4.4"}),
        device="gpu",
    ),
    Mutant(
        "cuda-11",
        "S4.2",
        "the base is of CUDA 11, by an argument",
        gpu_base("ARG CUDA=11.8.0\nARG BASE_IMAGE=nvidia/cuda:${CUDA}-base-ubuntu22.04\n"),
        "the base is of another CUDA 12, by an argument",
        gpu_base("ARG CUDA=12.6.3\nARG BASE_IMAGE=nvidia/cuda:${CUDA}-base-ubuntu22.04\n"),
        device="gpu",
    ),
    Mutant(
        "another-ubuntu",
        "S4.2",
        "the base is of another Ubuntu",
        gpu_base("ARG BASE_IMAGE=nvidia/cuda:12.8.1-base-ubuntu24.04\n"),
        "the base comes from a mirror, by its digest",
        gpu_base(
            "ARG BASE_IMAGE=mirror.corp.example/nvidia/cuda:12.8.1-base-ubuntu22.04"
            f"@sha256:{'c4' * 32}\n"
        ),
        device="gpu",
    ),
    Mutant(
        "no-cuda",
        "S4.2",
        "the final stage of a GPU project has no CUDA",
        swap(FILE, FINAL, "\nFROM python:3.11-slim\n"),
        "the final stage has a name",
        swap(FILE, FINAL, "\nFROM ${BASE_IMAGE} AS final\n"),
        device="gpu",
    ),
    Mutant(
        "dropped",
        "S4.3",
        "other packages are installed than ffmpeg",
        swap(FILE, "ffmpeg=7:*", "libsndfile1"),
        "more packages are installed than ffmpeg, one on a line",
        swap(FILE, "ffmpeg=7:*", "\\\n        libsndfile1 \\\n        ffmpeg"),
    ),
    Mutant(
        "in-the-build-stage-only",
        "S4.3",
        "ffmpeg is installed in the build stage alone",
        edits(final_apt(""), swap(FILE, COMPILER, f"{COMPILER} ffmpeg")),
        "a stage that the final one is built on installs ffmpeg",
        edits(
            swap(FILE, f"{FINAL}{FINAL_APT}", "\nFROM system\n"),
            swap(
                FILE,
                "FROM scratch AS wheels\n",
                f"FROM scratch AS wheels\n\nFROM ${{BASE_IMAGE}} AS system\n{FINAL_APT}",
            ),
        ),
    ),
    Mutant(
        "commented-out",
        "S4.3",
        "within the command a comment stands where ffmpeg was",
        swap(FILE, FFMPEG, f"#{FFMPEG}"),
        "within the command stands a comment",
        swap(FILE, FFMPEG, f"    # never without ffmpeg\n{FFMPEG}"),
    ),
    Mutant(
        "by-an-argument",
        "S4.3",
        "an argument names the packages, and ffmpeg is none of them",
        final_apt(
            'ARG PACKAGES="libsndfile1 tini"\n'
            "RUN apt-get update && apt-get install -y --no-install-recommends $PACKAGES\n"
        ),
        "an argument names the packages, and ffmpeg is one of them",
        final_apt(
            'ARG PACKAGES="libsndfile1 ffmpeg"\n'
            "RUN apt-get update && apt-get install -y --no-install-recommends ${PACKAGES}\n"
        ),
    ),
    Mutant(
        "purged",
        "S4.3",
        "ffmpeg is installed and taken away again",
        swap(FILE, APP, f"RUN apt-get purge -y ffmpeg && apt-get autoremove -y\n{APP}"),
        "another package is taken away again, in a heredoc",
        final_apt(
            "RUN <<EOF\nset -e\napt-get update\napt-get install -y --no-install-recommends"
            " ffmpeg curl\napt-get purge -y curl\nrm -rf /var/lib/apt/lists/*\nEOF\n"
        ),
    ),
    Mutant(
        "python-package",
        "S4.3",
        "a Python package with a similar name takes its place",
        final_apt("RUN pip install --no-cache-dir ffmpeg-python\n"),
        "the command is written in exec form",
        final_apt('RUN ["apt-get", "update"]\nRUN ["apt-get", "install", "-y", "ffmpeg"]\n'),
    ),
    Mutant(
        "one-stage",
        "S4.4",
        "one stage does all",
        rewrite(FILE, SINGLE_STAGE),
        "two stages are written in another way",
        rewrite(FILE, TWO_STAGES),
    ),
    Mutant(
        "compiler",
        "S4.4",
        "the final stage has a compiler",
        swap(FILE, "ffmpeg=7:*", "ffmpeg=7:* gcc libc6-dev"),
        "the final stage has a library of the compiler's, which programs need",
        swap(FILE, "ffmpeg=7:*", "ffmpeg=7:* libgomp1"),
    ),
    Mutant(
        "on-the-build-stage",
        "S4.4",
        "the final stage is the build stage with more in it",
        edits(
            swap(FILE, FINAL, "\nFROM build\n"),
            swap(FILE, "COPY --from=build /opt/venv /opt/venv\n", ""),
            swap(FILE, "COPY --from=build /opt/packages /opt/venv\n", ""),
        ),
        "a third stage tests what the build stage has made",
        in_build("FROM build AS check\nRUN gcc --version && python -m compileall -q /opt/venv\n"),
    ),
    Mutant(
        "heredoc",
        "S4.4",
        "a heredoc of the final stage installs make and g++",
        before_app(
            "RUN <<EOF\napt-get update\napt-get install --yes \\\n    make \\\n    g++\nEOF\n"
        ),
        "a heredoc of the final stage installs tini",
        before_app("RUN <<EOF\napt-get update\napt-get install --yes \\\n    tini\nEOF\n"),
    ),
    Mutant(
        "everything-copied",
        "S4.4",
        "all of the build stage's system is copied, its compiler too",
        swap(
            FILE,
            "COPY --from=build /opt/packages /opt/venv\n",
            "COPY --from=build /opt/packages /opt/venv\nCOPY --from=build /usr /usr\n",
        ),
        "the build stage's packages are copied in another way",
        swap(
            FILE,
            "COPY --from=build /opt/packages /opt/venv\n",
            "COPY --link --from=build --chown=0:0 /opt/packages/ /opt/venv/\n",
        ),
    ),
    Mutant(
        "cuda-toolkit",
        "S4.4",
        "the final stage has the CUDA compiler",
        swap(FILE, "ffmpeg=7:*", "ffmpeg=7:* cuda-nvcc-12-8 build-essential"),
        "the final stage has a CUDA library",
        swap(FILE, "ffmpeg=7:*", "ffmpeg=7:* libcudnn9-cuda-12"),
        device="gpu",
    ),
    Mutant(
        "no-user",
        "S4.5",
        "no user is named: the container runs as root",
        user(""),
        "the user is named by its name",
        user("USER appuser\n"),
    ),
    Mutant(
        "root-again",
        "S4.5",
        "the user is root again before the command",
        after_user("USER root\nRUN mkdir -p /srv/logs\n"),
        "the user is root for a moment",
        after_user("USER root\nRUN mkdir -p /srv/logs\nUSER 10001\n"),
    ),
    Mutant(
        "by-an-argument",
        "S4.5",
        "an argument names the user, and is root by default",
        user("ARG RUN_AS=root\nUSER ${RUN_AS}\n"),
        "an argument names the user, and is appuser by default",
        user("ARG RUN_AS=appuser\nUSER ${RUN_AS}\n"),
    ),
    Mutant(
        "compose",
        "S4.5",
        "compose runs the service as root",
        into(COMPOSE, "service:", 'user: "0"'),
        "compose runs the service as appuser, by its number",
        into(COMPOSE, "service:", 'user: "10001:10001"'),
    ),
    Mutant(
        "anchor-in-the-stack",
        "S4.5",
        "the stack runs the service as root, by an anchor",
        edits(
            swap(
                STACK, "services:\n", "x-common: &common\n  init: true\n  user: root\n\nservices:\n"
            ),
            into(STACK, "service:", "<<: *common"),
        ),
        "the stack has an anchor",
        edits(
            swap(STACK, "services:\n", "x-common: &common\n  init: true\n\nservices:\n"),
            into(STACK, "service:", "<<: *common"),
        ),
    ),
    Mutant(
        "override",
        "S4.5",
        "a file that compose merges by itself makes the user root",
        create("compose.override.yml", "services:\n  service:\n    user: root:root\n"),
        "a file that compose merges by itself sets a level",
        create(
            "compose.override.yml",
            "services:\n  service:\n    environment:\n      LOG_LEVEL: debug\n",
        ),
    ),
    Mutant(
        "number-zero",
        "S4.5",
        "appuser is another name of root",
        edits(
            swap(FILE, ACCOUNT, "useradd --non-unique --uid 0 --gid 0 appuser"),
            user("USER appuser\n"),
        ),
        "appuser is made in another way",
        edits(
            swap(FILE, ACCOUNT, "useradd -M -u 10001 -U appuser"),
            user("USER appuser:appuser\n"),
        ),
    ),
    Mutant(
        "nobody",
        "S4.5",
        "the user is nobody",
        user("USER nobody\n"),
        "the user is named with its group, by name and by number",
        user("USER appuser:10001\n"),
    ),
    Mutant(
        "copied",
        "S4.6",
        "the folder of weights is copied",
        edits(before_app("COPY models /srv/models\n"), WITH_MODELS),
        "the folder of the same name in the code is copied",
        before_app("COPY --chmod=755 app/models app/models\n"),
    ),
    Mutant(
        "downloaded-while-building",
        "S4.6",
        "the build stage downloads weights, which are copied",
        edits(
            in_build("RUN hf download Qwen/Qwen2.5-0.5B-Instruct --local-dir /weights\n"),
            before_app("COPY --from=build /weights /srv/models\n"),
        ),
        "a comment tells how weights are not had",
        in_build("# Never: RUN hf download Qwen/Qwen2.5-0.5B-Instruct --local-dir /weights\n"),
    ),
    Mutant(
        "loaded-while-building",
        "S4.6",
        "Whisper is loaded once while the image is built, and stays in its cache",
        before_app(
            "RUN python -c \"import whisper; whisper.load_model('small', "
            "download_root='/srv/models')\"\n"
        ),
        "the code is compiled while the image is built",
        before_app("RUN python -c \"import compileall; compileall.compile_dir('/opt/venv')\"\n"),
    ),
    Mutant(
        "added-by-address",
        "S4.6",
        "ADD fetches weights",
        before_app(f"ADD --chown=10001 {HUB}/resolve/main/model.safetensors /srv/models/\n"),
        "ADD fetches a program",
        before_app(
            "ADD --chmod=755 https://github.com/krallin/tini/releases/download/v0.19.0/tini /tini\n"
        ),
    ),
    Mutant(
        "all-is-copied",
        "S4.6",
        "all is copied, and weights are not left out",
        edits(COPY_ALL, ignored(without("models", "**/*.safetensors"))),
        "all is copied, and weights are left out",
        edits(COPY_ALL, ignored(DENY_LIST)),
    ),
    Mutant(
        "by-a-script",
        "S4.6",
        "a script that fetches weights runs while the image is built",
        edits(
            script("docker/fetch.sh", FETCH),
            append(IGNORE, "!docker\n"),
            before_app("COPY docker/fetch.sh /tmp/\nRUN /tmp/fetch.sh\n"),
        ),
        "a script that fetches weights runs when the container starts",
        edits(
            script("docker/fetch.sh", f'{FETCH}exec "$@"\n'),
            append(IGNORE, "!docker\n"),
            before_app('COPY docker/fetch.sh /srv/\nENTRYPOINT ["/srv/fetch.sh"]\n'),
        ),
    ),
    Mutant(
        "by-curl",
        "S4.6",
        "a heredoc fetches weights with curl",
        before_app(
            "RUN <<EOF\ncurl --fail --location --output /srv/models/small.pt \\\n"
            "  https://openaipublic.azureedge.net/main/whisper/models/small.pt\nEOF\n"
        ),
        "a heredoc fetches a certificate with curl",
        before_app(
            "RUN <<EOF\ncurl --fail --location --output /etc/ssl/certs/corp.crt \\\n"
            "  https://pki.corp.example/root.crt\nEOF\n"
        ),
    ),
    Mutant(
        "of-a-bucket",
        "S4.6",
        "weights come from a bucket while the image is built",
        before_app("RUN aws s3 sync s3://kodex-weights/prod /srv/models\n"),
        "the bucket of the weights is a setting, for the start",
        before_app("ENV MODEL_SOURCE=s3://kodex-weights/prod\n"),
    ),
    Mutant(
        "of-another-image",
        "S4.6",
        "weights come from an image that holds them",
        before_app("COPY --from=ghcr.io/my-org/kodex-weights:3 /models /srv/models\n"),
        "a program comes from an image that holds it",
        before_app("COPY --from=ghcr.io/astral-sh/uv:0.13.9 /uv /usr/local/bin/uv\n"),
    ),
    Mutant(
        "among-the-code",
        "S4.6",
        "weights lie in the folder of the code, which is copied",
        create("app/ai/stt/small.pt", "weights"),
        "a table of words lies in the folder of the code",
        create("app/ai/stt/words.json", '{"kodex": "Kodex"}'),
        seen_in=frozenset({FILE}),
    ),
    Mutant(
        "not-in-compose",
        "S4.7",
        "compose has no volume for the weights",
        swap(COMPOSE, "      - ${MODELS_VOLUME:-models}:/srv/models\n", ""),
        "compose has a folder for the weights",
        swap(COMPOSE, "${MODELS_VOLUME:-models}:/srv/models", "./models:/srv/models:ro"),
    ),
    Mutant(
        "another-place",
        "S4.7",
        "the stack's volume lies where nobody looks for weights",
        swap(STACK, "- models:/srv/models\n", "- models:/models\n"),
        "the stack's volume is an external one, in long syntax",
        edits(
            swap(
                STACK,
                "- models:/srv/models\n",
                "- {type: volume, source: weights, target: /srv/models/, read_only: true}\n",
            ),
            swap(STACK, "volumes:\n  models:\n", "volumes:\n  weights:\n    external: true\n"),
        ),
    ),
    Mutant(
        "in-memory",
        "S4.7",
        "the stack keeps the weights in memory",
        swap(
            STACK,
            "- models:/srv/models\n",
            "- type: tmpfs\n        target: /srv/models\n",
        ),
        "the stack keeps a cache in memory",
        swap(
            STACK,
            "- models:/srv/models\n",
            "- models:/srv/models\n      - type: tmpfs\n        target: /srv/cache\n",
        ),
    ),
    Mutant(
        "overridden",
        "S4.7",
        "a file that compose merges by itself takes the volume away",
        create(
            "compose.override.yaml",
            "services:\n  service:\n    volumes: !override\n      - data:/srv/data\n"
            "      - tts:/srv/static/tts\n",
        ),
        "a file that compose merges by itself takes the port away",
        create("compose.override.yaml", "services:\n  service:\n    ports: !reset []\n"),
    ),
    Mutant(
        "env",
        "S4.8",
        "a list of what is ignored lacks .env",
        edits(COPY_ALL, ignored(without(".env", ".env.*"))),
        "a list of what is ignored has line ends of Windows",
        edits(COPY_ALL, ignored(DENY_LIST), with_crlf(IGNORE)),
    ),
    Mutant(
        "env-again",
        "S4.8",
        "the last line brings .env back",
        append(IGNORE, "!.env\n"),
        "the last line brings the example back",
        append(IGNORE, "!.env.example\n"),
    ),
    Mutant(
        "git",
        "S4.8",
        "a list of what is ignored lacks .git",
        edits(COPY_ALL, ignored(without(".git"))),
        "a list of what is ignored has slashes",
        edits(
            COPY_ALL,
            ignored(DENY_LIST.replace(".git\n", "/.git/\n").replace("data\n", "./data/\n")),
        ),
    ),
    Mutant(
        "caches-of-the-root-only",
        "S4.8",
        "__pycache__ is ignored in the root alone",
        edits(COPY_ALL, ignored(DENY_LIST.replace("**/__pycache__\n**/*.pyc\n", "__pycache__\n"))),
        "__pycache__ is ignored in the root and below it, in two lines",
        edits(
            COPY_ALL,
            ignored(DENY_LIST.replace("**/__pycache__\n", "__pycache__\n*/**/__pycache__/\n")),
        ),
    ),
    Mutant(
        "file-of-the-dockerfile",
        "S4.8",
        "a file of the Dockerfile's own takes the place of .dockerignore, and lacks most",
        create("Dockerfile.dockerignore", "tests\ndocs\n"),
        "a file of the Dockerfile's own takes the place of .dockerignore",
        edits(create("Dockerfile.dockerignore", DENY_LIST), remove(IGNORE)),
        also=frozenset({"S4.6", "S4.9"}),
    ),
    Mutant(
        "data",
        "S4.9",
        "a list of what is ignored lacks data",
        edits(COPY_ALL, ignored(without("data"))),
        "a list of what is ignored writes folders with stars",
        edits(
            COPY_ALL,
            ignored(DENY_LIST.replace("data\n", "data/**\n").replace("tts\n", "tts/**\n")),
        ),
    ),
    Mutant(
        "speech",
        "S4.9",
        "the line of the spoken answers is gone, and static is let in",
        cut(IGNORE, "static/tts/"),
        "the line of the spoken answers is written otherwise",
        swap(IGNORE, "static/tts/\n", "/static/tts/*\n"),
    ),
    Mutant(
        "order",
        "S4.9",
        "a later line lets in what an earlier one keeps out",
        edits(
            cut(IGNORE, "static/tts/"),
            cut(IGNORE, "data/"),
            swap(IGNORE, "!app\n", "static/tts/\ndata/\n!app\n!data\n"),
        ),
        "an earlier line lets in what a later one keeps out",
        swap(IGNORE, "!app\n", "!app\n!data\n!static/tts\n"),
    ),
)
