import pytest

from app.utils.masking import MASK, mask


@pytest.mark.parametrize(
    "number",
    [
        *("900101-1234567", "9001011234567", "900101 8234567"),
        *("010-1234-5678", "01012345678", "02-123-4567", "031.123.4567", "+82 10-1234-5678"),
        *("070-1234-5678", "0505-123-4567", "02)123-4567", "(02) 123-4567", "1588-1234"),
    ],
)
def test_personal_numbers_are_hidden(number: str) -> None:
    # Given a sentence in which a Korean particle follows a number
    text = f"제 번호는 {number}입니다"
    # When it is masked
    # Then nothing of the number is left, and the rest is
    assert mask(text) == f"제 번호는 {MASK}입니다"


@pytest.mark.parametrize(
    "text", ["901301-1234567", "주문 20251127", "1234567", "3.14", "010-12", "a01012345678b"]
)
def test_other_numbers_stay(text: str) -> None:
    # Given a number of another kind, When it is masked, Then it is the same
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("key sk-abcdefgh12345678", f"key {MASK}"),
        ("GET /x?key=abc&y=1", f"GET /x?key={MASK}&y=1"),
        ("http://me:pass@host/", f"http://{MASK}@host/"),
    ],
)
def test_credentials_are_hidden(text: str, masked: str) -> None:
    # Given a credential in a form that is known, When masked, Then only it is gone
    assert mask(text) == masked


def test_given_secrets_are_hidden() -> None:
    # Given the service's own keys, an empty one among them
    # When a text holds one of them
    # Then it is hidden, and the empty one hides nothing
    assert mask("key=hunter2!", ["", "hunter2"]) == f"key={MASK}!"
