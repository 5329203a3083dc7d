"""A project as it is now: its files by what they are, whatever they are called."""

import configparser
import itertools
import os
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.guideline import compose, dockerfile, ignores, makefile, shell, workflows, yaml_text
from tests.guideline.compose import Deployment, Service
from tests.guideline.dockerfile import Dockerfile, Instruction, Stage, expand
from tests.guideline.findings import BrokenFileError
from tests.guideline.makefile import Makefile
from tests.guideline.pipelines import Pipelines, RunningJob
from tests.guideline.shell import SHELLS, Command
from tests.guideline.workflows import Step, Workflow

LEFT_OUT = {".git", ".venv", "venv", "node_modules", "__pycache__"}
DOCKERFILE = re.compile(
    r"(?i)(?:.*/)?(?:(?:docker|container)file(?:\.[\w.-]+)?|[\w.-]+\.dockerfile)"
)
NAMED_MODEL = re.compile(r"(?i)(?:.*/)?(?:docker-)?(?:compose|stack|swarm)[\w.-]*\.ya?ml")
WORKFLOW = re.compile(r"\.github/workflows/[^/]+\.ya?ml")
YAML = re.compile(r".*\.ya?ml")
SHEBANG = re.compile(r"#!\s*\S*?(?:/env\s+(?:-S\s+)?)?(?:\S*/)?(\w+)([^\n]*)")
ENVIRONMENT = re.compile(r"(?:.*/)?environments?/[^/]+\.env")
LINT_HOOKS = {"ruff": ("ruff", "check"), "ruff-check": ("ruff", "check"), "flake8": ("flake8",)}
CODE = "app"
LARGEST = 2_000_000
DEEPEST = 4
Values = Mapping[str, str]


@dataclass(frozen=True)
class Build:
    """A build of an image.

    Args:
        dockerfile: that it follows.
        target: name of the stage that it ends with; empty is the last one.
        arguments: that it gives.
        context: the folder that it sends, relative to the project.
    """

    dockerfile: Dockerfile
    target: str
    arguments: dict[str, str]
    context: str

    @property
    def file(self) -> str:
        """Where the Dockerfile stands."""
        return self.dockerfile.file

    @property
    def final(self) -> Stage:
        """The stage that becomes the image."""
        return self.dockerfile.stage(self.target) or self.dockerfile.stages[-1]

    @property
    def stages(self) -> list[Stage]:
        """The final stage after those that it is built on."""
        return self.dockerfile.chain(self.final, self.arguments)

    def instructions(self, *stages: Stage) -> Iterator[tuple[Instruction, dict[str, str]]]:
        """Yield the instructions of stages, each with its variables."""
        for stage in stages:
            yield from self.dockerfile.evaluated(stage, self.arguments)


class Project:
    """A project in a folder, which need not be a git repository."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.pipelines = Pipelines(self)
        self._yaml: dict[str, Any] = {}

    # Files

    @cached_property
    def tracked(self) -> dict[str, int] | None:
        """The files that git tracks, with their modes; None without a repository."""
        return ignores.tracked(self.root)

    @cached_property
    def files(self) -> list[str]:
        """Every file that git has or would add, relative to the root."""
        found = ignores.not_ignored(self.root)
        if found is None:  # no git on this machine
            found = [str(path.relative_to(self.root)) for path in self.root.rglob("*")]
        names = {*found, *(self.tracked or {})}
        return sorted(
            name
            for name in names
            if not LEFT_OUT & set(name.split("/")) and (self.root / name).is_file()
        )

    def text(self, file: str) -> str:
        """Return a file's text, empty for what is no text."""
        path = self.root / file
        if not path.is_file() or path.stat().st_size > LARGEST:
            return ""
        content = path.read_bytes()
        return "" if b"\0" in content[:1024] else content.decode("utf-8-sig", "replace")

    def line_of(self, file: str, pattern: str) -> int:
        """Return the first line that a pattern is found in, else 1."""
        lines = self.text(file).splitlines()
        return next((n for n, line in enumerate(lines, 1) if re.search(pattern, line)), 1)

    def yaml(self, file: str) -> Any:
        """Return a YAML file's content."""
        if file not in self._yaml:
            self._yaml[file] = yaml_text.load(self.text(file), file)
        return self._yaml[file]

    def matching(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the files whose whole names match."""
        return [file for file in self.files if pattern.fullmatch(file)]

    @cached_property
    def python_files(self) -> list[str]:
        """The programs, without the tests."""
        return [file for file in self.files if file.endswith(".py") and not in_tests(file)]

    @cached_property
    def scripts(self) -> dict[str, bool]:
        """The shell scripts; True where the first line sets ``-e``."""
        found = {}
        for file in self.files:
            suffix = posixpath.splitext(file)[1]
            if in_tests(file) or suffix not in {"", ".sh", ".bash"}:
                continue
            match = SHEBANG.match(self.text(file))
            if suffix or (match and match[1] in SHELLS):
                found[file] = bool(match and re.search(r"\s-\w*e", match[2]))
        return found

    # What the project says of itself

    @cached_property
    def is_gpu(self) -> bool:
        """Tell whether the models run on a CUDA device."""
        return str(self.toml("settings.toml").get("device", "cpu")) in {"cuda", "gpu"}

    @cached_property
    def environments(self) -> dict[str, dict[str, str]]:
        """The values of each environment that is deployed to, by the file's name."""
        common: dict[str, str] = {}
        for file in self.files:
            if posixpath.basename(file) == "project.env":
                common |= env_lines(self.text(file))
        found = {file: common | env_lines(self.text(file)) for file in self.matching(ENVIRONMENT)}
        return found or {"": common}

    @cached_property
    def image_names(self) -> set[str]:
        """The last parts of the names that the project's own images have."""
        names = [str(self.toml("pyproject.toml").get("project", {}).get("name", ""))]
        names += [values.get("IMAGE", "") for values in self.environments.values()]
        for file in self.model_files:
            for service in self.yaml(file).map("services").values():
                if isinstance(service, dict) and "build" in service:
                    names.append(expand(str(service.get("image", "")), {}))
        return {image_name(name) for name in names if name}

    def toml(self, file: str) -> dict[str, Any]:
        """Return a TOML file's content, nothing where there is no such file."""
        try:
            return tomllib.loads(self.text(file))
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"line (\d+)", str(error))
            number = int(line[1]) if line else 1
            raise BrokenFileError(file, number, f"this is no TOML: {error}.") from None

    # Containers

    @cached_property
    def dockerfiles(self) -> dict[str, Dockerfile]:
        """The Dockerfiles by their names."""
        named = {build.get("dockerfile", "") for build in self._named_builds()}
        files = {*self.matching(DOCKERFILE), *(file for file in named if file in self.files)}
        files = {one for one in files if not one.endswith(".dockerignore") and not in_tests(one)}
        return {file: dockerfile.parse(self.text(file), file) for file in sorted(files)}

    @cached_property
    def builds(self) -> list[Build]:
        """Every build of an image that is written down, and one of each other Dockerfile."""
        found: list[Build] = []
        named = list(self._named_builds())
        for build in named:
            if parsed := self.dockerfiles.get(build["dockerfile"]):
                arguments = {k[4:]: v for k, v in build.items() if k.startswith("arg:")}
                found.append(Build(parsed, build["target"], arguments, build["context"]))
        known = {build.file for build in found}
        for file, parsed in self.dockerfiles.items():
            if file not in known:
                found.append(Build(parsed, "", {}, self._context(file)))
        return found

    @cached_property
    def service_builds(self) -> list[Build]:
        """The builds of the service's own images: those that the project's programs go into."""
        own = [build for build in self.builds if self._holds_programs(build)]
        shipped = [build for build in own if not re.search(r"test|dev|lint|debug", build.target)]
        return shipped or own

    def _holds_programs(self, build: Build) -> bool:
        if build.file in {"Dockerfile", "Containerfile"}:
            return True
        if build.context not in {"", "."}:
            return False
        for instruction, variables in build.instructions(*build.dockerfile.stages):
            if instruction.keyword in {"COPY", "ADD"} and not instruction.flag("from"):
                sources = dockerfile.copied(instruction, variables)[0]
                names = {posixpath.normpath(source.lstrip("/")).split("/")[0] for source in sources}
                if names & {".", "*", CODE, "main.py"}:
                    return True
        return False

    def _context(self, file: str) -> str:
        """Return the folder that a Dockerfile which nothing names is meant to be built in."""
        folder = posixpath.dirname(file)
        for one in self.dockerfiles[file].stages:
            for instruction in one.instructions:
                if instruction.keyword == "COPY" and not instruction.flag("from"):
                    sources = dockerfile.copied(instruction, {})[0]
                    if not all((self.root / folder / source).exists() for source in sources):
                        return "."
        return folder or "."

    def _named_builds(self) -> Iterator[dict[str, str]]:
        """Yield the builds of compose files, workflows, make targets and scripts."""
        for file in self.model_files:
            for service in self.yaml(file).map("services").values():
                build = service.get("build") if isinstance(service, dict) else None
                if build:
                    yield self._compose_build(build, posixpath.dirname(file))
        for job in self._jobs():
            for step in job.steps:
                if re.search(r"build-push-action|build-and-push", step.step.uses):
                    yield self._action_build(step.step)
        for command in self.all_commands:
            words = command.arguments
            if (
                command.program in {"docker", "podman", "buildah", "nerdctl"}
                and "build" in words[:2]
            ):
                yield self._command_build(command)

    def _compose_build(self, build: Any, folder: str) -> dict[str, str]:
        if isinstance(build, str):
            build = {"context": build}
        context = _joined(folder, expand(str(build.get("context", ".")), {}))
        found = {"context": context, "target": expand(str(build.get("target", "")), {})}
        found["dockerfile"] = _joined(
            context, expand(str(build.get("dockerfile", "Dockerfile")), {})
        )
        arguments = build.get("args") or {}
        if isinstance(arguments, list):
            arguments = dict(one.partition("=")[::2] for one in arguments)
        return found | {f"arg:{k}": expand(str(v), {}) for k, v in arguments.items() if v}

    def _action_build(self, step: Step) -> dict[str, str]:
        given = step.given
        context = _joined("", given.get("context", "."))
        default = _joined(context, "Dockerfile")
        found = {"context": context, "target": given.get("target", "")}
        found["dockerfile"] = _joined("", given.get("file", "") or default)
        lines = [line.strip().partition("=") for line in given.get("build-args", "").splitlines()]
        return found | {f"arg:{name}": value for name, _, value in lines if name}

    def _command_build(self, command: Command) -> dict[str, str]:
        folder = posixpath.dirname(command.file) if command.file.endswith("akefile") else ""
        last = command.arguments[-1] if command.arguments else "."
        context = _joined(folder, last if (self.root / folder / last).is_dir() else ".")
        file = command.option("--file", "-f") or _joined(context, "Dockerfile")
        found = {"context": context, "target": command.option("--target") or ""}
        found["dockerfile"] = _joined("", file)
        pairs = itertools.pairwise(command.arguments)
        given = [value.partition("=") for option, value in pairs if option == "--build-arg"]
        given += [
            one.split("=", 1)[1].partition("=")
            for one in command.words
            if one.startswith("--build-arg=")
        ]
        return found | {f"arg:{name}": value for name, _, value in given if "$" not in value}

    # Deployments

    @cached_property
    def model_files(self) -> list[str]:
        """The compose files and stacks."""
        found = []
        for file in self.matching(YAML):
            hidden = any(part.startswith(".") for part in file.split("/")[:-1])
            if hidden or in_tests(file):
                continue
            try:
                if compose.is_model(self.yaml(file)) or NAMED_MODEL.fullmatch(file):
                    found.append(file)
            except BrokenFileError:
                if NAMED_MODEL.fullmatch(file):
                    raise
        return [file for file in found if self.yaml(file)]

    @cached_property
    def deployments(self) -> list[Deployment]:
        """What is deployed together, for each environment that it can be deployed to."""
        found = []
        for files in compose.groups(self.model_files):
            plain = compose.deployment(files, self.yaml, {})
            values = list(self.environments.values()) if plain.is_stack else [{}]
            found += [compose.deployment(files, self.yaml, one) for one in values]
        return found

    def own_services(self, deployment: Deployment) -> list[Service]:
        """Return the services that run the project's own image."""
        services = list(deployment.services.values())
        own = [
            one
            for one in services
            if one.content.get("build")
            or image_name(one.image) in self.image_names
            or re.search(r"\$\{?IMAGE\b", self._written_image(deployment, one.name))
        ]
        return own or [one for one in services if one.name in {"service", CODE, "api", "web"}]

    def serving(self, deployment: Deployment) -> list[Service]:
        """Return the services that answer callers: workers have a command of their own."""
        own = self.own_services(deployment)
        return [one for one in own if not one.has_command] or own[:1]

    def _written_image(self, deployment: Deployment, name: str) -> str:
        written = [self.yaml(file).map("services").map(name) for file in deployment.files]
        return " ".join(str(one.get("image", "")) for one in written)

    def folder_in_image(self, service: Service, setting: str, folder: str) -> str:
        """Return where a folder of the project lies in a service's container.

        Args:
            service: which may set it.
            setting: the variable that names the folder.
            folder: relative to the project, when no variable does.
        """
        place, known = "/", dict[str, str]()
        for build in self.service_builds[:1]:
            for instruction, variables in build.instructions(*build.stages):
                if instruction.keyword == "WORKDIR":
                    place = posixpath.join(
                        place, expand(instruction.value.strip("\"' "), variables)
                    )
                elif instruction.keyword == "ENV":
                    known |= dict(dockerfile.pairs(instruction, variables))
        place = str(service.content.get("working_dir", place))
        named = str(service.environment.get(setting) or known.get(setting) or folder)
        return posixpath.normpath(posixpath.join(place, named))

    # Workflows and what they run

    @cached_property
    def workflows(self) -> list[Workflow]:
        """The workflows."""
        return [workflows.parse(self.text(file), file) for file in self.matching(WORKFLOW)]

    def called_workflow(self, uses: str) -> Workflow | None:
        """Return the workflow of this project that a job calls."""
        name = _local(uses)
        return next((one for one in self.workflows if name and one.file == name), None)

    def action_steps(self, uses: str) -> list[Step] | None:
        """Return the steps of a composite action of this project, None for any other."""
        folder = _local(uses)
        for name in ("action.yml", "action.yaml"):
            file = posixpath.join(folder, name)
            if folder and file in self.files:
                return workflows.parse_action(self.text(file), file)
        return None

    @cached_property
    def makefiles(self) -> dict[str, Makefile]:
        """The Makefiles by their folders."""
        found = {}
        for file in self.files:
            if posixpath.basename(file) in {"Makefile", "makefile", "GNUmakefile"}:
                found[posixpath.dirname(file)] = makefile.parse(self.text(file), file)
        return found

    @cached_property
    def all_commands(self) -> list[Command]:
        """The commands of every workflow, make target and script, with those that they run."""
        found = [command for job in self._jobs() for _, command in job.commands]
        for folder, one in self.makefiles.items():
            for target in one.rules:
                found += self.resolved(list(one.commands(target)), folder, {})
        for file, errexit in self.scripts.items():
            found += shell.commands(self.text(file), file=file, errexit=errexit)
        return found

    def _jobs(self) -> list[RunningJob]:
        """Return the jobs of every run; none where a workflow is broken, which section 3 tells."""
        try:
            return [job for run in self.pipelines.runs for job in run.jobs.values()]
        except BrokenFileError:
            return []

    def resolved(
        self, commands: list[Command], folder: str, env: Values, depth: int = 0
    ) -> list[Command]:
        """Return commands with those that they run: make targets, scripts, hooks.

        Args:
            commands: of a script.
            folder: where it runs, relative to the root.
            env: variables that are known.
            depth: how many scripts call this one.
        """
        known = dict(env)
        found = []
        for command in commands:
            known |= {name: value for name, value in command.env.items() if not command.words}
            if command.program in {".", "source"} and command.arguments:
                known |= env_lines(self.text(_joined(folder, command.arguments[0])))
            if any("$" in word for word in command.words):
                words = tuple(_filled(word, known) for word in command.words)
                parts = tuple(part for word in words for part in word.split())
                command = replace(command, words=parts if parts != words else words)
            found.append(command)
            if depth < DEEPEST:
                inner = self.resolved(self._inner(command, folder), folder, known, depth + 1)
                found += [_run_by(command, one) for one in inner]
        return found

    def _inner(self, command: Command, folder: str) -> list[Command]:
        program = command.program
        if program in {"make", "gmake", "$(MAKE)", "${MAKE}"}:
            return self._made(command, folder)
        if program == "pre-commit" and "run" in command.arguments:
            return self._hooks()
        if program == "tox":
            return self._tox(command)
        core = command.core
        first = core[1:] if program in {*SHELLS, ".", "source"} else core
        names = [word for word in first if not word.startswith("-")][:1]
        for name in names:
            plain = re.sub(r"^(?:\$\{?[A-Z_]+\}?|\$\{\{[^}]*\}\})/", "", name)
            for file in (_joined(folder, plain), _joined("", plain)):
                if file in self.scripts:
                    errexit = self.scripts[file]
                    return shell.commands(self.text(file), file=file, errexit=errexit)
        return []

    def _made(self, command: Command, folder: str) -> list[Command]:
        place = posixpath.normpath(posixpath.join(folder, command.option("-C") or "")).lstrip(".")
        found = self.makefiles.get(place.strip("/")) or self.makefiles.get("")
        if found is None:
            return []
        words = list(command.arguments)
        targets = []
        while words:
            word = words.pop(0)
            if word in {"-C", "-f", "-j", "-l", "-o"}:
                del words[:1]
            elif not word.startswith("-") and "=" not in word:
                targets.append(word)
        survives = any(
            re.fullmatch(r"-\w*[ik]\w*|--ignore-errors|--keep-going|-n", word)
            for word in command.arguments
        )
        made = [one for target in targets or [found.first] for one in found.commands(target)]
        return [_ignored_by(command, one) for one in made] if survives else made

    def _hooks(self) -> list[Command]:
        """Return what the hooks of pre-commit run: the known linters, and the project's own."""
        file = ".pre-commit-config.yaml"
        content = self.yaml(file) if file in self.files else {}
        repositories = content.get("repos") if isinstance(content, dict) else None
        found: list[Command] = []
        for hook in (one for each in repositories or [] for one in each.get("hooks") or []):
            if "manual" in (hook.get("stages") or ()):
                continue
            if name := LINT_HOOKS.get(hook.get("id")):
                found.append(Command((*name, *(hook.get("args") or ())), hook.line, file))
            elif entry := hook.get("entry"):
                found += shell.commands(entry, line=hook.line_of("entry"), file=file)
        return found

    def _tox(self, command: Command) -> list[Command]:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(self.text("tox.ini"))
        except configparser.Error:
            return []
        wanted = (command.option("-e", "--env") or "").split(",")
        found: list[Command] = []
        for section in parser.sections():
            if section.startswith("testenv") and (wanted == [""] or section[8:] in wanted):
                text = parser[section].get("commands", "").replace("{posargs}", "")
                found += shell.commands(text, file="tox.ini", errexit=True)
        return found


def in_tests(file: str) -> bool:
    """Tell whether a file belongs to the tests, which hold examples and keys that open nothing."""
    return bool({"tests", "test"} & set(file.split("/")[:-1]))


def image_name(image: str) -> str:
    """Return the last part of an image's name, without registry, tag and digest."""
    return image.split("@")[0].rsplit("/", 1)[-1].split(":")[0]


def env_lines(text: str) -> dict[str, str]:
    """Return the variables of an env file."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)", line):
            value = match[2].strip()
            quoted = re.fullmatch(r"\"(.*)\"|'(.*)'", value)
            found[match[1]] = (quoted[1] or quoted[2] or "") if quoted else value
    return found


def _filled(word: str, known: Values) -> str:
    """Return a word with the variables filled in that are known; the others stay as written."""
    return re.sub(
        r"\$(?:\{(\w+)(?::?-([\w./-]*))?\}|(\w+))",
        lambda match: known.get(match[1] or match[3], match[0] if match[2] is None else match[2]),
        word,
    )


def _joined(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name or "."))


def _local(uses: str) -> str:
    """Return the path of an action or workflow of this project, empty for any other."""
    match = re.match(r"(?:\./|\$/)(.+)", uses)
    return posixpath.normpath(match[1]) if match else ""


def is_executable(project: Project, file: str) -> bool:
    """Tell whether a file can be run: as git has it where it tracks it, else as it lies there."""
    mode = (project.tracked or {}).get(file)
    return bool(mode & 0o111) if mode else os.access(project.root / file, os.X_OK)


def _run_by(command: Command, one: Command) -> Command:
    """Return a command as another one runs it, such as ``make lint || true``."""
    run = replace(one, fed_by=one.fed_by or command.fed_by, next=one.next or command.next)
    return run if command.fatal else _ignored_by(command, run)


def _ignored_by(command: Command, one: Command) -> Command:
    """Return a command whose failure another one ignores, which is the place to look at."""
    return replace(one, fatal=False, file=command.file, line=command.line) if one.fatal else one
