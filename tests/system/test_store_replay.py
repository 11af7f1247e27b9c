"""Writes that may have happened before: by a caller that heard no answer, and by a keeper that replays its journal.

`replay` is '-' where the ledger id is not known, or the ledger id that the write had. LAW-11, LAW-12
"""

import os

import harness
from rig.redis import RespError
from store_world import ASSERTED, BOUNCED, ERASED, GRANT, IMPLIED, REQUEST, RESTRICTED, SEAL, SOFT_OPTIN, STOP, \
    SUSPENDED, WITHDRAWN, Place, StoreCase, head, seal_part

DOCUMENT = b"not opened by Redis"
HOUR = 3_600_000
WITHDRAWAL = {"state": WITHDRAWN}


class RepetitionTest(StoreCase):
    ACTS = (("admin_grant", ASSERTED), ("admin_request", REQUEST), ("subject_withdraw", STOP), ("system_bounce", BOUNCED),
            ("officer_restrict", RESTRICTED), ("officer_suspend", SUSPENDED), ("officer_erase", ERASED))

    def test_each_act_is_known_again(self):
        for name, kind in self.ACTS:
            for replay in ("", "-", "ledger", "7-7"):
                place = Place(self.world)
                first = place.call(name, head(kind), event_id=b"original", document=DOCUMENT)
                place.call(name, head(kind))  # another of the same record
                before = (place.records(), place.events(), place.counts(), place.counter("events"))
                hint = first[1] if replay == "ledger" else replay
                again = place.call(name, head(kind, at=first[2]), event_id=b"original", document=DOCUMENT, replay=hint)
                self.assertEqual(["duplicate", *first[1:]], again, (name, replay))
                self.assertEqual(before, (place.records(), place.events(), place.counts(), place.counter("events")))

    def test_the_hint_finds_what_no_chain_leads_to(self):
        """The record is gone since, and with it the end of the chain."""
        request = self.place.call("admin_request", head(REQUEST), event_id=b"question")
        self.place.call("subject_confirm", head(GRANT), related=request[1])
        withdrawal = self.place.call("admin_withdraw", head(STOP, **WITHDRAWAL), event_id=b"withdraw")
        self.place.call("officer_erase", head(ERASED, scope=0))
        before = self.place.records()
        self.assertEqual(["duplicate", *request[1:]],
                         self.place.call("admin_request", head(REQUEST, at=request[2]), event_id=b"question",
                                         replay=request[1]))
        self.assertEqual(["duplicate", *withdrawal[1:]],
                         self.place.call("admin_withdraw", head(STOP, at=withdrawal[2], **WITHDRAWAL), event_id=b"withdraw",
                                         replay=withdrawal[1]))
        self.assertEqual(before, self.place.records())

    def test_a_hint_that_leads_to_another_event_is_not_believed(self):
        other = self.place.call("admin_withdraw", head(STOP, scope=9, **WITHDRAWAL))
        for hint in (other[1], "1-0", "99999999999999-3"):
            place = Place(self.world, self.place.partition)
            self.assertEqual("applied", place.call("admin_withdraw", head(STOP, **WITHDRAWAL), replay=hint)[0])

    def test_a_hint_that_is_no_ledger_id_writes_nothing(self):
        for hint in ("nonsense", "5-x", "1-1-1"):
            self.refused("ERR", "admin_withdraw", head(STOP, **WITHDRAWAL), replay=hint)

    def test_what_the_store_has_lost_is_written_again(self):
        """With the same id and date, into an older state of the store."""
        snapshot = self.place.client("DUMP", self.place.records_key)
        self.assertIsNone(snapshot)
        first = self.place.call("subject_withdraw", head(STOP, **WITHDRAWAL), event_id=b"original")
        self.place.client("DEL", self.place.records_key, self.place.ledger_key, self.place.counters_key)
        again = self.place.call("subject_withdraw", head(STOP, at=first[2], **WITHDRAWAL), event_id=b"original",
                                replay=first[1])
        self.assertEqual(["applied", first[2]], again[::2])
        self.assertEqual(1, len(self.place.events()))


class ArchiveTest(StoreCase):
    """The archiver trims the stream; what it took must not be written once more."""

    def trim(self):
        self.place.client("XTRIM", self.place.ledger_key, "MAXLEN", 0)
        self.assertEqual([], self.place.events())

    def test_a_replay_into_a_trimmed_chain_makes_no_double(self):
        for name, kind in RepetitionTest.ACTS:
            for replay in ("-", "ledger"):
                self.place = Place(self.world)
                first = self.place.call(name, head(kind), event_id=b"original", document=DOCUMENT)
                self.trim()
                before = (self.place.records(), self.place.counts(), self.place.counter("events"))
                again = self.place.call(name, head(kind, at=first[2]), event_id=b"original", document=DOCUMENT,
                                        replay=first[1] if replay == "ledger" else replay)
                self.assertEqual(["duplicate", *first[1:]], again, (name, replay))
                self.assertEqual(before, (self.place.records(), self.place.counts(), self.place.counter("events")))

    def test_a_confirmation_too(self):
        """Its request, which states the version, is gone."""
        request = self.place.call("admin_request", head(REQUEST, statement=4))
        first = self.place.call("subject_confirm", head(GRANT), event_id=b"original", related=request[1])
        self.trim()
        for replay in ("-", first[1]):
            again = self.place.call("subject_confirm", head(GRANT, at=first[2]), event_id=b"original", replay=replay,
                                    related=request[1])
            self.assertEqual(["duplicate", *first[1:]], again)
        self.assertEqual(4, self.place.record(GRANT)["statement"])

    def test_an_older_one_than_what_stands(self):
        at = self.world.now_ms() - HOUR
        self.place.call("admin_withdraw", head(STOP, at=at, **WITHDRAWAL), event_id=b"original")
        newer = self.place.call("admin_withdraw", head(STOP, at=at + 5, **WITHDRAWAL))
        self.trim()
        self.assertEqual(["duplicate", newer[1]], self.place.call(
            "admin_withdraw", head(STOP, at=at, **WITHDRAWAL), event_id=b"original", replay="-")[:2])

    def test_a_newer_one_than_what_stands_cannot_lie_there(self):
        at = self.world.now_ms() - HOUR
        old = self.place.call("admin_withdraw", head(STOP, at=at, **WITHDRAWAL))
        self.trim()
        self.assertEqual("applied", self.place.call("admin_withdraw", head(STOP, at=at + 5, **WITHDRAWAL), replay="-")[0])
        (_, event), = self.place.events()
        self.assertEqual(old[1], event["previous"])

    def test_a_first_try_is_not_taken_for_an_archived_one(self):
        at = self.world.now_ms() - HOUR
        self.place.call("admin_withdraw", head(STOP, at=at + 5, **WITHDRAWAL))
        self.trim()
        self.assertEqual("stale", self.place.call("admin_withdraw", head(STOP, at=at, **WITHDRAWAL))[0])
        self.assertEqual("applied", self.place.call("admin_withdraw", head(STOP, **WITHDRAWAL))[0])


class MarkTest(StoreCase):
    """LAW-12: how far a keeper's journal has come, raised by the write itself."""

    def mark(self, name="mx1"):
        return self.place.counter(f"mark:{name}")

    def write(self, mark, **options):
        return self.place.call("admin_withdraw", head(STOP, **WITHDRAWAL), mark=mark, **options)[0]

    def test_marks_only_rise(self):
        for mark, known in (("mx1:5", "5"), ("mx1:4", "5"), ("mx1:6", "6"), ("mx2:1", "6"), ("mx1:10", "10"),
                            ("mx1:9", "10")):
            self.write(mark)
            self.assertEqual(known, self.mark())
        self.assertEqual("1", self.mark("mx2"))

    def test_what_came_too_late_or_twice_raises_them_too(self):
        """Else the keeper would take the store for one that lost its writes."""
        at = self.world.now_ms() - HOUR
        self.write("", event_id=b"original")
        self.assertIsNone(self.mark())
        self.assertEqual("duplicate", self.write("mx1:3", event_id=b"original", replay="-"))
        self.assertEqual("3", self.mark())
        self.assertEqual("stale", self.place.call("admin_withdraw", head(STOP, at=at, **WITHDRAWAL), mark="mx1:4")[0])
        self.assertEqual("4", self.mark())

    def test_what_is_refused_does_not(self):
        self.refused("KIND", "admin_withdraw", head(ASSERTED), mark="mx1:3")
        self.assertIsNone(self.mark())

    def test_what_is_no_mark_counts_for_nothing(self):
        for mark in ("mx1", "mx1:", ":5", "mx1:x", "MX1:5", "mx1:-5", "a b:5", "mx1:5:6", "events:x"):
            self.write(mark)
        flat = self.place.client("HGETALL", self.place.counters_key)
        self.assertEqual([], [name for name in flat[::2] if name.startswith(b"mark:")])


class SealRaceTest(StoreCase):
    """Two writers seal under two salts: only one salt stands, and nobody's evidence is lost."""

    def test_the_second_is_refused_and_may_come_again(self):
        salts = [os.urandom(16) for _ in range(8)]
        outcomes = []
        for salt in salts:
            try:
                outcomes.append(self.place.call("admin_withdraw", head(STOP, **WITHDRAWAL), document=DOCUMENT,
                                                seal=seal_part(5, salt))[0])
            except RespError as error:
                outcomes.append(str(error).split()[0])
        self.assertEqual(["applied"] + ["SEAL"] * 7, outcomes)
        self.assertEqual([salts[0]], [r["salt"] for r in self.place.records() if r["kind"] == SEAL])
        self.assertEqual(1, len(self.place.events()))

    def test_each_sender_has_its_own(self):
        for sender in (5, 6, 0):
            self.place.call("admin_grant", head(SOFT_OPTIN, scope=7), document=DOCUMENT,
                            seal=seal_part(sender, bytes([sender]) * 16))
        self.assertEqual([(0, bytes(16)), (5, b"\5" * 16), (6, b"\6" * 16)],
                         [(r["scope"], r["salt"]) for r in self.place.records() if r["kind"] == SEAL])

    def test_what_an_erasure_took_does_not_come_back(self):
        """A document that was sealed under the seal that stood before, as a keeper replays it, must be sealed anew."""
        old = seal_part(0, b"o" * 16)
        self.place.call("admin_withdraw", head(STOP, scope=0, **WITHDRAWAL), document=DOCUMENT, seal=old)
        self.place.call("admin_erase", head(ERASED, scope=0))
        with self.assertRaisesRegex(RespError, "^SEAL"):
            self.place.call("admin_withdraw", head(STOP, scope=0, **WITHDRAWAL), document=DOCUMENT, seal=old + b"\1")
        before = self.place.record(ERASED, scope=0)["at"] - 1
        self.place.call("admin_withdraw", head(STOP, scope=0, at=before, **WITHDRAWAL), document=DOCUMENT, seal=old,
                        replay="-")
        self.assertEqual([], [r for r in self.place.records() if r["kind"] == SEAL])

    def test_a_replay_up_to_the_mark_is_here_already(self):
        """Whatever became of the record and its event since: here an erasure and the archive took them."""
        self.place.call("admin_withdraw", head(STOP, scope=7, **WITHDRAWAL), mark="mx1:5")
        self.place.call("admin_erase", head(ERASED, scope=0), mark="mx1:9")
        for number, outcome in ((5, "duplicate"), (9, "duplicate"), (10, "applied")):
            at = self.place.world.now_ms() - 1000
            self.assertEqual(outcome, self.place.call("admin_withdraw", head(STOP, scope=7, at=at, **WITHDRAWAL), replay="-",
                                                      mark=f"mx1:{number}")[0])

    def test_an_event_without_a_document_needs_none(self):
        self.place.call("admin_grant", head(IMPLIED, expiry=9))
        self.assertEqual([(7, IMPLIED)], self.place.kinds())


if __name__ == "__main__":
    harness.main()
