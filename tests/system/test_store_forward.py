"""A subject moves to its place under a newer pepper: all its records, and a sign at the old place."""

import os
import struct

import harness
from rig.redis import RespError
from store_world import ACT_FORWARD, APPLIED, ASSERTED, COMPLAINED, FORWARD, GRANT, HAS_EVIDENCE, REQUEST, RESTRICTED, \
    SEAL, SOFT_OPTIN, STAFF, STALE, STOP, WITHDRAWN, Place, StoreCase, head, seal_part

DOCUMENT = b"not opened by Redis"
HOUR = 3_600_000
PROOF = {"source": STAFF, "statement": 3}


class ForwardCase(StoreCase):
    def setUp(self):
        super().setUp()
        self.old = self.place
        self.new = Place(self.world, bucket=0x155)

    @staticmethod
    def packed(place, pepper=2):
        """A place as a forward record holds it."""
        return (pepper << 20 | place.partition << 10 | place.bucket).to_bytes(3, "big") + place.field

    def forward(self, event_id=None, old=None, new=None, target=None):
        old, new = old or self.old, new or self.new
        reply = self.world.raw(
            "FCALL", "system_forward", 7, *old.keys[:3], *new.keys[:3], old.facts_key, self.world.store_id,
            event_id or os.urandom(8), old.field, struct.pack(">H", old.bucket), new.field, struct.pack(">H", new.bucket),
            self.packed(new) if target is None else target)
        return [reply[0].decode(), reply[1]]

    def fill(self):
        self.old.call("admin_grant", head(GRANT, **PROOF), document=DOCUMENT)
        self.old.use(60)
        self.old.call("admin_request", head(REQUEST, scope=8))
        self.old.call("admin_withdraw", head(STOP, state=WITHDRAWN))
        for state in (1, 2):
            self.old.call("officer_restrict", head(RESTRICTED, state=state))
        self.old.call("officer_end", head(RESTRICTED, state=2))


class MoveTest(ForwardCase):
    def test_all_records_move(self):
        self.fill()
        before, counts = self.old.records(), self.old.counts()
        newest, events = self.old.counter("newest_grant"), len(self.old.events())
        self.assertEqual(["applied", 5], self.forward())
        self.assertEqual([{"scope": 0, "kind": FORWARD, "place": self.packed(self.new)}], self.old.records())
        after = self.new.records()
        for record in before + after:
            record.pop("ledger", None)
        self.assertEqual(before, after)
        self.assertEqual((counts, {}), (self.new.counts(), self.old.counts()))
        self.assertEqual(newest, self.new.counter("newest_grant"))
        self.assertEqual(("5", str(events + 1)), (self.new.counter("events"), self.old.counter("events")))
        value = self.new.client("HGET", self.new.records_key, self.new.field)
        self.assertIn(60, value[27::28], "the month of last use moves too")

    def test_the_events_of_a_move(self):
        self.fill()
        records = [r for r in self.old.records() if r["kind"] != SEAL]
        self.forward(event_id=b"12345678")
        entries = self.new.events()
        self.assertEqual([entry for entry, _ in entries], [r["ledger"] for r in self.new.records() if r["kind"] != SEAL])
        for number, ((_, event), record) in enumerate(zip(entries, records)):
            self.assertEqual((ACT_FORWARD, APPLIED, b"123456" + struct.pack(">H", number), "0-0", self.new.bucket),
                             tuple(event[key] for key in ("act", "outcome", "id", "previous", "bucket")))
            self.assertEqual({k: v for k, v in record.items() if k != "ledger"}, {k: event[k] for k in record if k != "ledger"})
            self.assertEqual(bytes(32) if record["flags"] & HAS_EVIDENCE else b"", event["sha"])
        last = self.old.events()[-1][1]
        self.assertEqual((ACT_FORWARD, FORWARD, b"12345678", "0-0"),
                         tuple(last[key] for key in ("act", "kind", "id", "previous")))
        entry = self.old.client("XREVRANGE", self.old.ledger_key, "+", "-", "COUNT", 1)[0]
        self.assertEqual(self.packed(self.new), entry[1][1][21 + 7:21 + 18])

    def test_what_stands_at_the_new_place_is_merged(self):
        """LAW-3: by the same order as ever."""
        at = self.world.now_ms() - HOUR
        for offset, kind in ((5, ASSERTED), (0, SOFT_OPTIN)):
            self.old.call("admin_grant", head(kind, at=at + offset))
            self.new.call("admin_grant", head(kind, at=at + 3))
        self.old.call("admin_withdraw", head(STOP, state=COMPLAINED, at=at))
        self.new.call("admin_withdraw", head(STOP, state=WITHDRAWN, at=at))
        stood = {r["kind"]: r["ledger"] for r in self.new.records()}
        self.forward()
        self.assertEqual([(SOFT_OPTIN, at + 3, 1), (ASSERTED, at + 5, 1), (STOP, at, COMPLAINED)],
                         [(r["kind"], r["at"], r["state"]) for r in self.new.records()])
        moves = [e for _, e in self.new.events() if e["act"] == ACT_FORWARD]
        self.assertEqual([(SOFT_OPTIN, STALE), (ASSERTED, APPLIED), (STOP, APPLIED)],
                         [(e["kind"], e["outcome"]) for e in moves])
        self.assertEqual([stood[e["kind"]] for e in moves], [e["previous"] for e in moves])
        self.assertEqual({"7:3:1": 1, "7:4:1": 1, f"7:6:{COMPLAINED}": 1}, self.new.counts())
        self.assertEqual({}, self.old.counts())

    def test_the_month_of_last_use_is_the_later_one(self):
        at = self.world.now_ms() - HOUR
        for old_month, new_month, newer in ((60, 50, 0), (60, 50, 9), (50, 60, 0), (50, 60, 9)):
            self.old, self.new = Place(self.world), Place(self.world)
            for place, month, offset in ((self.old, old_month, 5), (self.new, new_month, newer)):
                place.call("admin_grant", head(GRANT, at=at + offset, **PROOF), document=DOCUMENT)
                place.use(month)
            self.forward()
            value = self.new.client("HGET", self.new.records_key, self.new.field)
            self.assertEqual(60, max(value[27::28]))

    def test_a_live_stop_at_the_new_place_is_newer_than_the_moved_grant(self):
        """LAW-3: the clock was set back since."""
        ahead = self.world.now_ms() + HOUR
        self.old.call("admin_grant", head(ASSERTED))
        self.old.client("HSET", self.old.counters_key, "newest_grant", ahead)
        self.forward()
        self.assertEqual(["applied", ahead + 1], self.new.call("subject_withdraw", head(STOP))[::2])

    def test_the_new_places_newest_grant_never_falls(self):
        ahead = str(self.world.now_ms() + HOUR)
        self.new.client("HSET", self.new.counters_key, "newest_grant", ahead)
        self.fill()
        self.forward()
        self.assertEqual(ahead, self.new.counter("newest_grant"))

    def test_seals_move(self):
        self.old.call("admin_grant", head(ASSERTED), document=DOCUMENT, seal=seal_part(5, b"o" * 16))
        self.old.call("admin_grant", head(ASSERTED, scope=9), document=DOCUMENT, seal=seal_part(6, b"p" * 16))
        self.forward()
        self.assertEqual([(5, b"o" * 16), (6, b"p" * 16)],
                         [(r["scope"], r["salt"]) for r in self.new.records() if r["kind"] == SEAL])
        self.assertEqual("applied", self.new.call("admin_grant", head(SOFT_OPTIN), document=DOCUMENT,
                                                  seal=seal_part(5, b"o" * 16))[0])

    def test_repeated_it_is_harmless(self):
        self.fill()
        self.forward(event_id=b"12345678")
        before = (self.world.raw("DUMP", self.new.records_key), self.new.events(), self.old.events(), self.new.counts())
        for event_id in (b"12345678", None):
            self.assertEqual(["duplicate", 0], self.forward(event_id=event_id))
        self.assertEqual(before, (self.world.raw("DUMP", self.new.records_key), self.new.events(), self.old.events(),
                                  self.new.counts()))

    def test_where_nothing_stands_nothing_is_left(self):
        self.assertEqual(["absent", 0], self.forward())
        self.assertEqual(([], [], []), (self.old.records(), self.old.events(), self.new.records()))

    def test_within_one_partition(self):
        self.new = Place(self.world, self.old.partition, bucket=2)
        self.fill()
        counts = self.old.counts()
        self.assertEqual(["applied", 5], self.forward())
        self.assertEqual(counts, self.new.counts())
        self.assertEqual(5, len([r for r in self.new.records() if r["kind"] != SEAL]))


class RefusalTest(ForwardCase):
    def snapshot(self):
        return [self.world.raw("DUMP", key) for place in (self.old, self.new) for key in place.keys]

    def refuses(self, word, **options):
        before = self.snapshot()
        text = self.world.error_of(self.forward, **options)
        self.assertTrue(text.startswith(word + " "), text)
        self.assertEqual(before, self.snapshot())

    def test_writes_at_the_old_place_are_refused(self):
        self.fill()
        self.forward()
        self.place = self.old
        for name, kind in (("subject_withdraw", STOP), ("admin_grant", ASSERTED), ("officer_erase", 10), ("system_bounce", 7),
                           ("officer_end", RESTRICTED), ("subject_confirm", GRANT)):
            self.refused("FORWARDED", name, head(kind))
        self.assertEqual(b"OK", self.old.use(99))
        self.assertEqual([(0, FORWARD)], self.old.kinds())

    def test_arguments(self):
        self.fill()
        self.refuses("ARGUMENT", event_id=b"1234567")
        self.refuses("ARGUMENT", target=b"x" * 10)
        self.refuses("ARGUMENT", target=b"x" * 12)
        place = Place(self.world, field=b"123456789")
        self.refuses("ARGUMENT", new=place)
        self.refuses("ARGUMENT", new=self.old)
        with self.assertRaisesRegex(RespError, "^ARGUMENT "):
            self.world.raw("FCALL", "system_forward", 7, *self.old.keys[:3], *self.new.keys, self.world.store_id)

    def test_another_store(self):
        self.fill()
        self.old.client("DEL", self.old.facts_key)
        self.refuses("FOREIGN")

    def test_a_new_place_that_has_moved_on_itself(self):
        """Else records would lie behind a forward, where no reader looks."""
        self.fill()
        third = Place(self.world)
        self.new.call("admin_grant", head(ASSERTED))
        self.forward(old=self.new, new=third)
        self.refuses("FORWARDED")

    def test_damaged_values(self):
        for place in (self.old, self.new):
            self.old.client("HSET", self.old.records_key, self.old.field, head(ASSERTED) + bytes(9))
            self.new.client("HSET", self.new.records_key, self.new.field, head(ASSERTED) + bytes(9))
            place.client("HSET", place.records_key, place.field, b"x" * 27)
            self.refuses("MALFORMED")

    def test_too_many_records(self):
        many = b"".join(head(ASSERTED, scope=scope, rank=3, at=5) + bytes(9) for scope in range(1, 514))
        for place in (self.old, self.new):
            place.client("HSET", place.records_key, place.field, many)
        self.refuses("FULL")

    def test_a_ledger_far_ahead_of_the_clock(self):
        """LAW-11: an event more than its ledger id can hold must not end the move half-way."""
        ahead = self.world.now_ms() + HOUR
        for sequence, moves in ((65535, False), (65531, False), (65530, True)):
            self.old, self.new = Place(self.world), Place(self.world)
            self.fill()
            self.new.client("XADD", self.new.ledger_key, f"{ahead}-{sequence}", "e", bytes(48), "x", "")
            before = [self.world.raw("HGETALL", key) for key in (*self.old.keys[:3:2], *self.new.keys[:3:2])]
            events = self.old.events()
            if moves:
                self.assertEqual(["applied", 5], self.forward())
                continue
            text = self.world.error_of(self.forward)
            self.assertTrue(text.startswith("CLOCK "), text)
            self.assertEqual(events, self.old.events())
            self.assertEqual(1, self.new.client("XLEN", self.new.ledger_key))
            after = [self.world.raw("HGETALL", key) for key in (*self.old.keys[:3:2], *self.new.keys[:3:2])]
            self.assertEqual([value for value in before if value], [[v for v in a] for a in after if a and a != [b"events", b"0"]])


if __name__ == "__main__":
    harness.main()
