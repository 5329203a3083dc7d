"""Hard-coded keys: section 8.1 of the guideline, by the scanner and the rules of the project."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from base64 import b64encode
from hashlib import sha512
from pathlib import Path

import pytest

from tests.conftest import Answers, Render, name_of, product_of
from tools.environments import CACHE

HEX = "8f14e45fceea167a5a36dedd4bea2543"
BODY = b64encode(b"".join(sha512(bytes([n])).digest() for n in range(9))).decode()
# What must be found, by the file that it stands in.
FOUND = [
    ("Dockerfile", f"ENV API_KEY={HEX}"),
    ("Dockerfile", f'ENV PATH=/x:$PATH LLM_API_KEY="{HEX}"'),
    ("Dockerfile.gpu", "ARG DB_PASSWORD=correct-horse-battery"),
    ("compose.yaml", "      POSTGRES_PASSWORD: hunter2hunter2"),
    ("compose.yaml", f'      API_KEYS: "default:{HEX}"'),
    ("deploy/stack.yaml", "      - REDIS_PASSWORD=S3cr3t-Pa55w0rd!"),
    ("deploy/stack.yaml", "    command: redis-server --requirepass swordfish99"),
    ("compose.yaml", "      DB_PASSWORD: ${DB_PASSWORD:-hunter2hunter2}"),
    (".github/workflows/x.yml", f"      LLM_API_KEY: {HEX}"),
    (".github/workflows/x.yml", "      password: 'open sesame 123'"),
    ("deploy.sh", f"export TTS_API_KEY={HEX}"),
    ("deploy.sh", "docker login --username bot --password Tr0ub4dor3x ghcr.io"),
    ("deploy.sh", "docker login -u bot -p Tr0ub4dor3x ghcr.io"),
    ("deploy.sh", "DATABASE_URL=postgres://app:p4ssw0rd99@db/app"),
    ("settings.toml", f'llm_api_key = "{HEX}"'),
    (".env.production", f"AWS_SECRET_ACCESS_KEY={HEX}"),
    ("app/core/config.py", f'API_KEY = "{HEX}"'),
    ("app/core/config.py", 'password: str = "Sup3rSecretPassw0rd"'),
    ("static/app.js", f'const token = "{HEX}"'),
    ("key.pem", f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"),
]
# What is written as the guideline asks, or is no secret.
NOT_FOUND = [
    ("Dockerfile", "ENV API_KEY=$API_KEY HF_TOKEN=${HF_TOKEN}"),
    ("Dockerfile", "ARG HF_TOKEN"),
    ("Dockerfile", "RUN HF_TOKEN=$(cat /run/secrets/HF_TOKEN) make"),
    ("compose.yaml", '      LLM_API_KEY: "${LLM_API_KEY:?is missing}"'),
    ("compose.yaml", "      POSTGRES_PASSWORD_FILE: /run/secrets/POSTGRES_PASSWORD"),
    ("compose.yaml", "      API_KEYS: /run/secrets/API_KEYS"),
    ("compose.yaml", '      HF_TOKEN: ""'),
    ("compose.yaml", "secrets:\n  API_KEYS:\n    external: true"),
    (".github/workflows/x.yml", "      password: ${{ secrets.REGISTRY_TOKEN || github.token }}"),
    (".github/workflows/x.yml", "      id-token: write"),
    (".github/workflows/x.yml", "# A secret manager holds it; a token that others can read."),
    ("deploy.sh", 'echo "$TOKEN" | docker login -u bot --password-stdin ghcr.io'),
    (".env.example", "API_KEYS=default:change-me"),
    ("settings.toml", "llm_max_tokens = 512000"),
    ("app/core/config.py", "token = settings.llm_api_key"),
    ("tests/test_x.py", 'API_KEY = "key-that-opens-nothing"'),
    ("README.md", "Set API_KEYS=name:key in .env."),
]


def scan(project: Path, folder: Path) -> list[str]:
    """Return ``file:line`` of every finding of a project's rules in a folder."""
    command = [
        *(f"{sysconfig.get_path('scripts')}/kingfisher", "scan", ".", "--git-history=none"),
        *("--no-validate", "--no-update-check", "--no-dedup", "--format=jsonl", "--quiet"),
        f"--rules-path={project / '.github/secret-rules.toml'}",
        f"--rule-cache-dir={CACHE / 'kingfisher'}",
    ]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode in {0, 200}, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    findings = [line["finding"] for line in lines if "finding" in line]
    return [f"{Path(one['path'])}:{one['line']}" for one in findings]


def written(cases: list[tuple[str, str]], folder: Path) -> dict[str, str]:
    """Write each case into a folder of its own; return ``file:line`` -> text."""
    places = {}
    for number, (name, text) in enumerate(cases):
        file = folder / str(number) / name
        file.parent.mkdir(parents=True)
        file.write_text(f"{text}\n", "utf-8")
        places[f"{number}/{name}:1"] = text
    return places


def test_keys_and_passwords_are_found(render: Render, tmp_path: Path) -> None:
    # Given files with a key or a password as text
    places = written(FOUND, tmp_path)
    # When they are scanned
    found = scan(render({}), tmp_path)
    # Then each is named
    assert {text for place, text in places.items() if place not in found} == set()


def test_references_and_placeholders_are_not(render: Render, tmp_path: Path) -> None:
    # Given files written as the guideline asks
    places = written(NOT_FOUND, tmp_path)
    # When they are scanned
    found = scan(render({}), tmp_path)
    # Then none is named
    assert {text for place, text in places.items() if place in found} == set()


@pytest.mark.parametrize("answers", product_of("device", "llm_engine", "tts_engine"), ids=name_of)
def test_fresh_project_has_none(answers: Answers, render: Render) -> None:
    # Given a fresh project
    project = render(answers)
    # When it is scanned
    found = scan(project, project)
    # Then nothing is found but the key in .env, which git does not keep
    assert [place for place in found if not place.startswith(".env:")] == []
