"""The services of a running application, made once."""

from dataclasses import dataclass

from app.ai.engines import Engines
from app.core.config import Settings
from app.core.drain import Drain
from app.repositories.audio_repository import AudioRepository
from app.services.chat_service import ChatService
from app.services.speech_service import SpeechService
from app.services.transcription_service import TranscriptionService
from app.services.voice_service import VoiceService


@dataclass(frozen=True)
class Services:
    """What the routers call."""

    settings: Settings
    engines: Engines
    drain: Drain
    audio: AudioRepository
    transcription: TranscriptionService
    chat: ChatService
    speech: SpeechService
    voice: VoiceService

    @classmethod
    def build(cls, settings: Settings, engines: Engines) -> "Services":
        """Connect the services with each other."""
        drain = Drain(settings.drain_seconds)
        audio = AudioRepository(settings.static_dir)
        transcription = TranscriptionService(engines, settings)
        chat = ChatService(engines, settings)
        speech = SpeechService(engines, settings)
        voice = VoiceService(transcription, chat, speech, audio, settings)
        return cls(settings, engines, drain, audio, transcription, chat, speech, voice)
