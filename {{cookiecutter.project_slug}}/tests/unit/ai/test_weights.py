from pathlib import Path

import pytest

from app.ai.weights import local_weights


def test_a_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a file, by its absolute path and by a relative one
    file = tmp_path / "tiny.pt"
    file.touch()
    monkeypatch.chdir(tmp_path)
    # When they are looked up, Then both are what is found
    assert local_weights(str(file), Path("models")) == file
    assert local_weights("./tiny.pt", Path("models")) == Path("tiny.pt")


@pytest.mark.parametrize("name", ["owner/name", "tiny.pt"])
def test_a_name_is_found_among_the_models(name: str, tmp_path: Path) -> None:
    # Given weights in the models folder, When looked up by name, Then they are found
    (tmp_path / name).mkdir(parents=True)
    assert local_weights(name, tmp_path) == tmp_path / name


def test_another_name_is_for_the_engine(tmp_path: Path) -> None:
    # Given a name that is nowhere on the disk, When looked up, Then nothing is found
    assert local_weights("owner/name", tmp_path) is None


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "../nowhere"])
def test_a_missing_path_is_told(name: str, tmp_path: Path) -> None:
    # Given a path where nothing is, When looked up, Then the message names the setting
    with pytest.raises(FileNotFoundError, match=f"LLM_MODEL names {name}, but"):
        local_weights(name, tmp_path, "LLM_MODEL")
