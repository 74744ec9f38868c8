"""Taking over the tenants of another server, one after the other, in steps that a later run goes on from."""

from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.audit import COMMAND_LINE, Author, record
from server.db import Database, scoped
from server.moving_in import queries
from server.moving_in.datacollect import comparing
from server.moving_in.datacollect import queries as other
from server.moving_in.datacollect.accounts import MARK, Access, Rules, Taken, read_users, roles_of, take_accounts
from server.moving_in.datacollect.beside_the_log import take_audit_log, take_pairs, take_seeds
from server.moving_in.datacollect.events import take_events
from server.moving_in.datacollect.mapping import ConfigRow, UserRow, config_from, with_custom_types
from server.moving_in.datacollect.one_tenant import DEVICE, NO_LIMIT, OneTenant, Progress, Wishes
from server.moving_in.datacollect.preparing import Refused, prepare, reread
from server.moving_in.datacollect.reading import Source, read_row
from server.moving_in.datacollect.reasons import BAD_CONFIG, NO_CONFIG, NOT_THERE, WAITING
from server.moving_in.datacollect.report import Finding, Heading, Report, counted
from server.moving_in.datacollect.unexplained import entities_here, take_unexplained
from server.tenants.model import ACTIVE
from server.tenants.queries import count_entities, put_settings, set_entities_count, set_state


@dataclass(slots=True)
class Outcome:
    """What became of the import: the tenants taken over, and those that were refused."""

    taken: list[Taken] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


async def take_over(source: Source, database: Database, wishes: Wishes, report: Report, progress: Progress) -> Outcome:
    """Takes over what is wanted, or says with `dry_run` what would become of it and writes nothing.

    Raises SourceError where the other server's database fails. What was done until then stays, and another run goes on
    from it.
    """
    return await _Import(source, database, wishes, report, progress).run()


class _Import:
    def __init__(self, source: Source, database: Database, wishes: Wishes, report: Report, progress: Progress) -> None:
        self._source = source
        self._database = database
        self._wishes = wishes
        self._report = report
        self._progress = progress
        self._outcome = Outcome()

    async def run(self) -> Outcome:
        config_ids = await self._wanted_configs()
        users = await read_users(self._source, self._report)
        for config_id in config_ids:
            try:
                self._outcome.taken.append(await self._take(config_id))
            except Refused as refused:
                self._refuse(config_id, refused)
        rules = Rules(self._wishes.access, self._wishes.operators, every_account=not self._wishes.tenants)
        if self._wishes.dry_run:
            held = [user for user in users if roles_of(user, self._outcome.taken, rules) or rules.every_account]
            self._report.counts[""]["accounts"] = len(held)
        elif self._outcome.taken:
            await self._take_accounts(users, rules)
        return self._outcome

    async def _wanted_configs(self) -> list[str]:
        known = await self._source.ask(other.list_config_ids)
        self._tell_of_orphans(set(known))
        for missing in sorted({*self._wishes.tenants, *self._wishes.configs} - set(known)):
            self._refuse(missing, Refused(NOT_THERE, ""))
        return [each for each in known if not self._wishes.tenants or each in self._wishes.tenants]

    def _refuse(self, config_id: str, refused: Refused) -> None:
        self._outcome.refused.append(config_id)
        self._report.add(
            Finding(Heading.REFUSED, refused.reason, config_id, "app_configs", config_id, detail=refused.detail)
        )

    def _tell_of_orphans(self, known: set[str]) -> None:
        for (table, tenant), rows in sorted(self._source.counts.items()):
            if tenant not in known and (not self._wishes.tenants or tenant in self._wishes.tenants):
                self._report.add(Finding(Heading.REFUSED, NO_CONFIG, tenant, table, detail=counted(rows, "row")))

    async def _take(self, config_id: str) -> Taken:
        config = await self._config(config_id)
        document = self._wishes.configs.get(config_id, config.document)
        types = await self._source.ask(other.list_event_types, config_id)
        one = OneTenant(self._source, self._database, self._wishes, self._report, self._progress, config)
        taken = await prepare(one, with_custom_types(document, types), document, types)
        if self._wishes.access is Access.SEEN:
            taken.event_users = await self._source.ask(other.list_event_users, config_id)
        await _take_data(one, taken)
        return taken

    async def _config(self, config_id: str) -> ConfigRow:
        try:
            return config_from(read_row(await self._source.ask(other.get_config, config_id)))
        except ValueError as fault:
            raise Refused(BAD_CONFIG, str(fault)) from None

    async def _take_accounts(self, users: Sequence[UserRow], rules: Rules) -> None:
        self._progress.begin("", "accounts", 0)
        author = Author(COMMAND_LINE)
        await take_accounts(self._database, users, self._outcome.taken, rules, author, self._report)


async def _take_data(one: OneTenant, taken: Taken) -> None:
    """All that is the tenant's own. What was taken before is passed over."""
    await take_events(one, taken)
    if one.wishes.dry_run:
        one.counts["records"] = one.source.count("entities", one.config.id)
        await take_audit_log(one, taken)
        await take_pairs(one, taken)
        return
    await take_unexplained(one, taken)
    seeds = await take_seeds(one, taken)
    await take_audit_log(one, taken)
    await take_pairs(one, taken)
    await _compare(one, taken, seeds)
    await _finish(one, taken)


async def _compare(one: OneTenant, taken: Taken, seeds: frozenset[str]) -> None:
    one.begin("comparing", "entities")
    async for span in comparing.spans_of(one.source, one.config.id):
        here = await entities_here(one, taken, span)
        found = await to_thread(comparing.differing, span, here, seeds)
        grounds = comparing.Grounds(frozenset(one.refused), await _changed_here(one, taken, sorted(found)))
        one.report.add_all(comparing.differences(one.config.id, span, here, sorted(found), grounds))
        one.count(records=len(span.entities), differing=len(found))
        one.progress.advance(len(span.entities) + len(span.unreadable))


async def _changed_here(one: OneTenant, taken: Taken, guids: Sequence[str]) -> frozenset[str]:
    if not guids:
        return frozenset()
    async with one.reading(taken) as db:
        return frozenset(await queries.list_touched_by_others(db, guids, DEVICE))


async def _finish(one: OneTenant, taken: Taken) -> None:
    """The tenant opens when it is whole for the first time. Later its state is its operators' business."""
    async with one.database.shared(patience=NO_LIMIT) as db:
        if not taken.mark["finished"] and not one.config.is_archived:
            await set_state(db, taken.tenant.id, ACTIVE, None)
        taken.mark["finished"] = True
        async with scoped(db, taken.tenant.scope):
            await put_settings(db, {MARK: taken.mark})
            count, waiting = await count_entities(db), await queries.count_waiting(db)
        await set_entities_count(db, taken.tenant.id, count)
        done = {name: number for name, number in one.counts.items() if number}
        taken.tenant = await reread(db, taken.tenant)
        await record(db, one.author, "tenant.taken-over", taken.tenant.subject, tenant=taken.tenant, details=done)
    if waiting:
        one.note(Heading.NOTED, WAITING, "events", detail=counted(waiting, "event"))
