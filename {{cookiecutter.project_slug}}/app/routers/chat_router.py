"""Typed questions."""

from fastapi import APIRouter

from app.ai.llm.base import ChatMessage
from app.models.chat_model import ChatRequest, ChatResponse
from app.routers.dependencies import API_ERRORS, ServicesDependency, authenticated

router = APIRouter(prefix="/api", tags=["chat"], dependencies=[authenticated], responses=API_ERRORS)


@router.post("/chat")
async def chat(request: ChatRequest, services: ServicesDependency) -> ChatResponse:
    """Answer a typed question."""
    history = [ChatMessage(turn.role, turn.content) for turn in request.history]
    answer = await services.chat.answer(request.query, history)
    return ChatResponse(query=request.query, answer=answer)
