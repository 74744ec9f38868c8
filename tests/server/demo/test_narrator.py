from io import StringIO

import pytest
from rich.console import Console

from server.demo.expectation import Unexpected
from server.demo.narrator import Narrator
from server.device import Progress


def test_where_there_is_no_terminal_the_story_is_plain_text() -> None:
    out = StringIO()
    narrator = Narrator(Console(file=out, width=80))
    narrator.opening("A story", "Of two.")
    narrator.chapter("They meet")
    narrator.check("Both are here", 2, 2)
    narrator.table(("Who", "Records"), [("Ann", 1200), ("Ben", 7)])
    narrator.facts([("Where", "http://127.0.0.1:3000")])
    with narrator.syncing("Ann's phone") as tell:
        for progress in (Progress("push", 1, 3), Progress("push", 3, 3), Progress("pull", 0, None)):
            tell(progress)
    with narrator.syncing("Ben's phone") as tell:
        for progress in (Progress("snapshot", 0, 3), Progress("snapshot", 3, 3), Progress("pull", 1200, 1200)):
            tell(progress)
    assert out.getvalue() == (
        "\n"
        "A story\n"
        "  Of two.\n"
        "\n"
        "1. They meet\n"
        "\n"
        "  ✓ Both are here\n"
        "\n"
        "  +-----+---------+\n"
        "  | Who | Records |\n"
        "  +-----+---------+\n"
        "  | Ann |   1,200 |\n"
        "  | Ben |       7 |\n"
        "  +-----+---------+\n"
        "\n"
        "  Where   http://127.0.0.1:3000\n"
        "\n"
        "  Ann's phone sends          3 of 3 events\n"
        "  Ben's phone begins with    3 of 3 records\n"
        "  Ben's phone receives       1,200 events and records\n"
    )


def test_what_is_told_as_true_and_is_not_ends_the_story() -> None:
    out = StringIO()
    narrator = Narrator(Console(file=out))
    with pytest.raises(Unexpected, match="The count is right: expected 3, found 2"):
        narrator.check("The count is right", 2, 3)
    assert (narrator.checks, out.getvalue()) == (0, "")


def test_markup_in_data_is_told_as_it_is() -> None:
    out = StringIO()
    narrator = Narrator(Console(file=out, width=80))
    narrator.say("[bold]O'Brien[/bold] :smile:")
    assert "[bold]O'Brien[/bold] :smile:" in out.getvalue()


def test_on_a_terminal_a_sync_leaves_a_bar_for_each_stage_that_did_something() -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True, record=True, _environ={})
    with Narrator(console).syncing("Ann's phone") as tell:
        tell(Progress("push", 0, 0))
        tell(Progress("pull", 1200, None))
        tell(Progress("pull", 2400, 2400))
    told = console.export_text()
    assert "sends" not in told
    assert "2,400 events and records" in told
    assert "━" in told
