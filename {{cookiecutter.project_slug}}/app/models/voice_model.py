"""``/api/voice-chat``."""

from app.models.chat_model import ChatResponse


class VoiceChatResponse(ChatResponse):
    """A spoken answer; no ``tts_url`` when the voice is down."""

    tts_url: str | None
