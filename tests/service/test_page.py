"""The page in a real browser: typed, from a file, and by its microphone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.service.browser import PACKAGE, Page, browsing, find_program
from tests.service.test_speech_to_text import word_error_rate
from tools.service_process import Service

QUESTION = ROOT / "tests" / "data" / "question.wav"
ASKED = "What is the capital of France?"
SPOKEN_SECONDS = 1.9
ANSWER_SECONDS = 120.0
WAITING = "…"
RED = "rgb(176, 0, 32)"


@pytest.fixture(scope="module")
def browser(local: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Return a browser whose microphone hears a spoken question."""
    if find_program() is None:
        tool = [str(ROOT / "tools/system-packages.sh"), PACKAGE]
        done = subprocess.run(tool, check=False, capture_output=True, text=True)
        if done.returncode and os.environ.get("KODEX_REQUIRE_REAL"):
            pytest.fail(done.stderr)
        if done.returncode:
            pytest.skip(done.stderr)
    with browsing(QUESTION, tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser: Page, local: Service) -> Page:
    """Return the page, opened anew, with the key in its field."""
    browser.problems.clear()
    browser.open(f"{local.url}/", "document.getElementById('record')")
    fill(browser, "key", local.key)
    return browser


def fill(page: Page, field: str, text: str) -> None:
    """Write into a field."""
    page.run(f"element('{field}').value = {json.dumps(text)}")


def click(page: Page, selector: str) -> None:
    """Click a button."""
    page.run(f"document.querySelector('{selector}').click()")


def answered(page: Page) -> tuple[str, str]:
    """Return question and answer, once they are shown."""
    page.until(f"!['', '{WAITING}'].includes(element('answer').textContent)", ANSWER_SECONDS)
    shown = page.run("[element('question').textContent, element('answer').textContent]")
    return shown[0], shown[1]


def assert_spoken(page: Page) -> None:
    """See that the answer can be heard: its player is shown, and plays."""
    assert page.run("!element('voice').hidden")
    page.run("element('voice').play()")
    page.until("element('voice').currentTime > 0.2")
    assert page.run("element('voice').error") is None


def test_typed_question_is_answered(page: Page) -> None:
    # Given a question that is typed
    fill(page, "query", ASKED)
    # When it is sent
    click(page, "#typed button")
    # Then question and answer are shown, without a voice
    question, answer = answered(page)
    assert question == ASKED
    assert "Paris" in answer
    assert page.run("element('voice').hidden")
    assert page.problems == []


def test_recording_from_a_file_is_answered_aloud(page: Page) -> None:
    # Given a recording, chosen as a file
    page.choose_file("#file", QUESTION)
    # When it is sent
    click(page, "#spoken button:not([type])")
    # Then it was heard, and the answer is shown and spoken
    question, answer = answered(page)
    assert word_error_rate(ASKED, question) == 0
    assert "Paris" in answer
    assert_spoken(page)
    assert page.problems == []


def test_question_into_the_microphone_is_answered_aloud(page: Page) -> None:
    # Given somebody who presses the button, and speaks
    click(page, "#record")
    page.until("element('record').recorder?.state === 'recording'")
    assert page.run("element('record').textContent") == "Stop · 멈춤"
    page.run(f"new Promise((done) => setTimeout(done, {(SPOKEN_SECONDS + 1) * 1000}))")
    # When the button is pressed again
    click(page, "#record")
    # Then what was said was heard, and is answered; the microphone is free again
    question, answer = answered(page)
    assert word_error_rate(ASKED, question) == 0
    assert "Paris" in answer
    assert_spoken(page)
    assert page.run("element('record').textContent") == "Record · 녹음"
    assert page.run("element('record').recorder === undefined")
    assert page.problems == []


def test_refusal_is_shown_in_red(page: Page) -> None:
    # Given a key that is none
    fill(page, "key", "wrong")
    fill(page, "query", ASKED)
    # When a question is sent
    click(page, "#typed button")
    # Then the service's sentence is shown, in the style sheet's red
    _, answer = answered(page)
    assert "API" in answer
    assert page.run("getComputedStyle(element('answer')).color") == RED


def test_service_that_is_away_is_told(page: Page) -> None:
    # Given a page whose service has gone away
    page.call("Network.enable")
    page.call(
        "Network.emulateNetworkConditions",
        offline=True,
        latency=0,
        downloadThroughput=0,
        uploadThroughput=0,
    )
    fill(page, "query", ASKED)
    # When a question is sent
    click(page, "#typed button")
    # Then a sentence says so
    _, answer = answered(page)
    page.call("Network.disable")
    assert answer == "The service cannot be reached. · 서비스에 연결할 수 없습니다."
    assert page.run("getComputedStyle(element('answer')).color") == RED
