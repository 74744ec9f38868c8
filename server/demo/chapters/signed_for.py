"""What the server took, it signed for; the receipts make one chain."""

from collections.abc import Iterator

from server.demo.cast import Cast
from server.demo.forms import Data
from server.demo.phone import Phone

_SHOWN = 5
_SHORT = 12


def look_at_receipts(cast: Cast, *others: Phone) -> None:
    """Phones have recomputed each receipt from their own events; what one follows on is the one before it."""
    narrator = cast.narrator
    narrator.chapter("Signed for")
    phones = (cast.amina, cast.teo, *others)
    held = {receipt.hash: phone for phone in phones for receipt in phone.device.receipts()}
    narrator.say(
        "The server has answered each push with a receipt: a hash over the events and the receipt before. The phones "
        "have computed each hash themselves, from the events as they recorded them."
    )
    narrator.check(
        f"All {len(held)} receipts that phones hold are right",
        {receipt.verified for phone in phones for receipt in phone.device.receipts()},
        {True},
    )
    chain = list(_chain(cast))
    narrator.table(
        ("Events", "Receipt", "The one before", "Held by"),
        [
            (
                _numbers(link),
                link["hash"][:_SHORT],
                link["previous"][:_SHORT],
                f"{held[link['hash']].owner}'s phone" if link["hash"] in held else "",
            )
            for link in chain[-_SHOWN:]
        ],
    )
    narrator.say(
        "What Oksana decided and what the old phone sent is in the chain as well, though no phone has its receipt."
    )
    narrator.check(
        f"The {len(chain)} receipts of this log follow each other from the first event on, without a gap",
        [(link["first"], link["previous"]) for link in chain],
        [(1, ""), *((link["last"] + 1, link["hash"]) for link in chain[:-1])],
    )
    narrator.check(
        "Those that the phones hold are all among them", held.keys() - {link["hash"] for link in chain}, set()
    )


def _chain(cast: Cast) -> Iterator[Data]:
    """Every receipt of the log, the oldest first."""
    phones = (cast.amina, cast.teo)
    last = max(receipt.last for phone in phones for receipt in phone.device.receipts())
    device, config_id = {"X-Device-Id": cast.amina.device.id}, cast.programme.config_id
    seq = 1
    while seq <= last:
        receipt = cast.amina.session.get(f"/api/v2/sync/receipts/{seq}", headers=device, configId=config_id)
        yield receipt
        seq = max(seq, receipt["last"]) + 1


def _numbers(link: Data) -> str:
    first, last = link["first"], link["last"]
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
