"""Subtitle files from timed text."""

from collections.abc import Iterable
from typing import Protocol


class Timed(Protocol):
    """Text with its times in seconds."""

    @property
    def start(self) -> float:
        """Seconds."""
        ...

    @property
    def end(self) -> float:
        """Seconds."""
        ...

    @property
    def text(self) -> str:
        """What is said."""
        ...


def to_srt(segments: Iterable[Timed]) -> str:
    """Return a SubRip file."""
    return "".join(
        f"{number}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n{s.text.strip()}\n\n"
        for number, s in enumerate(segments, start=1)
    )


def to_vtt(segments: Iterable[Timed]) -> str:
    """Return a WebVTT file."""
    cues = (
        f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{_vtt_text(s.text)}\n\n"
        for s in segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def _vtt_text(text: str) -> str:
    """Return cue text; ``-->`` and markup may not stand in it (W3C WebVTT, section 4.2)."""
    text = text.strip().replace("-->", "→")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    """Return hours, minutes, seconds and milliseconds: ``01:02:03,004``."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{milliseconds:03}"
