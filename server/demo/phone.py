"""Phones with a new client: devices of the device library, each with a store and a network of its own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from server.demo.expectation import Unexpected
from server.demo.forms import Data
from server.demo.network import Network
from server.demo.remote import Session
from server.device import Device, DeviceError, Entity, Retrying, SyncReport
from server.device.model import OnProgress

BATCH = 500
"""How many events go into one push."""

_HASTY = Retrying(first_pause=0.03)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account. `session` is for what is asked with it besides syncing."""

    name: str
    email: str
    password: str
    session: Session


class Phone:
    """A collector's phone in one tenant.

    `clock` is the time that it stamps on what is recorded; set it to record at another time, later than before.
    """

    def __init__(self, account: Account, *, store: Path, tenant: str, clock: datetime) -> None:
        remote = account.session.remote
        self.owner = account.name
        self.session = account.session
        self.clock = clock
        self.network = Network(remote.new_transport())
        self.device = Device(
            store,
            server=remote.url,
            tenant=tenant,
            batch_size=BATCH,
            retrying=_HASTY,
            clock=lambda: self.clock,
            transport=self.network,
        )

    def sign_in(self, account: Account) -> None:
        """Signs its owner in with e-mail address and password. Raises Unexpected."""
        with told_of(f"{self.owner}'s phone signs in"):
            self.device.sign_in(account.email, account.password)

    def sync(self, progress: OnProgress | None = None) -> SyncReport:
        """Raises Unexpected where it fails."""
        with told_of(f"{self.owner}'s phone syncs"):
            return self.device.sync(progress)

    def register(self, form: Data, guid: str | None = None) -> str:
        """A household from a filled-in form. Answers the guid."""
        return self.device.create_group(form["entityName"], form["name"], form, guid=guid)

    def register_member(self, household: str, form: Data) -> str:
        """A person from a filled-in form, as a member of the household. Answers the guid."""
        member = self.device.create(form["entityName"], form["name"], form)
        self.device.add_member(household, member)
        return member

    def show(self, guid: str) -> Entity:
        """A record that the phone has to show. Raises Unexpected."""
        entity = self.device.get(guid)
        if entity is None:
            raise Unexpected(f"{self.owner}'s phone", expected=f"to show the record {guid}", found="no such record")
        return entity

    def members(self, household: str) -> list[Entity]:
        """The members that it shows, the eldest first."""
        shown = [self.show(guid) for guid in self.show(household).member_ids]
        return sorted(shown, key=lambda entity: (str(entity.data.get("dateOfBirth", "")), entity.name))


class Phones:
    """Makes phones, whose stores lie in the directory `stores`, which goes with them when the block ends."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._number = 0

    def __enter__(self) -> Self:
        self.stores = Path(self._opened.enter_context(TemporaryDirectory(prefix="croft-demo-")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def new(self, account: Account, *, tenant: str, clock: datetime) -> Phone:
        """A phone that holds nothing, with its owner signed in."""
        self._number += 1
        phone = Phone(account, store=self.stores / f"{self._number}.sqlite", tenant=tenant, clock=clock)
        self._opened.enter_context(phone.device)
        phone.device.use_token(account.session.token, user_id=account.session.user_id)
        return phone


@contextmanager
def offline(*phones: Phone) -> Iterator[None]:
    """These phones have no network in the block."""
    for phone in phones:
        phone.network.is_there = False
    try:
        yield
    finally:
        for phone in phones:
            phone.network.is_there = True


@contextmanager
def told_of(what: str) -> Iterator[None]:
    """Raises Unexpected, about `what`, where a device fails in the block."""
    try:
        yield
    except DeviceError as error:
        raise Unexpected(what, expected="no failure", found=str(error)) from error
