"""Section 4: the image of the service and what is kept out of it."""

import re
from collections.abc import Iterator

from tests.guideline import dockerfile, ignores, images
from tests.guideline.clauses import guards
from tests.guideline.findings import Finding
from tests.guideline.project import Build, Project

# A registry of one's own may stand before the name of an official image.
MIRROR = r"(?:(?:[\w-]+(?:\.[\w-]+)+(?::\d+)?|[\w-]+:\d+|localhost)/(?:[\w.-]+/)*)?"
DIGEST = r"(?:@sha256:[0-9a-f]{64})?"
CPU_BASE = re.compile(rf"{MIRROR}(?:library/)?python:3\.11(?:\.\d+)?-slim(?:-[a-z]+)?{DIGEST}")
GPU_BASE = re.compile(rf"{MIRROR}nvidia/cuda:12\.\d+(?:\.\d+)?-base-ubuntu22\.04{DIGEST}")
USER = "appuser"
ROOTS = {"", "root", "0"}
OUT = {".git": ".git/config", "__pycache__": "app/__pycache__/x.pyc", ".env": ".env"}
OUT_FOLDERS = {"data/": "data/index/x.bin", "static/tts/": "static/tts/x.wav"}


def services(project: Project) -> Iterator[Build]:
    """Yield the builds of the service.

    A build is one Dockerfile with its arguments and target; the same build is yielded once.
    """
    seen = []
    for build in project.service_builds:
        key = (build.file, build.target, build.arguments, build.context)
        if key not in seen:
            seen.append(key)
            yield build


def missing(project: Project) -> Iterator[Finding]:
    """Yield a finding where no Dockerfile builds the service."""
    if not project.service_builds:
        yield Finding("Dockerfile", 1, "no Dockerfile builds the service.", "add one.")


@guards("S4.1")
def test_cpu_image_is_built_on_python_slim(project: Project) -> Iterator[Finding]:
    # Given a project that needs no GPU
    if project.is_gpu:
        return
    yield from missing(project)
    for build in services(project):
        # When the chain of FROM is followed to its end
        base, line = images.base_image(build)
        # Then it is Python 3.11, the slim image
        if not CPU_BASE.fullmatch(base):
            yield Finding(
                build.file,
                line,
                f"the image is built on {base or 'nothing'}.",
                "build on python:3.11-slim; a patch version, a digest or a mirror may be added.",
            )


@guards("S4.2")
def test_gpu_image_is_built_on_cuda_base(project: Project) -> Iterator[Finding]:
    # Given a project whose models run on a GPU
    if not project.is_gpu:
        return
    yield from missing(project)
    for build in services(project):
        # When the chain of FROM is followed to its end
        base, line = images.base_image(build)
        # Then it is CUDA 12, the base image for Ubuntu 22.04
        if not GPU_BASE.fullmatch(base):
            yield Finding(
                build.file,
                line,
                f"the image is built on {base or 'nothing'}.",
                "build on nvidia/cuda:12.x.y-base-ubuntu22.04.",
            )


@guards("S4.3")
def test_final_stage_installs_ffmpeg(project: Project) -> Iterator[Finding]:
    yield from missing(project)
    for build in services(project):
        # Given the packages of the final stage and of what it is built on
        packages = images.kept_packages(project, build)
        # When ffmpeg is looked for there, or in an image of its own that it is copied from
        copied = [
            instruction
            for instruction in build.final.instructions
            if "ffmpeg" in instruction.flag("from") and "ffmpeg" in instruction.value
        ]
        # Then it is there
        if "ffmpeg" not in packages and not copied:
            yield Finding(
                build.file,
                build.final.line,
                "the final stage installs no ffmpeg.",
                "add ffmpeg to the apt-get install of the stage that begins here.",
            )


@guards("S4.4")
def test_build_tools_stay_out_of_the_final_stage(project: Project) -> Iterator[Finding]:
    yield from missing(project)
    for build in services(project):
        # Given what the final stage takes from other stages
        taken = [
            (one, dockerfile.copied(one, variables)[0])
            for one, variables in build.instructions(*build.stages)
            if one.keyword == "COPY" and build.dockerfile.stage(one.flag("from") or "?")
        ]
        # When its packages are looked at
        packages = images.layered_packages(project, build)
        # Then it takes something, and there is no compiler
        if not taken:
            yield Finding(
                build.file,
                build.final.line,
                "the final stage takes nothing from a build stage: the build has one stage only.",
                "install with the build tools in a stage of its own, and COPY --from it.",
            )
        for name, instruction in packages.items():
            if images.BUILD_TOOLS.fullmatch(name):
                yield Finding(
                    build.file,
                    instruction.line,
                    f"the final stage installs {name}.",
                    "install it in the build stage alone.",
                )
        for instruction, sources in taken:
            source_stage = build.dockerfile.stage(instruction.flag("from"))
            for source in sources:
                whole = source.rstrip("/") or "/"
                base = (
                    build.dockerfile.base_of(source_stage, build.arguments) if source_stage else ""
                )
                of_python = whole == images.WHOLE_SYSTEM_OF_PYTHON and "python" in base
                if whole in images.WHOLE_SYSTEM and not of_python:
                    yield Finding(
                        build.file,
                        instruction.line,
                        f"{source} of another stage comes with its build tools.",
                        "copy only what the service needs, such as the virtual environment.",
                    )


@guards("S4.5")
def test_container_runs_as_appuser(project: Project) -> Iterator[Finding]:
    yield from missing(project)
    for build in services(project):
        # Given whom the image runs as, and the accounts that it makes
        user, line = images.last_user(build)
        made = images.accounts(project, build)
        # When they are compared, Then it is appuser, by name or by number
        is_root = user in ROOTS or re.fullmatch(r"0+", user) or made.get(user) == "0"
        fix = f"make the account with useradd and end the stage with USER {USER}."
        if is_root:
            yield Finding(build.file, line, "the container runs as root.", fix)
        elif USER not in made:
            yield Finding(build.file, line, f"the image has no account {USER}.", fix)
        elif user != USER and not (
            user.isdigit() and made[USER] in {"", user} and made[USER] != "0"
        ):
            yield Finding(build.file, line, f"the container runs as {user}, not as {USER}.", fix)
    # and no deployment changes that
    for deployment in project.deployments:
        for service in project.own_services(deployment):
            user = str(service.content.get("user", USER)).split(":")[0]
            if user == "root" or re.fullmatch(r"0+", user):
                yield Finding(
                    *service.place_of("user"),
                    f"the service {service.name} runs as root.",
                    "take `user` away: the image names its user.",
                )
    for command in project.all_commands:
        runs_own = any(name in command.text for name in project.image_names)
        starts = command.starts_with("docker", "run") or command.starts_with("docker", "service")
        user = (command.option("--user", "-u") or USER).split(":")[0]
        if starts and runs_own and user in ROOTS:
            place = (command.file, command.line)
            yield Finding(*place, "a container is started as root.", "take --user away.")


@guards("S4.6")
def test_image_holds_no_weights(project: Project) -> Iterator[Finding]:
    for build in project.builds:
        # Given the stages of which something is in the image
        # When their COPY, ADD and RUN are looked at
        copied = list(images.copied_weights(project, build))
        fetched = list(images.fetched_weights(project, build))
        # Then none brings weights
        for line, what in copied:
            yield Finding(
                build.file,
                line,
                f"{what} brings model weights into the image.",
                "copy folders by name; keep models/ and *.safetensors in .dockerignore.",
            )
        for file, line, what in fetched:
            yield Finding(
                file,
                line,
                f"{what} downloads model weights while the image is built.",
                "let the service fetch them at its start, into the volume of the models folder.",
            )


@guards("S4.7")
def test_models_folder_is_on_a_volume(project: Project) -> Iterator[Finding]:
    # Given what is deployed
    for deployment in project.deployments:
        for service in project.serving(deployment):
            # When the mount that its models folder lies on is looked for
            folder = project.folder_in_image(service, "MODELS_DIR", "models")
            mount = service.mount_at(folder)
            # Then it is a volume or a folder of the server
            if mount is None or mount.kind not in {"volume", "bind"}:
                place = (mount.file, mount.line) if mount else service.place_of("volumes")
                what = f"on {mount.kind} storage" if mount else "on no volume"
                yield Finding(
                    *place,
                    f"{folder} of the service {service.name} is {what}: weights are lost with it.",
                    f"mount a named volume or a folder of the server at {folder}.",
                )


def let_in(project: Project, wanted: dict[str, str]) -> Iterator[Finding]:
    """Yield what the builds of the service are sent although it is to be kept out."""
    yield from missing(project)
    for build in services(project):
        context = project.root / build.context
        own = build.file.removeprefix(f"{build.context}/") if build.context != "." else build.file
        file = ignores.ignore_file(context, own)
        name = str(file.relative_to(project.root)) if file else ".dockerignore"
        for pattern, probe in wanted.items():
            if not ignores.docker_ignores(context, probe, own):
                line = project.line_of(name, rf"!.*{re.escape(pattern.strip('/'))}")
                yield Finding(
                    name,
                    line,
                    f"{pattern} is sent to the builder.",
                    f"add a line {pattern} at the end.",
                )


@guards("S4.8")
def test_history_caches_and_secrets_are_not_sent(project: Project) -> Iterator[Finding]:
    # Given the .dockerignore of each build, When it is asked, Then it keeps these out
    yield from let_in(project, OUT)


@guards("S4.9")
def test_data_and_spoken_answers_are_not_sent(project: Project) -> Iterator[Finding]:
    # Given the .dockerignore of each build, When it is asked, Then it keeps these out
    yield from let_in(project, OUT_FOLDERS)
