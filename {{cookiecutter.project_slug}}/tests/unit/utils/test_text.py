import unicodedata

import pytest

from app.utils.text import language_of, normalise, speakable, speech_pieces, split_sentences

KOREAN = "안녕하세요. 오늘 회의는 세 시입니다!"


def test_separate_jamo_become_syllables() -> None:
    # Given Korean as some systems type it (NFD), with stray spaces and invisible characters
    text = unicodedata.normalize("NFD", f"  {KOREAN}\u200b\x00\n ")
    # When it is normalised
    # Then it is composed (NFC) and clean
    assert normalise(text) == KOREAN


@pytest.mark.parametrize(
    "sentences",
    [
        ["안녕하세요.", "오늘은 3.14를 배웁니다.", "재미있죠?", "네!"],
        ["Dr. Kim met J. Smith at 3 p.m. today.", "Fine."],
        ["She said “Really?!”", "Then she left."],
        ["음…", "잠시만요...", "네.", "좋아요 🙂"],
        ["「네！」", "すぐ行く。", "See example.com for more."],
        ['"네!"라고 말했다.', "(끝.)"],
    ],
)
def test_sentences_end_where_readers_stop(sentences: list[str]) -> None:
    # Given sentences with full stops that end nothing
    text = " ".join(sentences)
    # When the text is cut
    # Then the sentences are back, and nothing is lost
    assert split_sentences(text) == sentences


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_nothing_has_no_sentences(text: str) -> None:
    # Given no text, When it is cut, Then there is nothing
    assert split_sentences(text) == speech_pieces(text) == []


def test_pieces_hold_whole_sentences_together() -> None:
    # Given short sentences
    sentences = [f"문장 {number}입니다." for number in range(10)]
    # When they are cut for a voice
    pieces = speech_pieces(" ".join(sentences), 40)
    # Then each piece has as many as fit, and none is torn
    assert all(len(piece) <= 40 for piece in pieces)
    assert [sentence for piece in pieces for sentence in split_sentences(piece)] == sentences
    assert len(pieces) < len(sentences)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one two, three four five", ["one two,", "three four", "five"]),
        ("가나다라마바사아자차카타파하", ["가나다라마바사아자차", "카타파하"]),
    ],
)
def test_a_long_sentence_is_cut_at_a_comma_a_space_or_anywhere(
    text: str, pieces: list[str]
) -> None:
    # Given one sentence that is too long, When it is cut, Then at the best place there is
    assert speech_pieces(text, 10) == pieces


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("# 제목\n- **굵게** 그리고 `code`", "제목 굵게 그리고 code"),
        ("[여기](https://example.com)를 보세요 👍🏽", "여기를 보세요"),
        ("2 * 3 = 6 ❤️", "2 * 3 = 6"),
    ],
)
def test_only_what_can_be_read_out_is_left(text: str, spoken: str) -> None:
    # Given Markdown and emoji, When prepared for a voice, Then only the words are left
    assert speakable(text) == spoken


@pytest.mark.parametrize(
    ("text", "language"), [("네, OK", "ko"), ("Hello", "en"), ("123", None), ("café", None)]
)
def test_the_language_is_known_by_its_letters(text: str, language: str | None) -> None:
    # Given a text, When its language is asked for, Then its letters tell, or nothing is claimed
    assert language_of(text) == language
