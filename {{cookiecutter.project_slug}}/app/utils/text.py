"""Text in and out of speech: normalising, and cutting at sentence ends."""

import re
import unicodedata

LONGEST_PIECE = 200
"""Characters in one piece of speech (the voice guideline says about 120 to 200)."""

HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
LATIN = re.compile(r"[A-Za-z]")
# Unicode categories: controls, format marks, lone surrogates.
INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
# Unicode categories: emoji and other pictures, modifiers, private and unassigned characters.
SYMBOLS = frozenset({"So", "Sk", "Co", "Cn"})
EMOJI_VARIANT = "\ufe0f"
# Words whose full stop ends no sentence.
ABBREVIATIONS = frozenset(
    {
        *("a.m", "approx", "co", "corp", "dept", "dr", "e.g", "est", "etc", "fig", "i.e", "inc"),
        *(
            "jr",
            "ltd",
            "mr",
            "mrs",
            "ms",
            "no",
            "p.m",
            "prof",
            "sr",
            "st",
            "u.k",
            "u.s",
            "vol",
            "vs",
        ),
    }
)
CLOSERS = "\"'”’」』)]»"
# A run of full stops, with the closing quotes and brackets behind it.
SENTENCE_END = re.compile(rf"[.!?…。！？]+[{re.escape(CLOSERS)}]*")
CLAUSE_END = re.compile(r"[,;:、，；：](?=\s|$)")
# Markdown that a voice would read out: emphasis, headings, list marks, code, link targets.
MARKDOWN = (
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"(?m)^\s{0,3}(?:#{1,6}|[-*+]|>)\s+"), ""),
    (re.compile(r"(?<![\w*])(\*\*|__|\*|`+)(?=\S)(.+?)(?<=\S)\1(?!\d)"), r"\2"),
)


def normalise(text: str) -> str:
    """Return the text with composed characters, single spaces and no control characters.

    Korean typed on some systems arrives as separate jamo (NFD); models know syllables (NFC).
    """
    composed = unicodedata.normalize("NFC", text)
    kept = (c for c in composed if c.isspace() or unicodedata.category(c) not in INVISIBLE)
    return " ".join("".join(kept).split())


def speakable(text: str) -> str:
    """Return the text as it should be read out: no Markdown, no emoji, no symbols' variants."""
    for pattern, replacement in MARKDOWN:
        text = pattern.sub(replacement, text)
    text = unicodedata.normalize("NFKC", text)  # ㎏ is read as kg, ℃ as °C
    kept = (" " if unicodedata.category(c) in SYMBOLS and c != "°" else c for c in text)
    return normalise("".join(kept).replace(EMOJI_VARIANT, ""))


def language_of(text: str) -> str | None:
    """Return ``ko`` for text with Hangul, ``en`` for Latin letters alone, None otherwise."""
    if HANGUL.search(text):
        return "ko"
    is_latin = LATIN.search(text) and all(c.isascii() for c in text if c.isalpha())
    return "en" if is_latin else None


def split_sentences(text: str) -> list[str]:
    """Cut a text behind its sentences.

    A full stop in a number (3.14), behind an abbreviation (Dr.) or a single capital
    (J. Smith) ends nothing. Nothing is lost: the parts, joined by spaces, are the text.
    """
    sentences, start = [], 0
    for end in SENTENCE_END.finditer(text):
        if _ends_sentence(text, end):
            sentences.append(text[start : end.end()].strip())
            start = end.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def speech_pieces(text: str, longest: int = LONGEST_PIECE) -> list[str]:
    """Cut a text into pieces for a voice: whole sentences together, up to ``longest`` characters.

    A sentence that is longer is cut at a comma, else at a space, else where it must be.
    """
    pieces: list[str] = []
    for sentence in split_sentences(text):
        for part in _cut(sentence, longest):
            if pieces and len(pieces[-1]) + 1 + len(part) <= longest:
                pieces[-1] += " " + part
            else:
                pieces.append(part)
    return pieces


def _ends_sentence(text: str, end: re.Match[str]) -> bool:
    mark, after = end[0], text[end.end() : end.end() + 1]
    if mark[0] in "。！？":
        return True
    if after and not after.isspace():
        return False  # 3.14, example.com, "네!"라고
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    word = re.split(r"[\s(\[\"'“‘]", text[: end.start()])[-1]
    initial = len(word) == 1 and word.isupper() and word.isascii()
    return not (word.lower() in ABBREVIATIONS or initial) or not after


def _cut(sentence: str, longest: int) -> list[str]:
    """Cut one sentence into parts of at most ``longest`` characters."""
    parts = []
    while len(sentence) > longest:
        window = sentence[: longest + 1]
        commas = [m.end() for m in CLAUSE_END.finditer(window) if m.end() <= longest]
        at = commas[-1] if commas else window.rfind(" ")
        at = at if at > 0 else longest
        parts.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*parts, sentence] if sentence else parts
