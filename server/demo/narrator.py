"""How the story is told: headings, short sentences, tables, and a tick for everything that was checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from server.demo.expectation import expect
from server.demo.phone import Progress as Advance

_INDENT = 2
_LABEL_WIDTH = 28


class Narrator:
    """Tells on a console; where that is no terminal, plainly: without colours, lines and moving bars.

    `checks` counts what was checked, `title` is the chapter that is being told.
    """

    def __init__(self, console: Console) -> None:
        self.checks = 0
        self.title = ""
        self._console = console
        self._chapters = 0

    def opening(self, title: str, text: str) -> None:
        """The head of the whole."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        self.say(text)

    def chapter(self, title: str) -> None:
        """A heading."""
        self._chapters += 1
        self.title = f"{self._chapters}. {title}"
        self._console.print()
        if self._console.is_terminal:
            self._console.print(Rule(Text(self.title, style="bold cyan"), align="left", style="cyan"))
        else:
            self._console.print(Text(self.title))
        self._console.print()

    def say(self, text: str) -> None:
        """A sentence or two."""
        self._console.print(Padding(Text(text), (0, 0, 0, _INDENT)))

    def check(self, sentence: str, found: Any, expected: Any) -> None:
        """Tells a sentence as true, or raises Unexpected when what was found is not what was expected."""
        expect(sentence, found, expected)
        self.checks += 1
        line = Table.grid(padding=(0, 1))
        line.add_row(Text("✓", style="bold green"), Text(sentence))
        self._console.print(Padding(line, (0, 0, 0, _INDENT)))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
        """A table; columns that hold numbers alone stand to the right."""
        table = Table(box=box.SIMPLE_HEAD if self._console.is_terminal else box.ASCII2, header_style="bold")
        for column, heading in enumerate(headings):
            numbers = bool(rows) and all(isinstance(row[column], int) for row in rows)
            table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else cell) for cell in row))
        self._console.print()
        self._console.print(Padding(table, (0, 0, 0, _INDENT)))
        self._console.print()

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Within the block, what it gives is called with how many more are done."""
        bar = Progress(
            TextColumn(" " * (_INDENT - 1) + "{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        done = 0
        with bar:
            task = bar.add_task(label.ljust(_LABEL_WIDTH), total=total)

            def advance(more: int) -> None:
                nonlocal done
                done += more
                bar.advance(task, more)

            yield advance
        if not self._console.is_terminal:
            self.say(f"{label.ljust(_LABEL_WIDTH)} {done:,} of {total:,}")
