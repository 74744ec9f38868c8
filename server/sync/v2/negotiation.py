"""What a request's headers ask for."""

from typing import Final

from server.sync.v2.cursor import Head

NDJSON: Final = "application/x-ndjson"


def prefers(accept: str, media_type: str) -> bool:
    """Whether an Accept header names the media type itself, and not with the weight 0."""
    for each in accept.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name == media_type:
            return not any(_is_zero(parameter) for parameter in parameters)
    return False


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and set(value.strip()) <= {"0", "."}


def tag_of(head: Head) -> str:
    """The entity tag of every answer while this is the head: a weak one, which holds however the answer is packed."""
    return f'W/"{head.cursor_at(head.seq)}"'


def is_named(tag: str, if_none_match: str) -> bool:
    """Whether an If-None-Match header names the tag, or any."""
    names = {name.strip().removeprefix("W/") for name in if_none_match.split(",")}
    return "*" in names or tag.removeprefix("W/") in names
