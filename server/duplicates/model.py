"""What the addresses of duplicates take and answer, named as on the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from server.entities.paging import PageQuery, Text

Guid = Annotated[Text, Field(min_length=1)]


class PairsQuery(PageQuery):
    """Which pairs, the newest first. `detail` asks for what was found, when, and the names."""

    sort: Literal["foundAt"] = "foundAt"
    order: Literal["asc", "desc"] = "desc"
    detail: bool = False


class PotentialDuplicate(BaseModel):
    """An open pair: `entityGuid` came later than `duplicateGuid`. All else is there when detail was asked for."""

    entityGuid: str
    duplicateGuid: str
    rule: str | None = None
    foundAt: str | None = None
    name: str | None = None
    duplicateName: str | None = None


class Item(BaseModel):
    """An entity, known by its guid."""

    guid: Guid


class Resolution(BaseModel):
    """What to do about a pair: both are kept, or `newItem` is deleted. Items are guids, or objects with one."""

    newItem: Guid | Item
    existingItem: Guid | Item
    shouldDeleteNewItem: bool = False
    configId: str | None = None

    @property
    def new_guid(self) -> str:
        """The guid of the one that may be deleted."""
        return self.newItem.guid if isinstance(self.newItem, Item) else self.newItem

    @property
    def existing_guid(self) -> str:
        """The guid of the one that stays."""
        return self.existingItem.guid if isinstance(self.existingItem, Item) else self.existingItem


class Resolved(BaseModel):
    """It worked."""

    status: Literal["success"] = "success"
