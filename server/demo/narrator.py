"""How the story is told: headings, short sentences, tables, and a tick for everything that was checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from server.demo.expectation import expect
from server.device.model import OnProgress, Progress, Stage

_INDENT = 2
_LABEL_WIDTH = 26
_BAR_WIDTH = 20

_DOES: Final[dict[Stage, tuple[str, str]]] = {
    "push": ("sends", "events"),
    "snapshot": ("begins with", "records"),
    "pull": ("receives", "events and records"),
}


class Narrator:
    """Tells on a console; where that is no terminal, plainly: without colours and moving bars.

    `checks` counts what was checked, `title` is the chapter that is being told.
    """

    def __init__(self, console: Console) -> None:
        self.checks = 0
        self.title = ""
        self._console = console
        self._chapters = 0
        self._after_blank = False

    def opening(self, title: str, text: str) -> None:
        """The head of the whole."""
        self._blank()
        self._print(Text(title, style="bold"))
        self.say(text)

    def chapter(self, title: str) -> None:
        """A heading."""
        self._chapters += 1
        self.title = f"{self._chapters}. {title}"
        self._blank()
        heading = Text(self.title, style="bold cyan")
        self._print(Rule(heading, align="left", style="cyan") if self._console.is_terminal else heading)
        self._blank()

    def say(self, text: str) -> None:
        """A sentence or two."""
        self._wrapped(" " * _INDENT, Text(text))

    def check(self, sentence: str, found: Any, expected: Any) -> None:
        """Tells a sentence as true, or raises Unexpected when what was found is not what was expected."""
        expect(sentence, found, expected)
        self.checks += 1
        self._wrapped(Text.assemble(" " * _INDENT, ("✓", "bold green"), " "), Text(sentence))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
        """A table; columns that hold numbers alone stand to the right."""
        terminal = self._console.is_terminal
        table = Table(box=box.SIMPLE_HEAD if terminal else box.ASCII2, show_edge=not terminal, header_style="bold")
        for column, heading in enumerate(headings):
            numbers = bool(rows) and all(isinstance(row[column], int) for row in rows)
            table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else cell) for cell in row))
        self._blank()
        self._print(Padding(table, (0, 0, 0, _INDENT), expand=False))
        self._blank()

    def facts(self, rows: Sequence[Sequence[str]]) -> None:
        """Lines whose parts stand below each other. They are not wrapped: an address stays whole."""
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        self._blank()
        for row in rows:
            cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
            self._console.print(Text(" " * _INDENT + "   ".join(cells).rstrip()), soft_wrap=True)
        self._after_blank = False
        self._blank()

    @contextmanager
    def syncing(self, whose: str) -> Iterator[OnProgress]:
        """Within the block, what it gives is told how far a sync is; afterwards a line for each stage stays."""
        stages: dict[Stage, Progress] = {}
        bars = _bars(self._console)
        tasks: dict[Stage, TaskID] = {}
        self._after_blank = False

        def advance(progress: Progress) -> None:
            if not progress.done:
                return
            stage = progress.stage
            stages[stage] = progress
            if stage not in tasks:
                tasks[stage] = bars.add_task(_label(whose, stage), total=progress.total, counted="")
            bars.update(tasks[stage], completed=progress.done, total=progress.total, counted=_counted(progress))

        with bars:
            yield advance
        if not self._console.is_terminal:
            for progress in stages.values():
                self.say(f"{_label(whose, progress.stage)} {_counted(progress)}")

    def _wrapped(self, lead: Text | str, text: Text) -> None:
        """The text after its lead, as wide as the console; further lines begin where the first one's text does."""
        lead = Text.assemble(lead)
        room = self._console.width - lead.cell_len
        for number, line in enumerate(text.wrap(self._console, room)):
            line.rstrip()
            self._print(Text.assemble(lead if number == 0 else " " * lead.cell_len, line))

    def _blank(self) -> None:
        """An empty line, never two."""
        if not self._after_blank:
            self._console.print()
        self._after_blank = True

    def _print(self, what: RenderableType) -> None:
        self._console.print(what)
        self._after_blank = False


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn(" " * _INDENT + "{task.description}"),
        BarColumn(bar_width=_BAR_WIDTH),
        TextColumn("{task.fields[counted]}"),
        console=console,
        disable=not console.is_terminal,
    )


def _label(whose: str, stage: Stage) -> str:
    return f"{whose} {_DOES[stage][0]}".ljust(_LABEL_WIDTH)


def _counted(progress: Progress) -> str:
    """How long a pull is turns out at its end alone, so its total says nothing."""
    total = "" if progress.stage == "pull" or progress.total is None else f" of {progress.total:,}"
    return f"{progress.done:,}{total} {_DOES[progress.stage][1]}"
