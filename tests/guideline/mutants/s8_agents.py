"""Section 8: what agents must not do, and what tells them so."""

from __future__ import annotations

import json
from pathlib import Path

from tests.guideline.mutants.edits import (
    Edit,
    append,
    create,
    cut,
    edits,
    read,
    script,
    swap,
)
from tests.guideline.mutants.model import Mutant
from tests.guideline.mutants.s6_secrets import HEX, PASSWORD

AGENTS = "AGENTS.md"
DOCKERFILE = "Dockerfile"
COMPOSE = "compose.yaml"
STACK = "deploy/stack.yaml"
PRODUCTION = ".github/workflows/cd-production.yml"
ROLLBACK = ".github/workflows/rollback.yml"
APP = "COPY --chmod=755 app app\n"
DATA = "      - data:/srv/data\n"
SPEECH = "      - tts:/srv/static/tts\n"
RULE_1 = "1. **No hardcoding.**"
RULE_2 = "2. **Volume check.**"
RULE_3 = "3. **Dry run.**"
RELEASE_ENVIRONMENT = "environment:\n      name: production\n      url: ${{ vars.PUBLIC_URL }}\n"
MONITORING_ASKS = "        _ask(target.environment)\n"
PLAN_OPTION = ' --plan "$RUNNER_TEMP/plan.json"'

SECOND_DEPLOYMENT = """\
name: small-site
services:
  service:
    image: ghcr.io/my-org/kodex-voice:${VERSION}
    user: "10001:10001"
    env_file: /etc/kodex/service.env
    healthcheck:
      test: ["CMD", "python", "-m", "app.healthcheck"]
    deploy:
      replicas: 2
      update_config:
        order: start-first
        parallelism: 1
        failure_action: rollback
    volumes:
      - /mnt/models:/srv/models:ro
      - /mnt/data:/srv/data
      - /mnt/speech:/srv/static/tts
"""


def cut_rule(beginning: str) -> Edit:
    """Take a rule out of AGENTS.md, with the lines that are indented below its first."""

    def make(project: Path) -> None:
        heads = [line for line in read(project, AGENTS).splitlines() if line.startswith(beginning)]
        cut(AGENTS, "".join(heads))(project)

    return make


MUTANTS = (
    Mutant(
        "env-of-the-image",
        "S8.1",
        "the image sets a key, among other variables",
        swap(DOCKERFILE, APP, f'{APP}ENV LANG=C.UTF-8 \\\n    LLM_API_KEY="{HEX}"\n'),
        "the image sets the place of a key, among other variables",
        swap(
            DOCKERFILE,
            APP,
            f"{APP}ENV LANG=C.UTF-8 \\\n    HF_TOKEN_PATH=/run/secrets/HF_TOKEN\n",
        ),
        also=frozenset({"S6.1", "S6.4"}),
    ),
    Mutant(
        "address-in-the-image",
        "S8.1",
        "an address of the build holds a password",
        swap(
            DOCKERFILE,
            "ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu\n",
            f"ARG TORCH_INDEX=https://robot:{PASSWORD}@pypi.corp.example/simple\n",
        ),
        "an address of the build is another one",
        swap(
            DOCKERFILE,
            "ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu\n",
            "ARG TORCH_INDEX=https://pypi.corp.example:8443/simple@stable\n",
        ),
        also=frozenset({"S6.1", "S6.4"}),
    ),
    Mutant(
        "argument-of-the-image",
        "S8.1",
        "an argument of the build is a token by default",
        swap(DOCKERFILE, APP, f"ARG HF_TOKEN={HEX}\n{APP}"),
        "an argument of the build has no default",
        swap(DOCKERFILE, APP, f"ARG HF_TOKEN\nARG HF_HOME=/tmp/hub\n{APP}"),
        also=frozenset({"S6.1", "S6.4"}),
    ),
    Mutant(
        "script",
        "S8.1",
        "a script holds a key",
        script("scripts/try.sh", f"export LLM_API_KEY={HEX}\nmake run\n"),
        "a script asks for a key, and speaks of a bad example",
        script(
            "scripts/try.sh",
            "# Never: export LLM_API_KEY=abc\n"
            'export LLM_API_KEY="${LLM_API_KEY:?set it first}"\nmake run\n',
        ),
        also=frozenset({"S6.1"}),
    ),
    Mutant(
        "configuration",
        "S8.1",
        "a configuration file holds a password",
        create(
            "config/service.json",
            json.dumps({"database": {"user": "voice", "password": PASSWORD}}, indent=2),
        ),
        "a configuration file holds a reference, and words with similar names",
        create(
            "config/service.json",
            json.dumps(
                {
                    "database": {"user": "voice", "password": "${DB_PASSWORD}"},
                    "max_tokens": 512000,
                    "tokenizer": "Qwen/Qwen2.5-0.5B",
                },
                indent=2,
            ),
        ),
        also=frozenset({"S6.1"}),
    ),
    Mutant(
        "settings",
        "S8.1",
        "the project's settings hold a key",
        append("settings.toml", f'\nllm_api_key = "{HEX}"\n'),
        "the project's settings hold a number of tokens",
        append("settings.toml", "\nllm_max_tokens = 512\n"),
        also=frozenset({"S6.1"}),
    ),
    Mutant(
        "makefile",
        "S8.1",
        "the Makefile holds a token",
        append("Makefile", f"\nexport HF_TOKEN := hf_{HEX}\n"),
        "the Makefile reads a token",
        append("Makefile", "\nexport HF_TOKEN ?= $(shell cat $(HOME)/.cache/huggingface/token)\n"),
        also=frozenset({"S6.1"}),
    ),
    Mutant(
        "no-rule",
        "S8.1",
        "AGENTS.md says nothing about keys",
        edits(
            cut_rule(RULE_1),
            swap(AGENTS, "- Never commit `.env`, keys or weights. Never print a key.\n", ""),
        ),
        "AGENTS.md says the same with a bad example",
        swap(
            AGENTS,
            RULE_1,
            f"{RULE_1} Not `ENV API_KEY=abc`, not `password: hunter2`.",
        ),
    ),
    Mutant(
        "no-volume-in-compose",
        "S8.2",
        "compose has no volume for data",
        swap(COMPOSE, DATA, ""),
        "compose has a folder for data",
        swap(
            COMPOSE, DATA, "      - type: bind\n        source: ./data\n        target: /srv/data\n"
        ),
    ),
    Mutant(
        "anonymous",
        "S8.2",
        "the stack's volume for data has no name: each replica gets a new one",
        swap(STACK, DATA, "      - /srv/data\n"),
        "the stack's volume for data is an external one, of another name",
        edits(
            swap(STACK, DATA, "      - vectors:/srv/data:rw\n"),
            swap(
                STACK, "\n  data:\n", "\n  vectors:\n    external: true\n    name: kodex-vectors\n"
            ),
        ),
    ),
    Mutant(
        "speech-in-memory",
        "S8.2",
        "the stack keeps spoken answers in memory",
        swap(STACK, SPEECH, "      - {type: tmpfs, target: /srv/static/tts}\n"),
        "the stack keeps all of static on a volume",
        swap(STACK, SPEECH, "      - {type: volume, source: tts, target: /srv/static}\n"),
    ),
    Mutant(
        "volume-in-memory",
        "S8.2",
        "the stack's volume for data is in memory itself",
        swap(
            STACK,
            "\n  data:\n",
            "\n  data:\n    driver: local\n"
            "    driver_opts: {type: tmpfs, device: tmpfs, o: size=1g}\n",
        ),
        "the stack's volume for data is on a file server",
        swap(
            STACK,
            "\n  data:\n",
            "\n  data:\n    driver: local\n"
            '    driver_opts: {type: nfs, device: ":/data", o: "addr=10.0.0.5,rw"}\n',
        ),
    ),
    Mutant(
        "merged-file",
        "S8.2",
        "a file that is merged into the stack puts memory in the volume's place",
        create(
            "deploy/stack.fast.yaml",
            'version: "3.13"\nservices:\n  service:\n    volumes:\n'
            "      - type: tmpfs\n        target: /srv/data\n",
        ),
        "a file that is merged into the stack adds a sidecar without data",
        create(
            "deploy/stack.fast.yaml",
            'version: "3.13"\nservices:\n  exporter:\n    image: prom/node-exporter:v1.9.0\n'
            "    tmpfs: /tmp\n",
        ),
    ),
    Mutant(
        "second-deployment",
        "S8.2",
        "a second deployment has no volume for spoken answers",
        create(
            "deploy/small/compose.yml",
            SECOND_DEPLOYMENT.replace("      - /mnt/speech:/srv/static/tts\n", ""),
        ),
        "a second deployment has all volumes",
        create("deploy/small/compose.yml", SECOND_DEPLOYMENT),
    ),
    Mutant(
        "no-rule",
        "S8.2",
        "AGENTS.md says nothing about volumes",
        edits(
            cut_rule(RULE_2),
            swap(
                AGENTS,
                "and is never written to at run time: new files\n"
                "  that must last belong in `data/` or `static/tts/`.\n",
                "and is never written to at run time.\n",
            ),
        ),
        "AGENTS.md says the same in other words",
        swap(AGENTS, RULE_2, "2. **Look at the volumes before you deploy.**"),
    ),
    Mutant(
        "no-environment",
        "S8.3",
        "the job that deploys to production has no environment, so nobody is asked",
        swap(PRODUCTION, f"    {RELEASE_ENVIRONMENT}", ""),
        "the job that deploys to production names its environment alone",
        swap(PRODUCTION, f"    {RELEASE_ENVIRONMENT}", "    environment: production\n"),
        also=frozenset({"S5.3"}),
    ),
    Mutant(
        "no-plan",
        "S8.3",
        "production is deployed without a plan",
        edits(
            cut(PRODUCTION, "plan:"),
            swap(PRODUCTION, "needs: [promote, plan]", "needs: [promote]"),
            swap(PRODUCTION, PLAN_OPTION, ""),
            swap(PRODUCTION, "          PLAN: ${{ needs.plan.outputs.plan }}\n", ""),
            swap(
                PRODUCTION,
                '          printf \'%s\' "$PLAN" > "$RUNNER_TEMP/plan.json"\n',
                "",
            ),
        ),
        "the job of the plan has another name",
        edits(
            swap(PRODUCTION, "\n  plan:\n    name: Plan\n", "\n  preview:\n    name: Preview\n"),
            swap(PRODUCTION, "needs: [promote, plan]", "needs:\n      - promote\n      - preview"),
            swap(PRODUCTION, "needs.plan.outputs", "needs.preview.outputs"),
        ),
    ),
    Mutant(
        "yes",
        "S8.3",
        "a target of make answers for the person",
        append(
            "Makefile",
            "\nrelease:\n\tyes $(VERSION) | \\\n"
            "\t\tpython3 -m deploy.release apply production $(VERSION)\n",
        ),
        "a target of make asks the person",
        append(
            "Makefile",
            "\nrelease:\n\tpython3 -m deploy.release plan production $(VERSION)\n"
            "\tpython3 -m deploy.release apply production $(VERSION)\n",
        ),
    ),
    Mutant(
        "approved-by-a-script",
        "S8.3",
        "a script approves in the name of somebody",
        script(
            "scripts/release.sh",
            "set -eu\npython3 -m deploy.release apply production \\\n"
            '  "$1" --approved-by "$USER"\n',
        ),
        "a script shows the plan",
        script("scripts/release.sh", 'set -eu\npython3 -m deploy.release plan production "$1"\n'),
    ),
    Mutant(
        "typed-by-a-script",
        "S8.3",
        "a script types what a person should",
        script(
            "scripts/release.sh",
            'set -eu\npython3 -m deploy.release apply production "$1" <<< "$1"\n',
        ),
        "a script types something else",
        script(
            "scripts/release.sh",
            'set -eu\ngrep -q "^v" <<< "$1"\npython3 -m deploy.release apply production "$1"\n',
        ),
    ),
    Mutant(
        "rollback-of-anybody",
        "S8.3",
        "a rollback is approved by nobody: its job has no environment",
        swap(
            ROLLBACK,
            "    environment:\n      name: ${{ inputs.environment }}\n"
            "      url: ${{ vars.PUBLIC_URL }}\n",
            "",
        ),
        "a rollback names its environment in flow style",
        swap(
            ROLLBACK,
            "    environment:\n      name: ${{ inputs.environment }}\n"
            "      url: ${{ vars.PUBLIC_URL }}\n",
            '    environment: {name: "${{ inputs.environment }}"}\n',
        ),
    ),
    Mutant(
        "tool-does-not-ask",
        "S8.3",
        "the release tool asks nobody",
        swap(
            "deploy/release.py",
            "by = approved_by or _ask(release.version)",
            'by = approved_by or os.environ.get("USER", "agent")',
        ),
        "the release tool asks in other words",
        swap("deploy/release.py", "nType {word} to go on: ", "nRelease {word}? Type it: "),
    ),
    Mutant(
        "tool-asks-for-releases-alone",
        "S8.3",
        "a command of the release tool asks nobody, another one does",
        swap("deploy/release.py", MONITORING_ASKS, '        options.approved_by = "agent"\n'),
        "a command of the release tool asks, and says who has approved",
        swap(
            "deploy/release.py",
            MONITORING_ASKS,
            '        print(f"{_ask(target.environment)} has approved it.")\n',
        ),
    ),
    Mutant(
        "no-rule",
        "S8.3",
        "AGENTS.md says nothing about approval",
        cut_rule(RULE_3),
        "AGENTS.md says the same in a list without numbers",
        edits(
            swap(AGENTS, RULE_1, "- **No hardcoding.**"),
            swap(AGENTS, RULE_2, "- **Volume check.**"),
            swap(AGENTS, RULE_3, "- **Dry run, and approval.**"),
        ),
    ),
)
