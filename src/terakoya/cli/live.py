"""What is shown while something goes on: a live line on a terminal, with a table where a series is at work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from terakoya.cli.lines import new_console, print_finding, safe, speaking
from terakoya.i18n import both, in_language, joined, language
from terakoya.progress import Listener, Standing
from terakoya.records import Finding, Step

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_EVERY = 10.0  # seconds between progress lines where there is no terminal
LOOK_EVERY = 2.0  # seconds after which a table of trials is old
MOST = 16  # of its rows, so that it fits a terminal
_ORDER = ("running", "held", "done", "taught", "failed", "open")
_STATES = {
    "running": both("running", "実行中"),
    "held": both("elsewhere", "他で実行中"),
    "done": both("done", "完了"),
    "taught": both("taught", "学習済み"),
    "failed": both("failed", "失敗"),
    "open": both("open", "未着手"),
}
_LOOKS = {"running": "bold", "failed": "red", "open": "dim", "held": "cyan"}
_COLUMNS = (
    (both("state", "状態"), "left"),
    (both("dev", "検証"), "right"),
    (both("seed", "シード"), "right"),
    (both("trial", "試行"), "left"),
)
_SECONDS = both("s", "秒")
_STAGES = {
    english: both(english, japan)
    for english, japan in (
        ("examples", "例"),
        ("audit", "監査"),
        ("model", "モデル"),
        ("preflight", "事前検査"),
        ("train", "学習"),
        ("exam", "試験"),
        ("record", "記録"),
        ("trial", "試行"),
        ("exam of", "試験の対象"),
        ("generate", "データ生成"),
    )
}


class Telling:
    """A live line on a terminal, under a table of the trials where a series is at work; plain lines elsewhere."""

    def __init__(self, console: Console, lang: str = "en") -> None:
        self.console, self.lang = console, lang
        self.began = time.monotonic()
        self.told = 0.0
        self.first: tuple[float, int] | None = None
        self.dev = ""
        self.live: Any = None
        self.look: Callable[[], Sequence[Standing]] | None = None
        self.looked = 0.0
        self.table: Any = None

    def stage(self, name: str, detail: str = "") -> None:
        self._end_line()
        self.first = None
        named, more = in_language(_STAGES.get(name, name), self.lang), in_language(detail, self.lang)
        took = f"{time.monotonic() - self.began:6.1f} {in_language(_SECONDS, self.lang)}"
        self.console.print(f"[{took}] {named}" + (f": {more}" if more else ""))

    def step(self, step: Step, total: int) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = (now, step.step)
        if step.dev:
            self.dev = in_language(both("  dev ", "  検証 "), self.lang) + "  ".join(
                f"{key} {value:.4f}" for key, value in list(step.dev.items())[:3]
            )
        done = step.step - self.first[1]
        left = (now - self.first[0]) / done * (total - step.step) if done else 0.0
        line = in_language(
            both(
                f"step {step.step}/{total}  loss {step.plain:.4f}{self.dev}  {_clock(left)} left",
                f"ステップ {step.step}/{total}  損失 {step.plain:.4f}{self.dev}  残り {_clock(left)}",
            ),
            self.lang,
        )
        if self.console.is_terminal:
            self._show(line)
        elif now - self.told >= PLAIN_EVERY or step.dev or step.step == total:
            self.told = now
            self.console.print("  " + line)

    def finding(self, finding: Finding) -> None:
        self._end_line()
        print_finding(self.console, finding, self.lang)

    def note(self, text: str) -> None:
        self._end_line()
        self.console.print("  " + safe(in_language(text, self.lang)))

    def trials(self, look: Callable[[], Sequence[Standing]]) -> None:
        self.look, self.looked = look, 0.0
        if self.console.is_terminal:
            self._show("")
        else:
            self.console.print("  " + in_language(summed_up(look()), self.lang))

    def _show(self, line: str) -> None:
        """The line, and over it the table, looked at anew where it is old: other processes may be at work."""
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        now = time.monotonic()
        if self.look is not None and now - self.looked >= LOOK_EVERY:
            self.table, self.looked = table_of(self.look(), self.lang), now
        shown = Text(line) if self.table is None else Group(self.table, Text(line))
        if self.live is None:
            self.live = Live(shown, console=self.console, refresh_per_second=8, transient=True)
            self.live.start()
        self.live.update(shown)

    def _end_line(self) -> None:
        """What is printed next stands above the table, and in place of the line where there is none."""
        if self.look is None:
            self.close()
        elif self.live is not None:
            self._show("")

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None


def table_of(standings: Sequence[Standing], lang: str) -> Any:
    """What is being worked on, then by dev figure, then what is still to come; of many the first ones."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title, side in _COLUMNS:
        table.add_column(in_language(title, lang), justify=side)  # type: ignore[arg-type]
    ranked = sorted(standings, key=lambda one: (_ORDER.index(one.state), -(one.dev or 0.0)))
    for one in ranked[:MOST]:
        dev = "" if one.dev is None else f"{one.dev:.4f}"
        style = _LOOKS.get(one.state, "")
        table.add_row(in_language(_STATES[one.state], lang), dev, str(one.seed), safe(one.name), style=style)
    table.caption = safe(in_language(summed_up(standings), lang))
    table.caption_justify = "left"
    return table


def summed_up(standings: Sequence[Standing]) -> str:
    """How many trials stand how, and the best dev figure so far."""
    counts = {state: sum(one.state == state for one in standings) for state in _ORDER}
    said = joined(", ", (joined(" ", (str(count), _STATES[state])) for state, count in counts.items() if count))
    best = max((one for one in standings if one.dev is not None), key=lambda one: one.dev or 0.0, default=None)
    if best is None:
        return said
    return joined(
        "", (said, both(f"; best on dev {best.dev:.4f}: {best.name}", f"。検証の最良 {best.dev:.4f}：{best.name}"))
    )


@contextmanager
def listening(*, json: bool, lang: str = "") -> Iterator[Listener]:
    telling = Telling(new_console(stderr=json), language(lang))
    try:
        with speaking(lang):
            yield telling
    finally:
        telling.close()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
