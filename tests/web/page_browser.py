"""A person at the page: goes to addresses, drops a file, presses, types, and is looked over by axe-core."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from browser import Browser

AXE = Path(__file__).parent / "axe-core" / "axe.min.js"


class PageBrowser(Browser):
    """One tab; `requested` holds whatever is fetched from anywhere but the server."""

    origin = ""

    def begin(self, link: str, width: int = 1100, *, dark: bool = False, lang: str = "en") -> None:
        """Open a tab and the link that the server printed."""
        self.executed.clear()
        self.requested.clear()
        self.origin = link.partition("/?")[0]
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Runtime.addBinding", name="pwned")
        self.size(width)
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": lang})
        self.go(link)

    def size(self, width: int, height: int = 900) -> None:
        device = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **device)

    def go(self, address: str) -> None:
        """Go to an address of the server and wait until nothing is loading."""
        self.call("Page.navigate", url=address if "://" in address else self.origin + address)
        self.loaded()

    def loaded(self) -> None:
        """Wait until the page that is loading has loaded."""
        time.sleep(0.15)
        self.wait("document.readyState === 'complete' && location.origin !== 'null'")

    def wait(self, script: str, seconds: float = 240) -> None:
        """Wait until an expression is true in the page, whatever it is navigating to meanwhile."""
        deadline = time.monotonic() + seconds
        while not self._now(f"Boolean({script})"):
            assert time.monotonic() < deadline, (script, self._now("document.body.innerText"))
            time.sleep(0.15)

    def _now(self, script: str) -> Any:
        said = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return None if "exceptionDetails" in said else said["result"].get("value")

    @property
    def text(self) -> str:
        """What a person reads."""
        return str(self.run("document.body.innerText"))

    @property
    def path(self) -> str:
        return str(self.run("location.pathname"))

    def drop(self, selector: str, file: Path) -> None:
        """Give a file to a field, which sends its form."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def press(self, key: str) -> None:
        """A key, as the keyboard sends it."""
        more = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"Enter": 13, "Tab": 9, " ": 32}.get(key, 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def write(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Press a button or a link."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def violations(self) -> list[str]:
        """What axe-core finds, as "rule: element"."""
        # Evaluated by the debugger: the page's own policy would let no such script in.
        self.call("Runtime.evaluate", expression=AXE.read_text(encoding="utf-8"))
        found = self.run("axe.run(document).then(result => JSON.stringify(result.violations))")
        return [f"{one['id']}: {node['html'][:160]}" for one in json.loads(found) for node in one["nodes"]]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.run("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def shot(self, path: Path) -> None:
        import base64

        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _is_own(self, address: str) -> bool:
        return address.startswith(self.origin + "/")
