"""What the library of installed phones writes by itself."""

from server.sync.event import UPDATE_GROUP, Event


def is_made_by_library(event: Event) -> bool:
    """Whether it is the update that the library writes when somebody opens a group that has lost a member.

    It changes nothing, but it mentions the group, so the phone is sent the group again.
    """
    return event.type == UPDATE_GROUP and event.user_id == "system" and isinstance(event.data.get("memberIds"), list)
