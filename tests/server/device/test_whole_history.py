"""A device that got the whole log, and no snapshot, the first time."""

from typing import Any

import httpx

from tests.server.device.conftest import Field, told_in_a_thread


class Listening(httpx.HTTPTransport):
    """Notes which epochs pushes name."""

    def __init__(self) -> None:
        super().__init__()
        self.named: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/push"):
            self.named.append(request.url.params.get("epoch"))
        return super().handle_request(request)


@told_in_a_thread
def test_push_after_the_whole_log_names_the_epoch_of_that_log(field_work: Field) -> None:
    field_work.device("amina").create("individual", "Grace Otieno")
    line: Any = Listening()
    teo = field_work.device("teo", whole_history=True, transport=line)
    teo.sync()
    field_work.begin_epoch()
    teo.create("individual", "Keo Phommachanh")
    report = teo.sync()
    # The first push is refused: numbers of another log would be taken for those of the one it got.
    assert report.epoch_changed
    assert len(line.named) == 2
    assert None not in line.named
    assert line.named[0] != line.named[1]
