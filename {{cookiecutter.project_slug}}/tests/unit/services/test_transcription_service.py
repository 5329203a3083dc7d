import unicodedata
from dataclasses import replace

import pytest

from app.ai.stt.base import TranscribeOptions
from app.core.errors import ErrorCode, ServiceError
from tests.conftest import MakeServices
from tests.doubles import HEARD, Doubles
from tests.helpers import Upload, tone, wav

pytestmark = pytest.mark.anyio
RECORDING = wav(tone())


@pytest.mark.parametrize(
    ("spoken", "asked", "used"),
    [("ko", None, "ko"), ("ko", "en", "en"), ("auto", None, None), ("auto", "ko", "ko")],
)
async def test_the_language_is_the_callers_or_the_settings(
    services: MakeServices, doubles: Doubles, spoken: str, asked: str | None, used: str | None
) -> None:
    # Given a language in the settings
    transcription = services(spoken_language=spoken).transcription
    # When a recording comes
    await transcription.transcribe(Upload(RECORDING), TranscribeOptions(asked, prompt="Kodex"))
    # Then the recogniser has the language that counts, and what else was asked
    ((samples, options),) = doubles.stt.calls
    assert (options.language, options.prompt) == (used, "Kodex")
    assert len(samples) == 8_000


async def test_the_text_is_composed(services: MakeServices, doubles: Doubles) -> None:
    # Given a recogniser that writes separate jamo
    doubles.stt.segments = tuple(
        replace(segment, text=unicodedata.normalize("NFD", segment.text)) for segment in HEARD
    )
    # When a recording comes
    transcript = await services().transcription.transcribe(Upload(RECORDING), TranscribeOptions())
    # Then the text is in syllables, the segments' spaces kept
    assert transcript.segments == HEARD
    assert transcript.text == "여보세요, 제 말 들려요?"


async def test_an_empty_file_is_told(services: MakeServices) -> None:
    # Given nothing in the file
    with pytest.raises(ServiceError) as refused:
        await services().transcription.transcribe(Upload(b""), TranscribeOptions())
    # When it comes, Then it is called empty, not unreadable
    assert refused.value.code is ErrorCode.AUDIO_EMPTY
