"""Secrets: sources, names on the server, refusals."""

import os
import re
from pathlib import Path

import pytest

from deploy import secrets
from deploy.errors import DeployError
from deploy.project import Target

CANARY = "canary-value"


def target(source: str, **values: str) -> Target:
    """Return an environment whose secrets come from a source."""
    return Target("staging", "voice", "image", {"SECRETS_FROM": source, **values})


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a secret as a variable, and an empty one
    monkeypatch.setenv("API_KEYS", CANARY)
    monkeypatch.setenv("HF_TOKEN", "")
    # When they are read, Then the empty one counts as missing
    assert secrets.read_values(target("env"), ["API_KEYS", "HF_TOKEN"]) == {"API_KEYS": CANARY}


def test_secrets_come_from_a_protected_file(tmp_path: Path) -> None:
    # Given a file that only its owner can read
    file = tmp_path / "secrets.env"
    file.write_text(f"API_KEYS={CANARY}\nOTHER=x\n", "utf-8")
    file.chmod(0o600)
    # When it is read, Then the named secrets are taken
    assert secrets.read_values(target(f"file:{file}"), ["API_KEYS"]) == {"API_KEYS": CANARY}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    # Given a file that the group or others can read
    file = tmp_path / "secrets.env"
    file.write_text(f"API_KEYS={CANARY}\n", "utf-8")
    file.chmod(mode)
    # When it is read, Then it is refused with the remedy
    with pytest.raises(DeployError) as refusal:
        secrets.read_values(target(f"file:{file}"), ["API_KEYS"])
    assert str(refusal.value) == f"{file} can be read by others (mode {mode:03o}): chmod 600 {file}"


def test_secrets_come_from_a_command(tmp_path: Path) -> None:
    # Given a program that prints names and values
    program = tmp_path / "manager"
    program.write_text(f'#!/bin/sh\necho \'{{"API_KEYS": "{CANARY}"}}\'\n', "utf-8")
    program.chmod(0o700)
    # When it is asked, Then its secrets are taken
    values = secrets.read_values(target(f"command:{program}"), ["API_KEYS"])
    assert values == {"API_KEYS": CANARY}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f"echo {CANARY}", "printed no JSON object of texts"),
        (f"echo '{{\"API_KEYS\": 1}}' {CANARY}", "printed no JSON object of texts"),
        (f"echo {CANARY}; echo no permission >&2; exit 3", "failed: no permission"),
        ("exit 3", "failed: exit status 3"),
    ],
)
def test_a_failing_command_is_told_without_its_output(
    script: str, reason: str, tmp_path: Path
) -> None:
    # Given a program that fails in some way
    program = tmp_path / "manager"
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o700)
    # When it is asked, Then the reason is told, and nothing that it printed
    with pytest.raises(DeployError) as refusal:
        secrets.read_values(target(f"command:{program}"), ["API_KEYS"])
    assert reason in str(refusal.value)
    assert CANARY not in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "program", "arguments"),
    [
        (
            "aws:voice/production",
            "aws",
            "secretsmanager get-secret-value --secret-id voice/production "
            "--query SecretString --output text",
        ),
        ("gcp:voice", "gcloud", "secrets versions access latest --secret voice"),
    ],
)
def test_a_clouds_command_is_asked(
    source: str, program: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the cloud's command, here one that answers only the right question
    script = f'#!/bin/sh\n[ "$*" = "{arguments}" ] && echo \'{{"API_KEYS": "{CANARY}"}}\'\n'
    (tmp_path / program).write_text(script, "utf-8")
    (tmp_path / program).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    # When secrets are read, Then it was asked that question, and its answer counts
    assert secrets.read_values(target(source), ["API_KEYS"]) == {"API_KEYS": CANARY}


def test_the_check_names_what_is_missing_and_shows_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given one secret of two, and no server in reach
    monkeypatch.setenv("API_KEYS", CANARY)
    monkeypatch.delenv("TLS_CERTIFICATE", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    # When they are checked
    status = secrets.check(target("env", TLS="on"))
    # Then the missing one is named, and the other one's value is not shown
    said = capsys.readouterr().out
    assert status == 1
    assert "Missing: TLS_CERTIFICATE." in said
    assert re.search(r"API_KEYS +given", said)
    assert CANARY not in said


def test_a_missing_command_is_told() -> None:
    # Given a program that is not there, When it is asked, Then the reason is told
    with pytest.raises(DeployError, match="/no/such failed: No such file or directory"):
        secrets.read_values(target("command:/no/such"), ["API_KEYS"])


def test_an_unknown_source_is_refused() -> None:
    # Given a source that there is not, When it is read, Then the ones that there are are told
    with pytest.raises(DeployError) as refusal:
        secrets.read_values(target("vault"), ["API_KEYS"])
    assert str(refusal.value) == (
        "SECRETS_FROM=vault: write env, file:PATH, aws:NAME, gcp:NAME or command:PROGRAM."
    )


def test_a_secrets_name_changes_with_its_value_and_hides_it() -> None:
    # Given two values, When names are made of them
    names = {secrets.secret_name(target("env"), "API_KEYS", value) for value in (CANARY, "b")}
    # Then they differ and hold neither
    assert len(names) == 2
    assert not any(CANARY in name for name in names)


def test_without_tls_no_certificate_is_asked_for() -> None:
    # Given an environment without TLS, When the table is read, Then the certificate is not in it
    names = [row.name for row in secrets.table({"TLS": "off"})]
    assert "TLS_CERTIFICATE" not in names
    assert "API_KEYS" in names
