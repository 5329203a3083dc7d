"""Names, environments and versions."""

from pathlib import Path

import pytest

from deploy.errors import DeployError
from deploy.project import check_version, read_env_file, read_target


@pytest.mark.parametrize("version", ["v1.2.3", "v1.2.3-rc.1", "sha-" + "0af" * 13 + "1"])
def test_a_version_that_never_moves_is_taken(version: str) -> None:
    # Given a version, When it is checked, Then it is taken as it is
    assert check_version(version) == version


@pytest.mark.parametrize("version", ["latest", "main", "v1", "1.2.3", "sha-0af", "v1.2.3;id", ""])
def test_a_tag_that_may_move_is_refused(version: str) -> None:
    # Given a tag, When it is checked, Then it is refused with the reason
    with pytest.raises(DeployError) as refusal:
        check_version(version)
    assert str(refusal.value) == (
        f"{version!r} is no version: a tag that may move is never released. "
        "Name a version such as v1.2.3, or sha- and the 40 digits of a commit."
    )


def test_an_unknown_environment_is_refused() -> None:
    # Given an environment that there is not, When it is read, Then the ones that there are are told
    with pytest.raises(DeployError, match="'live' is no environment: staging or production"):
        read_target("live")


def test_a_variable_wins_over_the_environments_file(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a variable with the name of a line
    monkeypatch.setenv("PUBLIC_URL", "https://voice.example.com")
    monkeypatch.setenv("NOT_IN_THE_FILE", "x")
    # When the environment is read
    target = read_target("production")
    # Then the variable counts, and no other variable comes in
    assert target.values["PUBLIC_URL"] == "https://voice.example.com"
    assert "NOT_IN_THE_FILE" not in target.values


def test_names_made_of_a_stack_fit_dockers_limit() -> None:
    # Given the longest project name
    target = read_target("production")
    longest = type(target)("production", "a" * 50, "image", {})
    # When names are made of it, Then they stay within 63 characters
    assert len(f"{longest.stack}_service") <= 63
    assert len(f"{longest.prefix}_AWS_SECRET_ACCESS_KEY_{'0' * 12}") <= 63


def test_an_env_file_is_read(tmp_path: Path) -> None:
    # Given a file with comments, quotes and an equals sign in a value
    file = tmp_path / "a.env"
    file.write_text("# comment\n\nA=1\nB='two words'\nC=a=b\nD=\n", "utf-8")
    # When it is read, Then every value is there
    assert read_env_file(file) == {"A": "1", "B": "two words", "C": "a=b", "D": ""}


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    # Given a file with a line that is no assignment
    file = tmp_path / "a.env"
    file.write_text("A=1\nexport B=2\n", "utf-8")
    # When it is read, Then the line is named, not shown
    with pytest.raises(DeployError) as refusal:
        read_env_file(file)
    assert str(refusal.value) == f"{file}, line 2: this is not NAME=value."
