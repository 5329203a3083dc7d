"""Uploads that somebody sends by mistake, or to do harm."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.service.conftest import post, tmpdir_of
from tools.service_process import Service

SPEECH = (ROOT / "tests" / "data" / "question.wav").read_bytes()
UPLOAD_BYTES = 10 * 1024 * 1024
AUDIO_SECONDS = 600
PATHS = ("/api/voice-chat", "/v1/audio/transcriptions")

Make = Callable[[], bytes]


def ffmpeg(*arguments: str, form: str) -> bytes:
    """Return a file that ffmpeg makes."""
    command = ["ffmpeg", "-v", "error", *arguments, "-f", form]
    seekable = {"mp4", "mov", "ipod", "avi"}
    if form in seekable:
        command += ["-movflags", "frag_keyframe+empty_moov"] if form != "avi" else []
    return subprocess.run([*command, "-"], check=True, capture_output=True).stdout


def tone(seconds: float, form: str, *codec: str) -> bytes:
    """Return a tone in a format."""
    source = ["-f", "lavfi", "-i", f"sine=frequency=300:duration={seconds}"]
    return ffmpeg(*source, *codec, form=form)


def video(form: str) -> bytes:
    """Return a second of pictures with sound."""
    pictures = ["-f", "lavfi", "-i", "testsrc=duration=1:size=64x64:rate=10"]
    sound = ["-f", "lavfi", "-i", "sine=duration=1"]
    codecs = {
        "webm": ["-c:v", "libvpx", "-c:a", "libopus"],
        "ogg": ["-c:v", "libtheora", "-c:a", "libvorbis"],
    }
    return ffmpeg(*pictures, *sound, *codecs.get(form, []), form=form)


def wav(
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    size: int = 32_000,
    data: bytes = b"\0" * 32_000,
    form: int = 1,
) -> bytes:
    """Return a WAV file with a header that may lie."""
    block = channels * bits // 8
    fields = struct.pack(
        "<HHIIHH", form, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits
    )
    body = (
        b"WAVEfmt "
        + struct.pack("<I", len(fields))
        + fields
        + b"data"
        + struct.pack("<I", size)
        + data
    )
    return b"RIFF" + struct.pack("<I", (len(body)) & 0xFFFFFFFF) + body


HOSTILE: dict[str, Make] = {
    "empty": lambda: b"",
    "one byte": lambda: b"R",
    "two bytes of mp3": lambda: b"\xff\xfb",
    "zeros": lambda: b"\0" * 50_000,
    "ones": lambda: b"\xff" * 50_000,
    "text": lambda: b"This is no recording.\n" * 100,
    "korean text": lambda: "이것은 녹음이 아닙니다.".encode() * 100,
    "html": lambda: b"<!doctype html><script>alert(1)</script>",
    "json": lambda: b'{"file": "a.wav"}',
    "shell script": lambda: b"#!/bin/sh\nrm -rf /\n",
    "python pickle": lambda: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07os.exit\x94.",
    "zip": lambda: b"PK\x03\x04" + b"\0" * 100,
    "gzip": lambda: b"\x1f\x8b\x08" + b"\0" * 100,
    "pdf": lambda: b"%PDF-1.7\n" + b"\0" * 100,
    "png": lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "elf": lambda: b"\x7fELF" + b"\0" * 100,
    "playlist": lambda: b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    "concat list": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "session description": lambda: b"v=0\nc=IN IP4 127.0.0.1\nm=audio 1 RTP/AVP 0\n",
    "midi": lambda: b"MThd\0\0\0\x06\0\0\0\x01\0\x60",
    "riff alone": lambda: b"RIFF",
    "riff and length": lambda: b"RIFF\xff\xff\xff\xff",
    "wave without chunks": lambda: b"RIFF\x04\0\0\0WAVE",
    "wave without data": lambda: wav()[:36],
    "wave of no samples": lambda: wav(size=0, data=b""),
    "wave cut in its header": lambda: SPEECH[:20],
    "wave at 0 Hz": lambda: wav(rate=0),
    "wave of 0 channels": lambda: wav(channels=0),
    "wave of 0 bits": lambda: wav(bits=0),
    "wave of 65535 channels": lambda: wav(channels=65_535),
    "wave at 4 GHz": lambda: wav(rate=0xFFFFFFFF),
    "wave of an unknown codec": lambda: wav(form=0x7777),
    "wave that says 4 GB and has no sound": lambda: wav(size=0xFFFFFFFF, data=b""),
    "wave with a huge format chunk": lambda: (
        b"RIFF\xff\xff\xff\x7fWAVEfmt \xff\xff\xff\x7f" + b"\0" * 64
    ),
    "wave of not a number": lambda: wav(
        bits=32, form=3, data=struct.pack("<f", float("nan")) * 8000
    ),
    "wave of infinite samples": lambda: wav(
        bits=32, form=3, data=struct.pack("<f", float("inf")) * 8000
    ),
    "avi": lambda: b"RIFF\x24\0\0\0AVI LIST" + b"\0" * 100,
    "webp": lambda: b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 100,
    "ogg alone": lambda: b"OggS",
    "ogg of noise": lambda: b"OggS" + bytes(range(256)) * 40,
    "ogg cut in its header": lambda: tone(1, "ogg", "-c:a", "libvorbis")[:40],
    "flac alone": lambda: b"fLaC",
    "flac cut in its header": lambda: tone(1, "flac")[:30],
    "flac of noise": lambda: b"fLaC" + bytes(range(256)) * 40,
    "mp3 tag alone": lambda: b"ID3\x04\0\0\0\0\0\0",
    "mp3 tag that says 256 MB": lambda: b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"\0" * 1000,
    "mp3 of one frame header": lambda: b"\xff\xfb\x90\x00",
    "m4a box alone": lambda: b"\0\0\0\x18ftypM4A ",
    "m4a box of 4 GB": lambda: b"\xff\xff\xff\xffftypM4A " + b"\0" * 100,
    "m4a cut before its index": lambda: tone(1, "ipod", "-c:a", "aac")[:120],
    "m4a of noise": lambda: b"\0\0\0\x18ftypM4A \0\0\0\0" + bytes(range(256)) * 40,
    "webm alone": lambda: b"\x1a\x45\xdf\xa3",
    "webm of noise": lambda: b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 40,
    "aac of noise": lambda: b"\xff\xf1" + bytes(range(256)) * 40,
    "video in mp4": lambda: video("mp4"),
    "video in mov": lambda: video("mov"),
    "video in webm": lambda: video("webm"),
    "video in matroska": lambda: video("matroska"),
    "video in ogg": lambda: video("ogg"),
    "picture in mp4": lambda: ffmpeg(
        "-f", "lavfi", "-i", "testsrc=duration=1:size=64x64:rate=10", form="mp4"
    ),
    "too many bytes": lambda: SPEECH + b"\0" * UPLOAD_BYTES,
    "too many seconds": lambda: tone(AUDIO_SECONDS + 5, "ogg", "-c:a", "libopus", "-b:a", "8k"),
}
NAMES = [
    "../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows\\system32\\a.wav",
    "a.wav\0.sh",
    "; rm -rf / ;.wav",
    "$(id).wav",
    "-i.wav",
    "http:a.wav",
    "concat:a|b.wav",
    "x" * 3000 + ".wav",
    "한국어 녹음 🎙️.wav",
    "",
    ".",
    "a.exe",
    "a.mp3",
]


@pytest.fixture
def nothing_left(local: Service) -> Iterator[None]:
    """Assert that a test leaves no temporary file and no spoken answer it did not ask for."""
    spoken = local.project / "static" / "tts"
    before = sorted(spoken.iterdir())
    yield
    assert not [*tmpdir_of(local).rglob("upload-*")]
    assert sorted(spoken.iterdir()) == before


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_content_is_refused(local: Service, name: str, path: str) -> None:
    # Given a file that is no recording, or a broken or too large one
    content = HOSTILE[name]()
    # When it is uploaded as a recording
    response = post(local, path, content)
    # Then the answer is a 4xx with a sentence, in the form of its address
    assert 400 <= response.status_code < 500, response.text
    body = response.json()
    sentence = body["error"]["message"] if path.startswith("/v1") else body["message"]
    assert sentence.endswith(".")
    assert " " in sentence
    assert "Traceback" not in response.text
    # And the service goes on
    assert httpx2.get(f"{local.url}/ready").status_code == 200


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:24])
def test_file_name_is_nothing_but_a_name(local: Service, name: str) -> None:
    # Given a recording with a name that would be harmful as a path or an argument
    # When it is uploaded
    response = post(local, "/v1/audio/transcriptions", SPEECH, name)
    # Then the name means nothing: the recording is transcribed, or the form refused
    assert response.status_code in {200, 400}
    if response.status_code == 200:
        assert response.json()["text"] == "What is the capital of France?"


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("mp3", ["-c:a", "libmp3lame"]),
        ("ogg", ["-c:a", "libopus"]),
        ("ogg", ["-c:a", "libvorbis"]),
        ("flac", []),
        ("webm", ["-c:a", "libopus"]),
        ("ipod", ["-c:a", "aac"]),
        ("adts", ["-c:a", "aac"]),
        ("wav", ["-c:a", "pcm_f32le", "-ar", "48000", "-ac", "2"]),
        ("wav", ["-c:a", "pcm_u8", "-ar", "8000"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[1:]),
)
def test_every_format_is_understood(
    local: Service, form: str, codec: list[str], tmp_path: Path
) -> None:
    # Given the same question in another format, with a name that says nothing
    source = tmp_path / "question.wav"
    source.write_bytes(SPEECH)
    content = ffmpeg("-i", str(source), *codec, form=form)
    # When it is uploaded
    response = post(local, "/v1/audio/transcriptions", content, "recording")
    # Then it is heard
    assert response.status_code == 200, response.text
    assert response.json()["text"] == "What is the capital of France?"


def test_cover_picture_is_no_video(local: Service, tmp_path: Path) -> None:
    # Given an mp3 with a picture on its cover
    source = tmp_path / "question.wav"
    source.write_bytes(SPEECH)
    cover = ["-f", "lavfi", "-i", "testsrc=duration=0.1:size=64x64:rate=10"]
    content = ffmpeg(
        *("-i", str(source), *cover, "-map", "0:a", "-map", "1:v", "-frames:v", "1"),
        *("-c:v", "png", "-disposition:v", "attached_pic", "-id3v2_version", "3"),
        form="mp3",
    )
    # When it is uploaded
    response = post(local, "/v1/audio/transcriptions", content, "song.mp3")
    # Then it is heard
    assert response.json() == {"text": "What is the capital of France?"}


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60
