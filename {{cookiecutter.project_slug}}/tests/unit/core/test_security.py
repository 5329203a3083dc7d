import pytest

from app.core.security import find_user
from tests.conftest import MakeSettings


@pytest.mark.parametrize(
    ("key", "user"),
    [("one", "kim"), ("키-둘", "lee"), ("on", None), ("onee", None), ("", None), ("kim", None)],
)
def test_a_key_tells_its_user(make_settings: MakeSettings, key: str, user: str | None) -> None:
    # Given two callers
    settings = make_settings(api_keys="kim:one,lee:키-둘")
    # When a key comes, Then only a whole one tells whose it is
    assert find_user(settings, key) == user
