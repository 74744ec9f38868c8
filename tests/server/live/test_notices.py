from string import ascii_letters, digits

from hypothesis import example, given
from hypothesis import strategies as st

from server.db.listening import MOST_PAYLOAD_BYTES
from server.live.notices import notices_in, payloads_of
from server.sync.v2.cursor import Head

numbers = st.integers(1, 10**18 - 1)
epochs = st.text(ascii_letters + digits, min_size=1, max_size=64)
heads = st.builds(Head, epochs, st.integers(0, 10**18 - 1))
LONGEST = {10**17 + number: Head("e" * 64, 10**18 - 1) for number in range(300)}


@given(st.dictionaries(numbers, st.none() | heads, max_size=20))
@example(LONGEST)
def test_every_notice_arrives_in_payloads_that_postgresql_carries(marked: dict[int, Head | None]) -> None:
    payloads = payloads_of(marked)
    assert all(0 < len(payload.encode()) <= MOST_PAYLOAD_BYTES for payload in payloads)
    assert [notice for payload in payloads for notice in notices_in(payload)] == list(marked.items())


@given(st.text())
@example("7:e:1 0 -1 07 7:e 7:e: 7:e:x 7::1 " + "9" * 19)
def test_what_is_no_notice_is_passed_over(payload: str) -> None:
    for tenant_id, head in notices_in(payload):
        assert str(tenant_id) in payload
        assert head is None or f"{tenant_id}:{head.epoch}:{head.seq}" in payload
