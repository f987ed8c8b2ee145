"""A real browser for tests: headless Chromium, spoken to by its DevTools protocol over a pipe.

No driver and no port are needed: Chromium reads commands from file descriptor 3 and writes answers and events to 4, as
JSON texts that end in a zero byte (https://chromedevtools.github.io/devtools-protocol/).
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COMMANDS, ANSWERS = 3, 4
ANSWER_S = 60.0
FLAGS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars"),
    *("--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--password-store=basic", "--use-mock-keychain"),
    "--no-sandbox",  # tests often run as root, where its sandbox cannot be had; only our own pages are opened
)


def find_chromium() -> str | None:
    """The browser's program: CHROMIUM from the environment, or the first of NAMES on the path."""
    given = os.environ.get("CHROMIUM")
    return given or next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Page:
    """An open page, what went wrong on it, and the addresses that it asked for."""

    browser: "Chromium"
    session: str
    complaints: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)
    loaded: bool = False

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression on the page (a promise is waited for)."""
        values = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.browser.command("Runtime.evaluate", values, self.session)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def media(self, *, scheme: str = "light", medium: str = "screen") -> None:
        """Show the page light or dark, on screen or as for print."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.command("Emulation.setEmulatedMedia", {"media": medium, "features": features}, self.session)

    def screenshot(self, path: Path, *, height: int | None = None) -> None:
        """Write a PNG of the whole page, or of its first `height` CSS pixels."""
        size = self.browser.command("Page.getLayoutMetrics", {}, self.session)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        values = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.browser.command("Page.captureScreenshot", values, self.session)["data"]))

    def note(self, event: str, values: dict[str, Any]) -> None:
        """Take an event of this page to heart."""
        if event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(values["exceptionDetails"]["text"])
        elif event == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            self.complaints.append(str(values["args"]))
        elif event == "Network.requestWillBeSent":
            self.asked_for.append(values["request"]["url"])


class Chromium:
    """A browser with a profile of its own in `folder`; it ends with `close`."""

    def __init__(self, program: str, folder: Path) -> None:
        self.pages: dict[str, Page] = {}
        self.answers: dict[int, dict[str, Any]] = {}
        self.number, self.rest = 0, b""
        command_end, self._write = os.pipe()
        self._read, answer_end = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (command_end, answer_end)]

        def take_places() -> None:  # in the child, before the program begins
            os.dup2(high[0], COMMANDS)
            os.dup2(high[1], ANSWERS)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(COMMANDS, ANSWERS),
            preexec_fn=take_places,
        )
        for end in (command_end, answer_end, *high):
            os.close(end)

    def open(self, address: str, *, width: int, height: int = 800, mobile: bool = False) -> Page:
        """Open a page in a viewport of so many CSS pixels and wait until it and its pictures are there."""
        target = self.command("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.command("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self.pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable", {}, session)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.command("Emulation.setDeviceMetricsOverride", size, session)
        page.media()
        self.command("Page.navigate", {"url": address}, session)
        deadline = time.monotonic() + ANSWER_S
        while not page.loaded:
            self._receive(deadline)
        return page

    def command(self, method: str, values: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """Send a command and return its result.

        Raises:
            AssertionError: the browser refuses it, or does not answer.
        """
        self.number += 1
        message = {"id": self.number, "method": method, "params": values} | ({"sessionId": session} if session else {})
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self._write, text) :]
        deadline = time.monotonic() + ANSWER_S
        while self.number not in self.answers:
            self._receive(deadline)
        answer = self.answers.pop(self.number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _receive(self, deadline: float) -> None:
        ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
        content = os.read(self._read, 1 << 20) if ready else b""
        assert content, f"the browser does not answer (its exit code: {self.process.poll()})"
        *texts, self.rest = (self.rest + content).split(b"\0")
        for message in map(json.loads, texts):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].note(message["method"], message["params"])

    def close(self) -> None:
        """End the browser."""
        for end in (self._write, self._read):
            os.close(end)  # which ends it
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
