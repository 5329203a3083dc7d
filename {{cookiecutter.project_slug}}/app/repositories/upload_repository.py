"""Uploads on disk, for as long as they are read."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

COPY_BYTES = 1 << 20
HEAD_BYTES = 64


class Readable(Protocol):
    """An upload, read piece by piece."""

    async def read(self, size: int = -1) -> bytes:
        """Return the next bytes, none at the end."""
        ...


@dataclass(frozen=True)
class StoredUpload:
    """Where an upload lies, and its first bytes."""

    path: Path
    head: bytes
    size: int


@asynccontextmanager
async def stored(upload: Readable) -> AsyncIterator[StoredUpload]:
    """Keep an upload in a temporary file of our own naming, deleted whatever happens."""
    with tempfile.NamedTemporaryFile(prefix="upload-") as file:
        head, size = b"", 0
        while part := await upload.read(COPY_BYTES):
            head = head or part[:HEAD_BYTES]
            size += len(part)
            await asyncio.to_thread(file.write, part)
        await asyncio.to_thread(file.flush)
        yield StoredUpload(Path(file.name), head, size)
