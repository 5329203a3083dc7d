"""Decoding and encoding of audio by an ffmpeg process, within limits."""

import asyncio
import io
import re
import wave
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.core.errors import ErrorCode, ServiceError
from app.models.openai_model import AudioFormat

Samples = NDArray[np.float32]

SAMPLE_RATE = 16_000
"""Hz that every recogniser here takes (Whisper's own)."""
BYTES_PER_SAMPLE = 4
READ_BYTES = 1 << 18
LOG_BYTES = 1 << 16
FORMATS = "wav, mp3, m4a, ogg, flac or webm"

MEDIA_TYPES: dict[AudioFormat, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
ENCODERS: dict[AudioFormat, tuple[str, ...]] = {
    "mp3": ("-c:a", "libmp3lame", "-f", "mp3"),
    "opus": ("-c:a", "libopus", "-ar", "48000", "-f", "ogg"),
    "aac": ("-c:a", "aac", "-f", "adts"),
    "flac": ("-c:a", "flac", "-f", "flac"),
    # OpenAI's raw form: 24 kHz, 16 bit, little endian, without a header.
    "pcm": ("-c:a", "pcm_s16le", "-ar", "24000", "-f", "s16le"),
}
# ffmpeg lists the streams it found on standard error. Cover pictures are video streams, too.
VIDEO_STREAM = re.compile(rb"^ *Stream #0:\d+.*: Video: (?!.*\(attached pic\))", re.MULTILINE)


@dataclass(frozen=True)
class Waveform:
    """Sound: samples of shape (n,) in -1..1, and their rate in Hz."""

    samples: Samples
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class DecodeLimits:
    """What one file may cost: seconds of sound, and seconds of wall time."""

    audio_seconds: float
    wall_seconds: float


def demuxer_of(head: bytes) -> str | None:
    """Return ffmpeg's name for the container that a file begins with, None if it is no audio.

    The name of a file and its media type are the sender's claims; its first bytes are not.
    Naming the demuxer keeps ffmpeg from guessing playlists and other formats that open files.
    """
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:3] == b"ID3":
        return "mp3"
    if len(head) > 2 and head[0] == 0xFF:
        # ADTS: 12 set bits and layer 0. MPEG: 11, and neither version nor layer "reserved".
        if head[1] & 0xF6 == 0xF0:
            return "aac"
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08 and head[1] & 0x06:
            return "mp3"
    return None


async def decode(file: Path, head: bytes, limits: DecodeLimits) -> Waveform:
    """Decode a recording to mono at `SAMPLE_RATE`.

    Args:
        file: where its bytes lie.
        head: its first bytes (12 or more).
        limits: bounds; one second more than allowed is decoded, to see that it is too long.

    Raises:
        ServiceError: AUDIO_TYPE, AUDIO_HAS_VIDEO, AUDIO_TOO_LONG or AUDIO_UNREADABLE.
    """
    demuxer = demuxer_of(head)
    if demuxer is None:
        raise ServiceError(ErrorCode.AUDIO_TYPE, formats=FORMATS)
    most_bytes = int((limits.audio_seconds + 1) * SAMPLE_RATE) * BYTES_PER_SAMPLE
    command = [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "info", "-nostats", "-threads", "1"),
        *("-protocol_whitelist", "file", "-f", demuxer, "-i", str(file)),
        *("-map", "0:a:0", "-vn", "-sn", "-dn", "-t", f"{limits.audio_seconds + 1:g}"),
        *("-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "f32le", "pipe:1"),
    ]
    status, sound, log = await _run(command, b"", most_bytes, limits.wall_seconds)
    if VIDEO_STREAM.search(log):
        raise ServiceError(ErrorCode.AUDIO_HAS_VIDEO)
    samples, sane = await asyncio.to_thread(_samples, sound)
    if len(samples) > limits.audio_seconds * SAMPLE_RATE:
        raise ServiceError(ErrorCode.AUDIO_TOO_LONG, limit=limits.audio_seconds)
    if status != 0 or len(samples) == 0 or not sane:
        raise ServiceError(ErrorCode.AUDIO_UNREADABLE, formats=FORMATS)
    return Waveform(samples, SAMPLE_RATE)


async def encode(sound: Waveform, form: AudioFormat, wall_seconds: float) -> bytes:
    """Return the sound as a file of the given format.

    A WAV file begins with its length, which ffmpeg cannot know while it writes to a pipe.

    Raises:
        ServiceError: ENGINE_FAILED, when ffmpeg fails.
    """
    if form == "wav":
        return await asyncio.to_thread(to_wav, sound)
    command = [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1"),
        *("-f", "f32le", "-ar", str(sound.sample_rate), "-ac", "1", "-i", "pipe:0"),
        *(*ENCODERS[form], "pipe:1"),
    ]
    raw = np.clip(sound.samples, -1, 1).astype("<f4").tobytes()
    status, data, log = await _run(command, raw, None, wall_seconds)
    if status != 0 or not data:
        raise ServiceError(
            ErrorCode.ENGINE_FAILED, task="audio", detail=log[-200:].decode("utf-8", "replace")
        )
    return data


def _samples(sound: bytes) -> tuple[Samples, bool]:
    """Return raw sound as samples, and whether all of them are numbers."""
    samples = np.frombuffer(bytearray(sound), "<f4", len(sound) // BYTES_PER_SAMPLE)
    return samples, bool(np.isfinite(samples).all())


def to_wav(sound: Waveform) -> bytes:
    """Return the sound as a WAV file of 16 bits."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, sound.sample_rate, 0, "NONE", ""))
        file.writeframes((np.clip(sound.samples, -1, 1) * 32767).astype("<i2").tobytes())
    return data.getvalue()


async def _run(
    command: list[str], stdin: bytes, most_bytes: int | None, wall_seconds: float
) -> tuple[int, bytes, bytes]:
    """Run ffmpeg; return its status, its output (cut at ``most_bytes``) and its log.

    The process never outlives this call.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    log = asyncio.create_task(_read(process.stderr, LOG_BYTES, drain=True))
    feed = asyncio.create_task(_feed(process.stdin, stdin))
    try:
        async with asyncio.timeout(wall_seconds):
            output = await _read(process.stdout, most_bytes, drain=False)
            if most_bytes is not None and len(output) >= most_bytes:
                with suppress(ProcessLookupError):
                    process.kill()
            return await process.wait(), output, await log
    except TimeoutError:
        return -1, b"", b"timed out"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        feed.cancel()
        log.cancel()


async def _read(stream: asyncio.StreamReader, most: int | None, *, drain: bool) -> bytes:
    """Read to the end, or to ``most`` bytes; with ``drain`` the rest is read and dropped."""
    parts, size = [], 0
    while part := await stream.read(READ_BYTES):
        if most is None or size < most:
            parts.append(part)
            size += len(part)
        elif not drain:
            break
    return b"".join(parts)[:most]


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    """Write the input; a process that ends early does not want the rest."""
    with suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()
