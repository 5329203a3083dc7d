import re

from fastapi.testclient import TestClient

from app.core.config import ROOT


def test_the_page_is_there_with_what_it_needs(client: TestClient) -> None:
    # Given a browser without a key
    del client.headers["Authorization"]
    # When it opens the page
    response = client.get("/")
    # Then it is a page, and each file that it names is in the project
    assert response.headers["Content-Type"].startswith("text/html")
    files = re.findall(r'(?:src|href)="/(static/[^"]+)"', response.text)
    assert files
    assert all((ROOT / file).is_file() for file in files)


def test_the_interface_describes_itself(client: TestClient) -> None:
    # Given a developer, When the schema is asked for, Then every route has its errors in it
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/chat", "/api/voice-chat", "/v1/chat/completions", "/health"} <= paths.keys()
    assert {"400", "401", "429"} <= paths["/api/voice-chat"]["post"]["responses"].keys()
