"""Progress bars on stderr: how much is done, how fast, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Things per second, over the last seconds."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before the first figure."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class Bars:
    """A group of progress bars; `with Bars(console) as bars: count = bars.start("follows", 355_074); count(20)`."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), RateColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console,
        )  # fmt: skip

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, title: str, total: int) -> Callable[[int], None]:
        """Begin a bar; returns what to call with the number of things done since the last call."""
        task = self._progress.add_task(title, total=total)

        def advance(count: int) -> None:
            self._progress.advance(task, count)

        return advance

    @contextmanager
    def reading(self, title: str) -> Iterator[Callable[[int, int | None], None]]:
        """A bar for bytes, done and in all if that is known; gone when they have been read."""
        task = self._progress.add_task(title, total=None)
        yield lambda done, total: self._progress.update(task, completed=done, total=total)
        self._progress.remove_task(task)
