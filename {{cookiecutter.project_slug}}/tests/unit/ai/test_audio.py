from pathlib import Path

import numpy as np
import pytest

from app.ai.audio import (
    MEDIA_TYPES,
    SAMPLE_RATE,
    DecodeLimits,
    Waveform,
    decode,
    demuxer_of,
    encode,
)
from app.core.errors import ErrorCode, ServiceError
from app.models.openai_model import AudioFormat
from tests.helpers import PATIENCE, ffmpeg, tone, wav

pytestmark = pytest.mark.anyio
SECONDS = 0.5
LIMITS = DecodeLimits(audio_seconds=2, wall_seconds=PATIENCE)
SOUND = ("-f", "lavfi", "-i", f"sine=duration={SECONDS}:sample_rate=44100")
PICTURE = ("-f", "lavfi", "-i", f"testsrc=duration={SECONDS}:size=32x32:rate=5")


def head(file: Path) -> bytes:
    return file.read_bytes()[:64]


async def decoded(file: Path, limits: DecodeLimits = LIMITS) -> Waveform:
    return await decode(file, head(file), limits)


async def refusal(file: Path, limits: DecodeLimits = LIMITS) -> ErrorCode:
    with pytest.raises(ServiceError) as refused:
        await decoded(file, limits)
    return refused.value.code


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "recording"
    file.write_bytes(wav(tone(SECONDS)))
    return file


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"OggS\0\2", "ogg"),
        (b"fLaC\0\0", "flac"),
        (b"\x1a\x45\xdf\xa3\1\0", "matroska"),
        (b"\0\0\0\x20ftypM4A ", "mov"),
        (b"ID3\4\0\0", "mp3"),
        (b"\xff\xfb\x90\0", "mp3"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"\xff\xeb\x90\0", None),
        (b"#EXTM3U\nfile:///etc/passwd", None),
        (b"<!doctype html>", None),
        (b"", None),
    ],
)
def test_the_content_tells_the_container(head: bytes, demuxer: str | None) -> None:
    # Given the first bytes of a file, When its kind is asked for, Then they alone tell
    assert demuxer_of(head) == demuxer


@pytest.mark.parametrize("ending", ["wav", "mp3", "m4a", "aac", "ogg", "flac", "webm"])
async def test_every_format_becomes_16_khz_mono(tmp_path: Path, ending: str) -> None:
    # Given a stereo recording at another rate
    file = tmp_path / f"sound.{ending}"
    ffmpeg(*SOUND, "-ac", "2", str(file))
    # When it is decoded
    sound = await decoded(file)
    # Then it is as a recogniser takes it: the same length, and not silent
    assert sound.sample_rate == SAMPLE_RATE
    assert sound.samples.dtype == np.float32
    assert sound.seconds == pytest.approx(SECONDS, abs=0.1)
    assert 0.05 < np.abs(sound.samples).max() <= 1


async def test_a_picture_on_the_cover_does_no_harm(tmp_path: Path) -> None:
    # Given a song with its cover
    cover, file = tmp_path / "cover.png", tmp_path / "song.mp3"
    ffmpeg(*PICTURE, "-frames:v", "1", str(cover))
    attach = ("-map", "0", "-map", "1", "-disposition:v", "attached_pic")
    ffmpeg(*SOUND, "-i", str(cover), *attach, str(file))
    # When it is decoded, Then the sound is there
    assert (await decoded(file)).seconds == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("streams", [(*PICTURE,), (*PICTURE, *SOUND)])
async def test_video_is_refused(tmp_path: Path, streams: tuple[str, ...]) -> None:
    # Given a film, with and without sound
    file = tmp_path / "film.mp4"
    ffmpeg(*streams, str(file))
    # When it is decoded, Then the answer says why not
    assert await refusal(file) is ErrorCode.AUDIO_HAS_VIDEO


async def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    # Given a text under the name of a recording
    file = tmp_path / "text.wav"
    file.write_text("안녕하세요")
    # When it is decoded, Then its name did not help
    assert await refusal(file) is ErrorCode.AUDIO_TYPE


@pytest.mark.parametrize("content", [b"OggS" + bytes(60), wav(tone(0))])
async def test_a_broken_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    # Given a file that begins well and holds no sound
    file = tmp_path / "broken"
    file.write_bytes(content)
    # When it is decoded, Then it is called unreadable
    assert await refusal(file) is ErrorCode.AUDIO_UNREADABLE


@pytest.mark.parametrize(("seconds", "fits"), [(2.0, True), (2.1, False), (60.0, False)])
async def test_length_has_a_limit(tmp_path: Path, seconds: float, fits: bool) -> None:
    # Given a recording about as long as allowed, or much longer
    file = tmp_path / "long"
    file.write_bytes(wav(tone(seconds)))
    # When it is decoded, Then the limit decides, and no more than the limit is decoded
    if fits:
        assert (await decoded(file)).seconds == seconds
    else:
        assert await refusal(file) is ErrorCode.AUDIO_TOO_LONG


async def test_work_has_a_limit(recording: Path) -> None:
    # Given less time than ffmpeg needs to start
    limits = DecodeLimits(audio_seconds=2, wall_seconds=0.001)
    # When a recording is decoded, Then ffmpeg does not outlive it
    assert await refusal(recording, limits) is ErrorCode.AUDIO_UNREADABLE


@pytest.mark.parametrize("form", MEDIA_TYPES)
async def test_sound_becomes_every_format(tmp_path: Path, form: AudioFormat) -> None:
    # Given sound louder than a file can hold
    sound = Waveform(3 * tone(SECONDS, 44_100), 44_100)
    # When it is written
    data = await encode(sound, form, PATIENCE)
    # Then it can be read again (the raw form has no head, and two bytes a sample at 24 kHz)
    if form == "pcm":
        assert len(data) == pytest.approx(2 * 24_000 * SECONDS, rel=0.01)
    else:
        file = tmp_path / f"sound.{form}"
        file.write_bytes(data)
        ffmpeg("-i", str(file), "-f", "null", "-")


async def test_an_encoder_that_fails_is_told() -> None:
    # Given no time at all
    with pytest.raises(ServiceError) as failed:
        await encode(Waveform(tone(), SAMPLE_RATE), "mp3", 0.001)
    # When encoding ends, Then the caller learns that it was not his fault
    assert failed.value.code is ErrorCode.ENGINE_FAILED
