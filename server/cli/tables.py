"""Values in columns."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from server.cli.context import tell
from server.logs import escape_controls


def tell_table(rows: Sequence[Sequence[str]]) -> None:
    """Writes rows to standard output, the heading first.

    Whole values, also where they are wider than the terminal: ids are there to be copied.
    """
    cells = [[escape_controls(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        tell("  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())
