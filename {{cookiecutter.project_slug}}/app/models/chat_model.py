"""``/api/chat``."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

LONGEST_QUERY = 8_000


class ChatTurn(BaseModel):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=LONGEST_QUERY)]


class ChatRequest(BaseModel):
    """A typed question."""

    query: Annotated[str, Field(min_length=1, max_length=LONGEST_QUERY, pattern=r"\S")]
    history: Annotated[list[ChatTurn], Field(max_length=50)] = []


class Source(BaseModel):
    """A document that an answer rests on."""

    source: str
    page: int | None = None


class ChatResponse(BaseModel):
    """An answer, with the documents it rests on."""

    query: str
    answer: str
    sources: list[Source] = []
