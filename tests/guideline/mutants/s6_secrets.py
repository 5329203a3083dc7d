"""Section 6: secrets. The keys and passwords here open nothing."""

from __future__ import annotations

import json

from tests.guideline.mutants.edits import (
    append,
    create,
    edits,
    git,
    into,
    swap,
    swap_block,
    with_crlf,
)
from tests.guideline.mutants.model import Mutant

HEX = "8f14e45fceea167a5a36dedd4bea2543"
PASSWORD = "Tr0ub4dor3x-Sunrise"
PEM = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" + HEX] * 6)
CONFIG = "app/core/config.py"
STAGING = ".github/workflows/cd-staging.yml"
PRODUCTION = ".github/workflows/cd-production.yml"
CONNECT = ".github/actions/connect/action.yml"
COMPOSE = "compose.yaml"
STACK = "deploy/stack.yaml"
STAGING_KEYS = "          API_KEYS: ${{ secrets.API_KEYS }}\n"
BUILD = "- name: Build and push"
DRAIN = '      DRAIN_SECONDS: "5"\n'
TTS_ENGINE = "    tts_engine: str\n"


def notebook(line: str) -> str:
    """Return a Jupyter notebook with one line of code."""
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "one",
        "metadata": {},
        "outputs": [],
        "source": ["import os\n", line],
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


MUTANTS = (
    Mutant(
        "constant",
        "S6.1",
        "a constant of a module is a key",
        append("app/core/security.py", f'\nLLM_API_KEY = "{HEX}"\n'),
        "a constant of a module is the name of a header",
        append("app/core/security.py", '\nAPI_KEY_HEADER = "X-Kodex-API-Key"\n'),
    ),
    Mutant(
        "default-of-a-setting",
        "S6.1",
        "the default of a setting is a key",
        swap(
            CONFIG,
            TTS_ENGINE,
            f'    callback_token: SecretStr = Field(default=SecretStr("{HEX}"))\n'
            f'    """Key of the callback."""\n{TTS_ENGINE}',
        ),
        "the default of a setting is empty",
        swap(
            CONFIG,
            TTS_ENGINE,
            f'    callback_token: SecretStr = Field(default=SecretStr(""))\n'
            f'    """Key of the callback."""\n{TTS_ENGINE}',
        ),
    ),
    Mutant(
        "default-of-a-variable",
        "S6.1",
        "a variable of the environment is a key by default",
        append(
            "app/core/environment.py",
            f'\n\ndef hub_token() -> str:\n    """Return the token."""\n'
            f'    return os.environ.get("HF_TOKEN", "{HEX}")\n',
        ),
        "a variable with a similar name has a default",
        append(
            "app/core/environment.py",
            '\nos.environ.setdefault("TOKENIZERS_PARALLELISM", "false")\n'
            '\n\ndef hub_token() -> str:\n    """Return the token."""\n'
            '    return os.environ.get("HF_TOKEN", "")\n',
        ),
    ),
    Mutant(
        "header",
        "S6.1",
        "a header holds a key",
        append(
            "app/utils/text.py",
            f'\nHEADERS = {{"Accept": "text/plain", "Authorization": "Bearer {HEX}"}}\n',
        ),
        "a header holds a key that is given",
        append(
            "app/utils/text.py",
            '\n\ndef headers(key: str) -> dict[str, str]:\n    """Return headers."""\n'
            '    return {"Accept": "text/plain", "Authorization": f"Bearer {key}"}\n',
        ),
    ),
    Mutant(
        "address",
        "S6.1",
        "an address holds a password",
        append(
            "app/repositories/audio_repository.py",
            f'\nDATABASE = "postgresql://voice:{PASSWORD}@db.internal:5432/voice"\n',
        ),
        "an address holds a name, and its password is filled in",
        append(
            "app/repositories/audio_repository.py",
            '\nDATABASE = "postgresql://voice:{password}@db.internal:5432/voice"\n',
        ),
    ),
    Mutant(
        "default-of-an-argument",
        "S6.1",
        "the default of a function's argument is a password",
        append(
            "app/utils/text.py",
            f'\n\ndef connect(user: str = "voice", db_password: str = "{PASSWORD}") -> str:\n'
            '    """Return a line."""\n    return "%s:%s" % (user, db_password)\n',
        ),
        "a function's argument has a similar name",
        append(
            "app/utils/text.py",
            '\n\ndef connect(user: str = "voice", password_file: str = "/run/secrets/db") -> str:\n'
            '    """Return a line."""\n    return "%s:%s" % (user, password_file)\n',
        ),
    ),
    Mutant(
        "page-script",
        "S6.1",
        "the page's script holds a key",
        append("static/app.js", f"const apiKey = '{HEX}';\n"),
        "the page's script holds the name of a field",
        append("static/app.js", "const apiKeyField = 'key';\n"),
    ),
    Mutant(
        "notebook",
        "S6.1",
        "a notebook holds a key",
        create("notebooks/try.ipynb", notebook(f"os.environ['OPENAI_API_KEY'] = 'sk-{HEX}'")),
        "a notebook reads a key",
        create("notebooks/try.ipynb", notebook("key = os.environ['OPENAI_API_KEY']")),
    ),
    Mutant(
        "private-key",
        "S6.1",
        "a private key lies among the code",
        create(
            "app/core/signing.py",
            '"""Signs."""\n\n'
            f'SIGNER = """\n-----BEGIN PRIVATE KEY-----\n{PEM}\n-----END PRIVATE KEY-----\n"""\n',
        ),
        "a public key lies among the code",
        create(
            "app/core/signing.py",
            '"""Verifies."""\n\n'
            f'VERIFIER = """\n-----BEGIN PUBLIC KEY-----\n{PEM}\n-----END PUBLIC KEY-----\n"""\n',
        ),
    ),
    Mutant(
        "not-ignored",
        "S6.2",
        "git ignores .env no longer",
        swap(".gitignore", ".env\n.env.*\n!.env.example\n", ""),
        "git ignores .env by another pattern, with line ends of Windows",
        edits(
            swap(".gitignore", ".env\n.env.*\n!.env.example\n", "/.env*\n!/.env.example\n"),
            with_crlf(".gitignore"),
        ),
        also=frozenset({"S6.4", "S8.1"}),
    ),
    Mutant(
        "let-in-again",
        "S6.2",
        "the last line lets .env in again",
        append(".gitignore", "!/.env\n"),
        "the last line lets another example in",
        edits(
            append(".gitignore", "!/.env.sample\n"),
            create(".env.sample", "API_KEYS=default:change-me\n"),
        ),
        also=frozenset({"S6.4", "S8.1"}),
    ),
    Mutant(
        "tracked",
        "S6.2",
        "git tracks .env, which it ignores",
        edits(
            append(".env", "LOG_LEVEL=debug\n"),
            git("add", "--force", ".env"),
        ),
        "git tracks an example in another folder",
        edits(
            create("deploy/.env.example", "DOCKER_HOST=ssh://deploy@server\n"),
            git("add", "--force", "deploy/.env.example"),
        ),
        also=frozenset({"S6.4", "S8.1"}),
    ),
    Mutant(
        "for-production",
        "S6.2",
        "git tracks an env file of production, with a key",
        edits(
            create(".env.production", f"API_KEYS=app:{HEX}\nAWS_SECRET_ACCESS_KEY={HEX}\n"),
            git("add", "--force", ".env.production"),
        ),
        "an env file of production is there, and git ignores it",
        edits(
            create(".env.production", f"API_KEYS=app:{HEX}\nAWS_SECRET_ACCESS_KEY={HEX}\n"),
            append("README.md", "\nSecrets of production: `.env.production`, never committed.\n"),
        ),
        also=frozenset({"S6.4", "S8.1"}),
    ),
    Mutant(
        "key-in-the-example",
        "S6.2",
        "the example holds a key",
        swap(".env.example", "default:change-me", f"default:{HEX}"),
        "the example holds further names without values",
        append(
            ".env.example", "LLM_API_KEY=\nDB_PASSWORD=change-me\n# TTS_API_KEY=your-key-here\n"
        ),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "value",
        "S6.3",
        "a workflow holds a key",
        swap(STAGING, STAGING_KEYS, f'          API_KEYS: "default:{HEX}"\n'),
        "a workflow reads a secret of another name",
        swap(STAGING, STAGING_KEYS, "          API_KEYS: ${{ secrets.STAGING_API_KEYS }}\n"),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "plain-variable",
        "S6.3",
        "a workflow reads keys from a variable that everybody sees",
        swap(STAGING, STAGING_KEYS, "          API_KEYS: ${{ vars.API_KEYS }}\n"),
        "a workflow reads a setting from such a variable",
        swap(
            STAGING,
            STAGING_KEYS,
            f"{STAGING_KEYS}          SERVICE_LLM_MAX_TOKENS: ${{{{ vars.LLM_MAX_TOKENS }}}}\n",
        ),
    ),
    Mutant(
        "fallback",
        "S6.3",
        "a key stands where the secret is missing",
        swap(
            STAGING,
            STAGING_KEYS,
            f"          API_KEYS: ${{{{ secrets.API_KEYS || 'ci:{HEX}' }}}}\n",
        ),
        "another secret stands where the secret is missing",
        swap(
            STAGING,
            STAGING_KEYS,
            "          API_KEYS: ${{ secrets.API_KEYS || secrets.SHARED_KEYS || '' }}\n",
        ),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "in-a-command",
        "S6.3",
        "a command of a workflow holds a password",
        swap_block(
            STAGING,
            BUILD,
            f"- run: docker login -u robot -p {PASSWORD} ghcr.io\n"
            "- name: Build and push\n  id: build\n"
            "  uses: docker/build-push-action@53b7df96c91f9c12dcc8a07bcb9ccacbed38856a\n"
            "  with:\n    push: true\n"
            "    tags: ${{ steps.project.outputs.IMAGE }}:sha-${{ github.sha }}",
        ),
        "a command of a workflow reads a password",
        swap_block(
            STAGING,
            BUILD,
            "- env:\n    TOKEN: ${{ secrets.REGISTRY_TOKEN }}\n"
            '  run: echo "$TOKEN" | docker login -u robot --password-stdin ghcr.io\n'
            "- name: Build and push\n  id: build\n"
            "  uses: docker/build-push-action@53b7df96c91f9c12dcc8a07bcb9ccacbed38856a\n"
            "  with:\n    push: true\n"
            "    tags: ${{ steps.project.outputs.IMAGE }}:sha-${{ github.sha }}",
        ),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "input-of-an-action",
        "S6.3",
        "an action of the project has a password by default",
        into(CONNECT, "inputs:", f"password:\n  description: Of the user\n  default: {PASSWORD}"),
        "an action of the project has GitHub's token by default",
        into(CONNECT, "inputs:", "token:\n  description: For git\n  default: ${{ github.token }}"),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "compose",
        "S6.4",
        "compose holds a key",
        into(COMPOSE, "environment:", f'LLM_API_KEY: "{HEX}"'),
        "compose reads a key",
        into(COMPOSE, "environment:", 'LLM_API_KEY: "${LLM_API_KEY:?set it in .env}"'),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "default-in-the-stack",
        "S6.4",
        "a variable of the stack is a password by default",
        swap(STACK, DRAIN, f"{DRAIN}      DB_PASSWORD: ${{DB_PASSWORD:-{PASSWORD}}}\n"),
        "a variable of the stack is empty by default",
        swap(STACK, DRAIN, f"{DRAIN}      DB_PASSWORD: ${{DB_PASSWORD:-}}\n"),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "list-of-a-sidecar",
        "S6.4",
        "a sidecar of the stack has a password, in a list",
        into(
            STACK,
            "services:",
            f"cache:\n  image: redis:7-alpine\n  environment:\n    - REDIS_PASSWORD={PASSWORD}",
        ),
        "a sidecar of the stack has the file of a password, in a list",
        into(
            STACK,
            "services:",
            "cache:\n  image: redis:7-alpine\n  environment:\n"
            "    - REDIS_PASSWORD_FILE=/run/secrets/redis_password",
        ),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "option-of-a-command",
        "S6.4",
        "a command of a sidecar has a password",
        into(
            STACK,
            "services:",
            "cache:\n  image: redis:7-alpine\n"
            f'  command: ["redis-server", "--requirepass", "{PASSWORD}"]',
        ),
        "a command of a sidecar reads a password",
        into(
            STACK,
            "services:",
            "cache:\n  image: redis:7-alpine\n"
            '  command: ["redis-server", "--requirepass", "${REDIS_PASSWORD}"]',
        ),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "names-of-the-project",
        "S6.4",
        "the password of a registry stands beside its name",
        append("deploy/project.env", f"REGISTRY_PASSWORD={PASSWORD}\n"),
        "another registry stands in the place of the first",
        edits(
            swap("deploy/project.env", "IMAGE=ghcr.io/my-org", "IMAGE=registry.corp.example:5000"),
            swap("deploy/project.env", "REGISTRY=ghcr.io", "REGISTRY=registry.corp.example:5000"),
        ),
        also=frozenset({"S6.1", "S8.1"}),
    ),
    Mutant(
        "settings-of-production",
        "S6.4",
        "the settings of production hold a key",
        append("deploy/environments/production.env", f"SERVICE_LLM_API_KEY={HEX}\n"),
        "the settings of production hold a number of tokens",
        append("deploy/environments/production.env", "SERVICE_LLM_MAX_TOKENS=512000\n"),
        also=frozenset({"S8.1"}),
    ),
    Mutant(
        "secret-of-compose",
        "S6.4",
        "compose makes a secret of a file that git has",
        edits(
            create("secrets/db_password.txt", f"{PASSWORD}\n"),
            append(COMPOSE, "\nsecrets:\n  db_password:\n    file: ./secrets/db_password.txt\n"),
        ),
        "compose makes a secret of a variable",
        append(COMPOSE, "\nsecrets:\n  db_password:\n    environment: DB_PASSWORD\n"),
        also=frozenset({"S6.1", "S8.1"}),
    ),
)
