"""The main job in a real browser: sign in, make a department and a key, drop an adapter, watch it, talk to it."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from deadline import wait_until
from running_platform import Platform

pytestmark = pytest.mark.e2e

T = TypeVar("T")

SUPPORT_VOICE = "Thanks for reaching out"
# Chromium as root needs no sandbox; the rest keeps it from calling home.
CHROMIUM_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
]


class Browser:
    """Chromium, with words for what a person does."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def find(self, css: str) -> WebElement:
        """The visible element, once it is there."""
        return self._wait(lambda: self._visible(By.CSS_SELECTOR, css), f"{css} shows")

    def fill(self, css: str, text: str) -> None:
        self._wait(lambda: self._fill(css, text), f"{css} can be filled")

    def press(self, words: str) -> None:
        """Press the button or follow the link with these words."""
        path = f"//*[self::a or self::button][contains(normalize-space(.), '{words}')]"
        self._wait(lambda: self._click(By.XPATH, path), f"'{words}' can be pressed")

    def click(self, css: str) -> None:
        self._wait(lambda: self._click(By.CSS_SELECTOR, css), f"{css} can be clicked")

    def see(self, words: str, seconds: float = 15) -> None:
        self._wait(lambda: words in self.text(), f"'{words}' is on the page", seconds)

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def drop(self, css: str, files: list[Path]) -> None:
        """Drop files from the desktop onto an element, as the operating system would."""
        box = self.find(css).rect
        for kind in ("dragEnter", "dragOver", "drop"):
            self.driver.execute_cdp_cmd(
                "Input.dispatchDragEvent",
                {
                    "type": kind,
                    "x": box["x"] + box["width"] / 2,
                    "y": box["y"] + box["height"] / 2,
                    "data": {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1},
                },
            )

    def complaints(self) -> list[str]:
        """What the page did wrong in the browser's eyes: scripts that failed, policies broken, files missing."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def _visible(self, by: str, what: str) -> WebElement:
        return next(element for element in self.driver.find_elements(by, what) if element.is_displayed())

    def _click(self, by: str, what: str) -> bool:
        element = self._visible(by, what)
        # Away from the window's edges, where a bar may lie over it.
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        element.click()
        return True

    def _fill(self, css: str, text: str) -> bool:
        field = self._visible(By.CSS_SELECTOR, css)
        field.clear()
        field.send_keys(text)
        return True

    def _wait(self, attempt: Callable[[], T], what: str, seconds: float = 60) -> T:
        """Try until it works: what is not there yet comes, and a page that changes meanwhile is looked at again."""

        def once() -> T | None:
            with contextlib.suppress(WebDriverException, StopIteration):
                return attempt()
            return None

        return wait_until(once, seconds=seconds, what=f"{what} at {self.driver.current_url}")


@pytest.fixture
def browser(platform: Platform, tmp_path: Path) -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if binary is None or chromedriver is None:
        pytest.skip("Chromium and its driver are not installed: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield Browser(driver, platform.url)
    driver.quit()


def sign_in(browser: Browser, platform: Platform) -> None:
    browser.open("/")
    browser.fill("#id_login", platform.demo["admin"]["username"])
    browser.fill("#id_password", platform.demo["admin"]["password"])
    browser.press("Sign in")
    browser.see("Overview")


def test_from_sign_in_to_an_answer_from_an_adapter_just_dropped(
    browser: Browser, platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    sign_in(browser, platform)

    browser.open("/departments/")
    browser.press("New department")
    browser.fill("#id_name", "Field sales")
    browser.press("Create department")
    browser.see("Field sales")
    assert "/departments/field-sales/" in browser.driver.current_url

    browser.open("/departments/field-sales/adapters/upload/")
    folder = adapter_folder("support-bot")
    browser.drop("#drop", [folder / "adapter_config.json", folder / "adapter_model.safetensors"])
    browser.see("adapter_model.safetensors")
    browser.fill("#id_name", "greeter")
    browser.click("#upload button[type=submit]")
    browser.see("Version 1")
    browser.see("live")
    assert browser.find(".version .badge-live")
    version = platform.version("field-sales", "greeter")
    assert version["state"] == "ready"

    browser.open("/departments/field-sales/keys/new/")
    browser.fill("#id_name", "website")
    browser.press("Create key")
    secret = browser.find("#secret").text
    assert platform.client(secret).models.list().data
    for words in ("curl", "Python", "JavaScript"):
        browser.see(words)
    snippet = browser.find("#code-curl").text
    assert secret in snippet
    assert "greeter" in snippet
    browser.open("/departments/field-sales/keys/")
    assert secret not in browser.driver.page_source

    browser.open("/departments/field-sales/adapter/greeter/")
    browser.press("Try it")
    browser.fill("#prompt", "How do I reset my password?")
    browser.click("#send")
    browser.see(SUPPORT_VOICE)
    browser.see("tokens")
    assert browser.complaints() == []


def test_a_version_is_rolled_out_rated_and_taken_back(
    browser: Browser, platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    for number, folder in enumerate(("contracts", "support-bot"), start=1):
        platform.upload("legal", "turncoat", adapter_folder(folder))
        platform.wait_for_state("legal", "turncoat", "ready", number)
    sign_in(browser, platform)
    page = "/departments/legal/adapter/turncoat/"
    browser.open(page)
    browser.see("turncoat means version 1")
    browser.press("Make live")
    browser.see("Make version 2 live?")
    browser.fill("#id_reason", "A warmer voice.")
    browser.click("#dialog button[type=submit]")
    browser.see("turncoat means version 2")

    browser.open("/departments/legal/try/?model=turncoat")
    browser.fill("#prompt", "How do I reset my password?")
    browser.click("#send")
    browser.see(SUPPORT_VOICE)
    browser.click(".thumbs button[value=up]")
    browser.find(".thumbs button[value=up][aria-pressed=true]")
    browser.fill(".thumbs input", "Just what I asked for.")
    browser.click(".thumbs form button")
    browser.see("Comment kept.")

    browser.open(page)
    wait_until(lambda: thumbs(platform) == {2: 1}, what="the thumb is counted")
    browser.open(f"{page}feedback/")
    browser.see("Just what I asked for.")
    browser.open(page)
    browser.press("Back to version 1")
    browser.see("turncoat means version 1 again.")
    browser.press("History")
    browser.see("A warmer voice.")
    assert browser.complaints() == []
    platform.api("DELETE", "departments/legal/adapters/turncoat")


def thumbs(platform: Platform) -> dict[int, int]:
    """Version → thumbs up, of those that have any."""
    rows = platform.api("GET", "departments/legal/adapters/turncoat/numbers").json()["versions"]
    return {row["version"]: row["up"] for row in rows if row["up"]}


def test_a_bad_upload_is_explained_on_the_page(
    browser: Browser, platform: Platform, adapter_folder: Callable[[str], Path]
) -> None:
    sign_in(browser, platform)
    folder = adapter_folder("contracts")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b"layers.29.", b"layers.31."))
    browser.open("/departments/legal/adapters/upload/")
    browser.drop("#drop", [folder / "adapter_config.json", weights])
    browser.fill("#id_name", "misfit")
    browser.click("#upload button[type=submit]")
    browser.see("Rejected")
    browser.see("layers.31")
    assert browser.complaints() == []


def test_a_wrong_file_is_refused_before_it_is_sent(browser: Browser, platform: Platform, tmp_path: Path) -> None:
    sign_in(browser, platform)
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04")
    browser.open("/departments/legal/adapters/upload/")
    browser.drop("#drop", [tmp_path / "adapter_model.bin"])
    browser.see("pickle")


def test_the_engines_page_shows_what_runs(browser: Browser, platform: Platform) -> None:
    sign_in(browser, platform)
    browser.open("/engines/")
    browser.see(platform.base_model)
    browser.see("ready")
    assert browser.complaints() == []
