"""What may go onto a server."""

from typing import Any

import pytest

from deploy import stack
from deploy.errors import DeployError
from deploy.stack import Release

DATA = {"type": "volume", "source": "data", "target": "/srv/data"}
SPOKEN = {"type": "volume", "source": "tts", "target": "/srv/static/tts"}


def model(*mounts: dict[str, Any]) -> dict[str, Any]:
    """Return a stack with these mounts."""
    return {"services": {"service": {"volumes": list(mounts)}}}


def test_folders_on_volumes_are_told() -> None:
    # Given both folders on volumes, When they are checked, Then the volumes are told
    found = stack.check_volumes(model(DATA, SPOKEN))
    assert found == [("data/", "data"), ("static/", "tts")]


@pytest.mark.parametrize(
    ("mounts", "folder", "place"),
    [
        ([SPOKEN], "data/", "/srv/data"),
        ([DATA], "static/", "/srv/static/tts"),
        ([DATA, {"type": "tmpfs", "target": "/srv/static/tts"}], "static/", "/srv/static/tts"),
        ([{"type": "volume", "target": "/srv/data"}, SPOKEN], "data/", "/srv/data"),
    ],
    ids=["no data", "no static", "in memory", "a volume without a name"],
)
def test_a_folder_without_a_volume_is_refused(
    mounts: list[dict[str, Any]], folder: str, place: str
) -> None:
    # Given a stack that would lose files, When it is checked, Then it is refused with the remedy
    with pytest.raises(DeployError) as refusal:
        stack.check_volumes(model(*mounts))
    assert str(refusal.value) == (
        f"{folder} is not on a persistent volume: its files would be lost with the container. "
        f"Mount one at {place} in deploy/stack.yaml."
    )


def test_secrets_are_files_of_the_service_alone() -> None:
    # Given a release with a setting, a secret of the service and one of the proxy
    release = Release("v1.0.0", "image:v1.0.0@sha256:0", {}, {"SERVICE_STT_MODEL": "tiny", "A": ""})
    names = {"API_KEYS": "stack_API_KEYS_1", "TLS_CERTIFICATE": "stack_TLS_CERTIFICATE_1"}
    users = {"API_KEYS": "service", "TLS_CERTIFICATE": "proxy"}
    # When the stack's part for them is made
    made = stack.fragment(release, names, users)
    # Then each secret is a file where it is used, readable by the service's user alone
    service = made["services"]["service"]
    mount = {"source": "API_KEYS", "target": "API_KEYS", "mode": 0o400, "uid": "10001"}
    assert service["secrets"] == [mount]
    assert [one["source"] for one in made["services"]["proxy"]["secrets"]] == ["TLS_CERTIFICATE"]
    assert service["environment"] == {"STT_MODEL": "tiny"}
