from dataclasses import dataclass

from app.utils.subtitles import to_srt, to_vtt


@dataclass(frozen=True)
class Line:
    start: float
    end: float
    text: str


LINES = [Line(0, 1.5, " 안녕하세요 "), Line(3661.0049, 3662, "a --> b <i> & c")]


def test_srt_has_numbers_and_commas() -> None:
    # Given two lines, the second after an hour
    # When they become a SubRip file
    # Then the cues are numbered and their times have three decimals behind a comma
    assert to_srt(LINES) == (
        "1\n00:00:00,000 --> 00:00:01,500\n안녕하세요\n\n"
        "2\n01:01:01,005 --> 01:01:02,000\na --> b <i> & c\n\n"
    )


def test_vtt_escapes_what_would_be_markup() -> None:
    # Given a line with an arrow and a tag
    # When they become a WebVTT file
    # Then neither can be taken for WebVTT's own
    assert to_vtt(LINES) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n안녕하세요\n\n"
        "01:01:01.005 --> 01:01:02.000\na → b &lt;i&gt; &amp; c\n\n"
    )
