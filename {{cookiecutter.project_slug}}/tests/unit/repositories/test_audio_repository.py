import os
import re
import time
from pathlib import Path

import pytest

from app.repositories.audio_repository import AudioRepository

HOUR = 3600


@pytest.fixture
def audio(tmp_path: Path) -> AudioRepository:
    return AudioRepository(tmp_path)


def test_a_file_is_named_by_time_and_chance(audio: AudioRepository, tmp_path: Path) -> None:
    # Given two answers in the same second
    urls = [audio.save(b"sound", "wav") for _ in range(2)]
    # When they are saved
    # Then each has a name of the guideline's form, under the address that is served
    for url in urls:
        assert re.fullmatch(r"/static/tts/\d{8}T\d{6}Z_[0-9a-f]{32}\.wav", url)
        assert (tmp_path / url.removeprefix("/static/")).read_bytes() == b"sound"
    assert len({*urls, *(path.name for path in (tmp_path / "tts").iterdir())}) == 4


def test_only_old_files_are_deleted(audio: AudioRepository, tmp_path: Path) -> None:
    # Given an old answer, a new one, and the file that keeps the folder in git
    folder = tmp_path / "tts"
    old, new = (folder / Path(audio.save(b"sound", "wav")).name for _ in range(2))
    (folder / ".gitignore").write_text("*")
    for file in (old, folder / ".gitignore"):
        os.utime(file, (time.time() - 49 * HOUR,) * 2)
    # When the folder is cleaned up
    deleted = audio.delete_older_than(48)
    # Then only the old answer is gone
    assert deleted == 1
    assert {*folder.iterdir()} == {new, folder / ".gitignore"}
