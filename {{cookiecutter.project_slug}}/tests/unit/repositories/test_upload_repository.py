import pytest

from app.repositories.upload_repository import COPY_BYTES, HEAD_BYTES, stored
from tests.helpers import Upload

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [0, 10, COPY_BYTES + 10])
async def test_an_upload_is_a_file_for_a_while(size: int) -> None:
    # Given an upload
    data = b"0123456789" * (size // 10)
    # When it is stored
    async with stored(Upload(data)) as file:
        # Then all of it is in a file of our own naming
        assert file.path.read_bytes() == data
        assert (file.head, file.size) == (data[:HEAD_BYTES], len(data))
    # And then the file is gone
    assert not file.path.exists()


async def test_it_is_gone_when_its_reader_fails() -> None:
    # Given a reader that fails
    with pytest.raises(ZeroDivisionError):
        async with stored(Upload(b"sound")) as file:
            _ = 1 // 0
    # When the exception passes, Then nothing is left behind
    assert not file.path.exists()
