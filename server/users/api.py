"""The endpoints of accounts: their administration by operators, and what everybody may see of himself."""

from server.audit import author_of
from server.auth.model import Message
from server.auth.passwords import check_password_rules, hash_password
from server.db import Database
from server.kit.call import Answer, Call
from server.users import changes, queries
from server.users.memberships import memberships_of
from server.users.model import User, UserAnswer, UserCreated, page_of

TOTAL_HEADER = "X-Total-Count"


async def show_me(call: Call) -> UserAnswer:
    """The caller's own account."""
    caller = call.caller
    role = "ADMIN" if caller.is_operator else "USER"
    answer = (await _answers(call, [User(caller.account_id, caller.email, role)]))[0]
    if caller.bound_to is None:
        return answer
    return answer.model_copy(
        update={"memberships": [each for each in answer.memberships if each.tenantId == caller.bound_to]}
    )


async def list_users(call: Call) -> Answer:
    """The accounts, as a bare list; X-Total-Count says how many there are on all pages."""
    query = call.query
    total = await queries.count_users(call.db, query.search)
    users = await queries.list_users(call.db, query.search, query.sort, page_of(total, query.page, query.pageSize))
    return Answer(await _answers(call, users), headers={TOTAL_HEADER: str(total)})


async def create_user(call: Call, *, database: Database, bcrypt_cost: int) -> Answer:
    """Adds an account. Works without a transaction open, so that none waits for the hash."""
    await check_password_rules(call.body.password, call.body.email)
    password_hash = await hash_password(call.body.password, cost=bcrypt_cost)
    async with database.shared() as db:
        user_id = await changes.create_user(db, author_of(call), call.body, password_hash)
    return Answer(UserCreated(message="User created successfully", id=user_id), status=201)


async def update_user(call: Call, *, database: Database, bcrypt_cost: int) -> Message:
    """Changes an account. Works without a transaction open, so that none waits for the hash."""
    password_hash = None
    if call.body.password:
        await check_password_rules(call.body.password, call.body.email or call.path["user"])
        password_hash = await hash_password(call.body.password, cost=bcrypt_cost)
    async with database.shared() as db:
        await changes.update_user(db, author_of(call), call.path["user"], call.body, password_hash)
    return Message(message="User updated successfully")


async def delete_user(call: Call) -> Message:
    """Deletes an account."""
    await changes.delete_user(call.db, author_of(call), call.path["user"])
    return Message(message="User deleted successfully")


async def _answers(call: Call, users: list[User]) -> list[UserAnswer]:
    memberships = await memberships_of(call.db, [user.id for user in users])
    return [
        UserAnswer.model_validate(
            {"id": user.id, "email": user.email, "role": user.role, "memberships": memberships[user.id]}
        )
        for user in users
    ]
