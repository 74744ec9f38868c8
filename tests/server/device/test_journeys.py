"""Devices and a real server, over real HTTP."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from server.device import Device, Event, NotAllowed, NotSignedIn, Progress, Unavailable
from tests.conftest import PASSWORD
from tests.server.device.conftest import Field, told_in_a_thread


def register(device: Device, people: int, *, photo_bytes: int = 0) -> list[str]:
    """So many people, recorded together, with photos that no compression makes smaller."""
    with device.together():
        return [
            device.create("individual", f"Person {number}", photo=os.urandom(photo_bytes).hex())
            for number in range(people)
        ]


def state_of(device: Device) -> dict[str, object]:
    """All that a device shows, in a form that compares."""
    return {each.guid: each for each in device.entities()}


@told_in_a_thread
def test_what_one_device_records_the_other_has_after_both_synced(field_work: Field) -> None:
    amina, teo = field_work.device("amina"), field_work.device("teo")
    household = amina.create_group("household", "Otieno", village="Kibera")
    grace = amina.create("individual", "Grace", phone="1")
    amina.add_member(household, grace)
    report = amina.sync()
    assert (report.pushed, report.known, report.refused) == (3, 0, [])
    teo.sync()
    assert state_of(teo) == state_of(amina)
    assert [each.unsynced for each in teo.entities()] == [False, False]
    teo.change(grace, phone="2")
    teo.remove_member(household, grace)
    teo.sync()
    report = amina.sync()
    assert (report.pushed, report.events) == (0, 2)
    assert state_of(teo) == state_of(amina)
    shown = amina.get(grace)
    assert shown is not None
    assert (shown.data["phone"], shown.parent_ids) == ("2", [])
    amina.delete(household)
    amina.sync()
    teo.sync()
    assert teo.get(household) is None
    assert [each.guid for each in teo.entities()] == [grace]
    assert [event.type for event in teo.history(grace)] == ["update-individual", "remove-member"]
    assert [event.type for event in amina.history(grace)] == [
        "create-individual",
        "add-member",
        "update-individual",
        "remove-member",
    ]


@told_in_a_thread
def test_many_people_arrive_with_progress_up_to_the_total(field_work: Field) -> None:
    amina, teo = field_work.device("amina", batch_size=500), field_work.device("teo")
    register(amina, 1300)
    sent: list[Progress] = []
    amina.sync(progress=sent.append)
    came: list[Progress] = []
    report = teo.sync(progress=came.append)
    assert report.snapshot
    assert teo.count() == 1300
    assert state_of(teo) == state_of(amina)
    for seen, stage in ((sent, "push"), (came, "snapshot")):
        of_stage = [each for each in seen if each.stage == stage]
        assert [each.done for each in of_stage] == sorted(each.done for each in of_stage)
        assert all(each.total == 1300 for each in of_stage)
        assert of_stage[-1].done == 1300
    assert len([each for each in sent if each.stage == "push"]) == 3
    assert (sent[-1].stage, came[-1].stage) == ("pull", "pull")
    assert all(each.done == each.total for each in (sent[-1], came[-1]))


@told_in_a_thread
def test_each_push_is_signed_for_and_the_receipts_hold(field_work: Field) -> None:
    amina = field_work.device("amina", batch_size=2)
    for number in range(5):
        amina.create("individual", f"Person {number}", weight=3.5 + number, note="ő\u2028🙂")
    report = amina.sync()
    assert report.proven
    receipts = amina.receipts()
    assert receipts == report.receipts
    assert [(each.first, each.last, each.verified) for each in receipts] == [(1, 2, True), (3, 4, True), (5, 5, True)]
    assert [each.previous for each in receipts[1:]] == [each.hash for each in receipts[:-1]]


@told_in_a_thread
def test_push_whose_answer_was_lost_is_repeated_and_doubles_nothing(field_work: Field) -> None:
    proxy = field_work.proxy()
    amina = field_work.device("amina", url=proxy.url)
    register(amina, 3)
    proxy.cut("answer", after=0)
    report = amina.sync()
    assert proxy.cuts == 1
    assert (report.pushed, report.known) == (3, 3)
    assert field_work.count_on_server() == amina.count() == 3
    assert amina.outbox() == []
    assert [(each.first, each.last, each.verified) for each in amina.receipts()] == [(1, 3, True)]


@told_in_a_thread
def test_push_that_breaks_off_on_its_way_is_sent_again(field_work: Field) -> None:
    proxy = field_work.proxy()
    amina = field_work.device("amina", url=proxy.url)
    register(amina, 300)
    proxy.cut("request", after=2000)
    report = amina.sync()
    assert proxy.cuts == 1
    assert (report.pushed, report.known) == (300, 0)
    assert field_work.count_on_server() == 300


@told_in_a_thread
def test_snapshot_that_breaks_off_goes_on_and_misses_nothing(field_work: Field) -> None:
    amina = field_work.device("amina")
    register(amina, 1500, photo_bytes=60)
    amina.sync()
    proxy = field_work.proxy()
    teo = field_work.device("teo", url=proxy.url)
    proxy.cut("answer", after=130_000)
    parts: list[int] = []

    def watch(progress: Progress) -> None:
        parts.append(progress.done)
        if parts.count(1000) == 1 and parts[-1] == 1000:
            with amina.together():
                for each in list(amina.find(limit=20)):
                    amina.change(each.guid, phone="2")
                amina.delete(amina.find(limit=30)[-1].guid)
            amina.sync()

    report = teo.sync(progress=watch)
    assert proxy.cuts == 1
    assert report.entities < 2 * 1500
    assert teo.count() == 1499
    assert state_of(teo) == state_of(amina)


@told_in_a_thread
def test_snapshot_that_never_ends_at_once_ends_over_several_syncs(field_work: Field) -> None:
    amina = field_work.device("amina")
    register(amina, 1500, photo_bytes=60)
    amina.sync()
    proxy = field_work.proxy()
    teo = field_work.device("teo", url=proxy.url)
    proxy.cut("answer", after=130_000)

    def leave(progress: Progress) -> None:
        if progress.done >= 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teo.sync(progress=leave)
    assert teo.count() == 0
    seen: list[Progress] = []
    teo.sync(progress=seen.append)
    assert seen[0].done >= 1000
    assert state_of(teo) == state_of(amina)


@told_in_a_thread
def test_pull_that_breaks_off_goes_on_from_its_last_cursor(field_work: Field) -> None:
    amina = field_work.device("amina")
    proxy = field_work.proxy()
    teo = field_work.device("teo", url=proxy.url)
    teo.sync()
    register(amina, 1500, photo_bytes=60)
    amina.sync()
    proxy.cut("answer", after=200_000)
    report = teo.sync()
    assert proxy.cuts == 1
    assert report.events < 2 * 1500
    assert state_of(teo) == state_of(amina)
    assert len([each for each in teo.entities() if teo.history(each.guid)]) == 1500


@told_in_a_thread
def test_device_is_killed_in_the_middle_of_a_sync_and_goes_on(field_work: Field) -> None:
    amina = field_work.device("amina", batch_size=50)
    register(amina, 200)
    amina.close()
    program = """
import sys
from server.device import Device
path, url, tenant = sys.argv[1:]
with Device(path, server=url, tenant=tenant, batch_size=50) as device:
    device.sync(progress=lambda progress: print(progress.stage, progress.done, flush=True))
"""
    for stage in ("push 100", "snapshot", "pull"):
        arguments = [str(field_work.home / "amina"), field_work.url, field_work.tenant.config_id]
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(stage):
                    process.send_signal(signal.SIGKILL)
                    break
    amina = field_work.device("amina")
    assert amina.count() == 200
    amina.sync()
    assert amina.outbox() == []
    assert amina.count() == field_work.count_on_server() == 200
    assert not any(each.unsynced for each in amina.entities())
    assert all(receipt.verified for receipt in amina.receipts())


@told_in_a_thread
def test_two_devices_edit_the_same_person_and_both_learn_of_it(field_work: Field) -> None:
    amina, teo = field_work.device("amina"), field_work.device("teo")
    grace = amina.create("individual", "Grace", phone="0", village="Kibera")
    amina.sync()
    teo.sync()
    amina.change(grace, phone="1", village="Mathare")
    teo.change(grace, phone="2")
    assert [event.base_version for event in teo.outbox()] == [1]
    amina.sync()
    report = teo.sync()
    (conflict,) = report.conflicts
    assert (conflict.entity_guid, conflict.field, conflict.stands) == (grace, "phone", "2")
    assert (conflict.mine.data["phone"], conflict.theirs.data["phone"]) == ("2", "1")
    assert conflict.theirs.device_id == amina.id
    assert teo.conflicts() == [conflict]
    teo.change(grace, phone="3")
    assert teo.conflicts() == []
    teo.sync()
    amina.sync()
    assert state_of(amina) == state_of(teo)
    shown = amina.get(grace)
    assert shown is not None
    assert (shown.data["phone"], shown.data["village"]) == ("3", "Mathare")


@told_in_a_thread
def test_event_that_the_server_quarantines_is_kept_with_the_reason(field_work: Field) -> None:
    guids = iter(["device", "the-first", "the-second"])
    amina = field_work.device("amina", make_guid=lambda: next(guids))
    amina.record("visit", "someone", {"note": "one"})
    amina.sync()
    guids = iter(["device-2", "the-first"])
    teo = field_work.device("teo", make_guid=lambda: next(guids))
    teo.record("visit", "someone", {"note": "another"})
    report = teo.sync()
    assert [(event.guid, event.code) for event in report.refused] == [("the-first", "event.guid-reused")]
    assert teo.refused() == report.refused
    assert teo.outbox() == []


@told_in_a_thread
def test_events_that_change_nothing_are_counted_and_shown_no_more(field_work: Field) -> None:
    amina, teo = field_work.device("amina"), field_work.device("teo")
    grace = amina.create("individual", "Grace")
    amina.sync()
    teo.sync()
    teo.delete(grace)
    teo.sync()
    amina.change(grace, phone="1")
    report = amina.sync()
    assert report.without_effect == 1
    assert amina.get(grace) is None
    assert [event.status for event in amina.history(grace)] == ["accepted", "pulled", "without-effect"]


@told_in_a_thread
def test_session_that_is_over_loses_nothing(field_work: Field) -> None:
    amina = field_work.device("amina")
    amina.sync()
    grace = amina.create("individual", "Grace")
    amina.use_token("a token that nobody gave", user_id="7")
    with pytest.raises(NotSignedIn):
        amina.sync()
    amina.sign_out()
    with pytest.raises(NotSignedIn):
        amina.sync()
    with pytest.raises(NotSignedIn):
        next(amina.live())
    assert [event.entity_guid for event in amina.outbox()] == [grace]
    with pytest.raises(NotSignedIn):
        amina.sign_in(field_work.email, "not the password")
    amina.sign_in(field_work.email, PASSWORD)
    assert amina.sync().pushed == 1


@told_in_a_thread
def test_account_that_may_not_is_told_so_and_nothing_is_lost(field_work: Field) -> None:
    outsider = field_work.run(field_work.run(field_work.tenant.croft.tenant()).account())
    amina = field_work.stranger("amina")
    with amina:
        amina.sign_in(outsider, PASSWORD)
        amina.create("individual", "Grace")
        with pytest.raises(NotAllowed):
            amina.sync()
        assert len(amina.outbox()) == 1


@told_in_a_thread
def test_clock_that_is_ahead_keeps_the_order_of_edits(field_work: Field) -> None:
    amina = field_work.device("amina", clock=lambda: datetime.now(UTC) + timedelta(days=400))
    grace = amina.create("individual", "Grace", phone="0")
    for number in range(1, 6):
        amina.change(grace, phone=str(number))
    amina.sync()
    shown = amina.get(grace)
    assert shown is not None
    assert (shown.data["phone"], shown.unsynced) == ("5", False)


@told_in_a_thread
def test_device_that_keeps_no_history_has_the_same_entities(field_work: Field) -> None:
    amina, teo = field_work.device("amina"), field_work.device("teo", keep_history=False)
    teo.sync()
    people = register(amina, 30)
    amina.sync()
    report = teo.sync()
    assert (report.events, report.entities) == (0, 30)
    assert teo.history(people[0]) == []
    amina.change(people[0], phone="1")
    amina.sync()
    teo.sync()
    assert state_of(teo) == state_of(amina)


@told_in_a_thread
def test_live_device_learns_of_others_work_also_after_its_connection_was_lost(field_work: Field) -> None:
    amina = field_work.device("amina")
    proxy = field_work.proxy()
    teo = field_work.device("teo", url=proxy.url)
    counts: list[int] = []
    heard = threading.Semaphore(0)

    def follow() -> None:
        for _ in teo.live():
            teo.sync()
            counts.append(teo.count())
            heard.release()
            if counts[-1] == 3:
                return

    def everybody_heard(count: int) -> None:
        while not counts or counts[-1] < count:
            assert heard.acquire(timeout=20)

    following = threading.Thread(target=follow)
    register(amina, 1)
    amina.sync()
    following.start()
    everybody_heard(1)
    register(amina, 1)
    amina.sync()
    everybody_heard(2)
    proxy.cut_all()
    register(amina, 1)
    amina.sync()
    everybody_heard(3)
    following.join(20)
    assert not following.is_alive()


@told_in_a_thread
def test_head_that_was_not_pulled_is_told_again(field_work: Field) -> None:
    amina = field_work.device("amina")
    amina.sync()
    teo = field_work.device("teo")
    register(teo, 1)
    teo.sync()
    first = next(amina.live())
    assert next(amina.live()) == first
    assert first.cursor is not None
    amina.sync()
    ended = amina.live(until=lambda: True)
    assert list(ended) == []


@told_in_a_thread
def test_new_epoch_makes_a_device_offer_all_it_holds_and_loses_nothing(field_work: Field) -> None:
    amina, teo = field_work.device("amina"), field_work.device("teo")
    people = register(amina, 5)
    amina.sync()
    teo.sync()
    teo.change(people[0], phone="1")
    teo.sync()
    amina.sync()
    before = state_of(amina)
    field_work.begin_epoch()
    waiting = amina.create("individual", "Not synced yet")
    amina.change(people[1], phone="2")
    assert next(teo.live()).cursor is None
    report = amina.sync()
    assert report.epoch_changed
    assert (report.pushed, report.known) == (8, 6)
    assert amina.outbox() == []
    assert set(state_of(amina)) == {*before, waiting}
    teo.sync()
    assert state_of(teo) == state_of(amina)
    assert field_work.count_on_server() == 6
    assert not amina.sync().epoch_changed


@told_in_a_thread
def test_device_killed_at_any_step_of_an_epochs_change_goes_on(field_work: Field) -> None:
    amina = field_work.device("amina", batch_size=10)
    people = register(amina, 40)
    amina.sync()
    field_work.begin_epoch()
    waiting = amina.create("individual", "Not synced yet")
    amina.change(people[0], phone="1")

    class Killed(BaseException):
        pass

    def leave_at(stage: str, done: int) -> None:
        def leave(progress: Progress) -> None:
            shown = amina.get(people[0])
            assert shown is not None
            assert shown.data["phone"] == "1"
            assert amina.get(waiting) is not None
            assert amina.count() == 41
            if (progress.stage, progress.done >= done) == (stage, True):
                raise Killed

        with pytest.raises(Killed):
            amina.sync(progress=leave)

    leave_at("push", 10)
    leave_at("push", 20)
    leave_at("snapshot", 0)
    leave_at("snapshot", 41)
    leave_at("pull", 0)
    amina.close()
    amina = field_work.device("amina")
    amina.sync()
    assert amina.count() == field_work.count_on_server() == 41
    assert amina.outbox() == []
    assert not any(each.unsynced for each in amina.entities())


@told_in_a_thread
def test_threads_may_record_while_another_syncs(field_work: Field) -> None:
    amina = field_work.device("amina", batch_size=20)
    register(amina, 200)
    failures: list[Unavailable] = []

    def sync() -> None:
        try:
            amina.sync()
        except Unavailable as failure:
            failures.append(failure)

    syncing = [threading.Thread(target=sync) for _ in range(3)]
    for each in syncing:
        each.start()
    for number in range(50):
        amina.create("individual", f"Late {number}")
    for each in syncing:
        each.join()
    amina.sync()
    assert failures == []
    assert amina.count() == field_work.count_on_server() == 250
    assert statuses(amina) == {"accepted"}


def statuses(device: Device) -> set[str]:
    events: list[Event] = [event for each in device.entities() for event in device.history(each.guid)]
    return {event.status for event in events}
