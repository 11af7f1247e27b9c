"""ledger verify and ledger archive: a clean store is clean, and what anyone does past the functions is found and named."""

import json
import os
import subprocess
import threading
import unittest

import harness
from harness import EVIDENCE, NEWS_PURPOSE
from ledger_world import DOCUMENT, LedgerWorld, every_act
from rig.proc import Process, wait_for
from store_world import ASSERTED, GRANT, STAFF, STOP, WITHDRAWN, Place, head


class LedgerCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = LedgerWorld().start().prepare()
        cls.place = every_act(cls.world)

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()

    def clean(self):
        findings, sums = self.world.verify()
        self.assertEqual(([], 0), (findings, sums["code"]), sums)
        return sums


class ArchiveTest(LedgerCase):
    """One story, in order: tests run by name."""

    def test_1_all_acts_are_clean_before_and_after(self):
        before = self.clean()
        self.assertEqual(0, before["archived"])
        kept = json.loads(self.world.ctl.run("--json", "ledger", "archive").stdout)
        self.assertEqual((before["events"], 0, 0), (kept["archived"], kept["trimmed"], kept["alarms"]))
        self.assertEqual(before | {"archived": before["events"]}, self.clean(), "the tail is kept for 7 days")
        trimmed = self.world.archive_now()
        self.assertEqual((0, before["events"]), (trimmed["archived"], trimmed["trimmed"]))
        self.assertEqual(0, sum(self.world.raw("XLEN", f"l:{{p{p:03x}}}") for p in range(1024)))
        self.assertEqual(before | {"archived": before["events"]}, self.clean())

    def test_2_history_reads_both(self):
        rows = self.history("everyday@ledger.test")
        self.assertEqual(["grant", "grant", "grant", "withdraw"], [row["act"] for row in rows])
        self.assertTrue(all(row["evidence"] for row in rows), rows)
        self.world.ctl.run("withdraw", "everyday@ledger.test", "acme")
        self.assertEqual(rows, self.history("everyday@ledger.test")[:-1])
        self.world.ctl.run("ledger", "archive", "--keep", "1h")
        self.assertEqual(5, len(self.history("everyday@ledger.test")), "what lies in both places is told once")

    def history(self, address):
        result = self.world.ctl.run("--json", "history", address)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_3_an_erasure_reaches_the_archive(self):
        rows = self.history("gone@ledger.test")
        self.assertEqual([True, True, False], [row["evidence_lost"] for row in rows], rows)

    def test_4_segments_are_sealed_and_continued(self):
        self.world.archive_now("--seal")
        self.assertEqual(1, len(self.world.segments()))
        self.world.archive_now("--seal")
        self.assertEqual(1, len(self.world.segments()), "there was nothing to seal")
        for number in range(2, 5):
            self.world.ctl.run("withdraw", f"sealed{number}@ledger.test", "acme")
            self.world.archive_now("--seal")
            self.assertEqual(number, len(self.world.segments()))
        self.clean()

    def test_5_the_archiver_knows_no_secrets_but_its_own(self):
        for name in ("pepper.1", "seal.1"):
            os.rename(os.path.join(self.world.keys, name), os.path.join(self.world.directory, name))
        try:
            self.assertEqual(0, self.world.archive_now()["alarms"])
        finally:
            for name in ("pepper.1", "seal.1"):
                os.rename(os.path.join(self.world.directory, name), os.path.join(self.world.keys, name))

    def test_6_verify_needs_the_public_key_only(self):
        secret = os.path.join(self.world.keys, "archive.1")
        os.rename(secret, secret + ".away")
        self.clean()
        self.assertIn("archive.1", self.world.ctl.run("ledger", "archive", ok=(78,)).stderr)
        os.rename(secret + ".away", secret)

    def test_7_without_the_archive_it_is_not_known(self):
        os.rename(self.world.archive, self.world.archive + ".away")
        try:
            result = self.world.ctl.run("ledger", "verify", ok=(75,))
            self.assertIn("were archived", result.stderr)
            history = self.world.ctl.run("history", "everyday@ledger.test", ok=(75,))
            self.assertIn("archive", history.stderr)
            refused = self.world.ctl.run("ledger", "archive", ok=(65,))
            self.assertIn("has lost entries", refused.stderr)
        finally:
            os.rmdir(self.world.archive)
            os.rename(self.world.archive + ".away", self.world.archive)
        self.clean()

    def test_8_another_or_an_empty_redis_is_refused(self):
        saved = self.world.save()
        try:
            self.world.raw("FLUSHALL")
            for command in (("ledger", "archive"), ("ledger", "verify")):
                self.assertIn("no consent store", self.world.ctl.run(*command, ok=(75,)).stderr)
            self.world.raw("HSET", "m:{p000}", "store", "f" * 32)
            self.assertIn("another consent store", self.world.ctl.run("ledger", "archive", ok=(75,)).stderr)
        finally:
            self.world.put_back(saved)
        self.clean()

    def test_9_options(self):
        for options in (("--keep", "x"), ("--keep", "7"), ("--keep", "-1d"), ("--keep", "d"), ("--keep", "36501d"),
                        ("--follow", "--seal")):
            self.world.ctl.run("ledger", "archive", *options, ok=(64,))
        self.assertIn("findings", self.world.ctl.run("ledger", "verify").stdout)


class FollowTest(LedgerCase):
    def follow(self, *options):
        process = Process("archiver", [self.world.ctl.path, "-c", self.world.ctl.config, "ledger", "archive", "--follow",
                                       *options], os.path.join(self.world.directory, "archiver.log"))
        process.start()
        self.addCleanup(process.kill)
        return process

    def test_it_follows_under_load_and_all_stays_clean(self):
        archiver = self.follow("--keep", "0")
        stop = threading.Event()
        written = []

        def load(number):
            with self.world.redis.client() as client:
                places = [Place(self.world, partition=p, bucket=number) for p in range(400, 410)]
                while not stop.is_set():
                    for place in places:
                        place.call("officer_grant", head(GRANT, source=STAFF, statement=1), document=DOCUMENT,
                                   client=client)
                        place.call("subject_withdraw", head(STOP, state=WITHDRAWN), client=client)
                    written.append(2 * len(places))

        threads = [threading.Thread(target=load, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                findings, sums = self.world.verify()
                unknown = {row["partition"] for row in findings}
                self.assertTrue(unknown <= set(range(400, 410)), findings)
                self.assertEqual({"unstable"} if unknown else set(), {row["finding"] for row in findings})
                self.assertEqual(75 if unknown else 0, sums["code"])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertGreater(sum(written), 100)
        wait_for(lambda: sum(self.world.raw("XLEN", f"l:{{p{p:03x}}}") for p in range(400, 410)) == 0,
                 "everything is archived")
        sums = self.clean()
        self.assertEqual(sums["events"], sums["archived"])
        other = self.world.ctl.run("ledger", "archive", ok=(75,))
        self.assertIn("another archiver", other.stderr)
        self.assertEqual(0, archiver.stop())
        self.assertNotIn("ALARM", archiver.log())

    def test_it_waits_for_redis(self):
        archiver = self.follow("--keep", "0")
        self.place.call("admin_grant", head(ASSERTED))
        wait_for(lambda: self.world.raw("XLEN", self.place.ledger_key) == 0, "it works")
        self.world.redis.stop()
        wait_for(lambda: "store_unreachable" in archiver.log(), "the trouble is told")
        self.world.redis.start()
        type(self).world.raw = self.world.redis.client()
        self.place.client = self.world.raw
        self.place.call("admin_grant", head(ASSERTED))
        wait_for(lambda: self.world.raw("XLEN", self.place.ledger_key) == 0, "it goes on")
        self.assertEqual(0, archiver.stop())
        self.clean()


class TamperTest(LedgerCase):
    """What hands do in Redis and in the archive. Half of the events are archived and trimmed, half are in the tail."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for number in range(3):
            cls.world.ctl.run("withdraw", f"segment{number}@ledger.test", "acme")
            cls.world.archive_now("--seal")
        cls.fresh = Place(cls.world)
        cls.fresh.call("officer_grant", head(GRANT, source=STAFF, statement=1), document=DOCUMENT)
        cls.fresh.call("admin_grant", head(ASSERTED))
        cls.fresh.call("admin_withdraw", head(STOP, state=WITHDRAWN))
        cls.fresh.call("admin_withdraw", head(STOP, state=WITHDRAWN), document=DOCUMENT)
        cls.saved = cls.world.save()

    def found(self, act, *want, partition=None):
        """After `act` verify finds exactly these kinds of findings, in this partition (-1: in the archive), each told for
        people as well; without it all is clean again."""
        try:
            act()
            findings, sums = self.world.verify()
            self.assertEqual(1, sums["code"], findings)
            self.assertEqual(set(want), {row["finding"] for row in findings}, findings)
            if partition is not None:
                self.assertEqual({partition}, {row["partition"] for row in findings}, findings)
            self.assertTrue(all(row["advice"] for row in findings))
            return findings
        finally:
            self.world.put_back(self.saved)

    def raw(self, *command):
        return self.world.raw(*command)

    def entries(self, place):
        return [entry[0].decode() for entry in self.raw("XRANGE", place.ledger_key, "-", "+")]

    def rewrite(self, place, change):
        """The tail of one partition with changed entries, and the stream's own numbers as they were."""
        entries = self.raw("XRANGE", place.ledger_key, "-", "+")
        info = self.raw("XINFO", "STREAM", place.ledger_key)
        facts = dict(zip(info[::2], info[1::2]))
        self.raw("DEL", place.ledger_key)
        for number, (ledger, fields) in enumerate(entries):
            event, document = change(number, fields[1], fields[3])
            self.raw("XADD", place.ledger_key, ledger, "e", event, "x", document)
        self.raw("XSETID", place.ledger_key, facts[b"last-generated-id"], "ENTRIESADDED", facts[b"entries-added"],
                 "MAXDELETEDID", "0-0")

    def test_a_clean_store(self):
        self.clean()

    def test_a_record_written_past_the_functions(self):
        stranger = Place(self.world)
        record = head(GRANT, source=STAFF, statement=1, rank=1, state=1, at=self.world.now_ms()) + bytes(9)
        row, = self.found(lambda: self.raw("HSET", stranger.records_key, stranger.field, record), "record_orphan",
                          partition=stranger.partition)
        self.assertIn("grant", row["text"])
        self.assertIn(stranger.field.hex(), row["text"])

    def test_a_record_beside_others(self):
        value = self.raw("HGET", self.fresh.records_key, self.fresh.field)
        forged = value[:28] + head(GRANT, scope=9, rank=1, state=1, at=1) + bytes(9)
        self.found(lambda: self.raw("HSET", self.fresh.records_key, self.fresh.field, value + forged[28:]),
                   "record_orphan", partition=self.fresh.partition)

    def test_a_changed_record(self):
        value = bytearray(self.raw("HGET", self.fresh.records_key, self.fresh.field))
        value[-28 + 14] ^= 1  # the date of the stop, which is the last one
        self.found(lambda: self.raw("HSET", self.fresh.records_key, self.fresh.field, bytes(value)), "record_changed",
                   partition=self.fresh.partition)

    def test_a_record_that_names_another_event(self):
        value = bytearray(self.raw("HGET", self.fresh.records_key, self.fresh.field))
        value[-28 + 26] ^= 1
        self.found(lambda: self.raw("HSET", self.fresh.records_key, self.fresh.field, bytes(value)), "record_changed",
                   partition=self.fresh.partition)

    def test_deleted_records(self):
        self.found(lambda: self.raw("HDEL", self.fresh.records_key, self.fresh.field), "record_missing",
                   partition=self.fresh.partition)
        value = self.raw("HGET", self.fresh.records_key, self.fresh.field)
        row, = self.found(lambda: self.raw("HSET", self.fresh.records_key, self.fresh.field, value[:-28]),
                          "record_missing", partition=self.fresh.partition)
        self.assertIn("stop", row["text"])
        self.found(lambda: self.raw("HDEL", self.place.records_key, self.place.field), "record_missing",
                   partition=self.place.partition)

    def test_records_that_are_none(self):
        value = self.raw("HGET", self.fresh.records_key, self.fresh.field)
        for bad in (value[:-1], value[28:] + value[:28], b"x" * 28, b""):
            self.found(lambda bad=bad: self.raw("HSET", self.fresh.records_key, self.fresh.field, bad),
                       "record_malformed", "record_missing", partition=self.fresh.partition)
        stranger = Place(self.world)
        self.found(lambda: self.raw("SET", stranger.records_key, "text"), "record_malformed",
                   partition=stranger.partition)
        self.found(lambda: self.raw("HSET", stranger.records_key, "short", value), "record_malformed",
                   partition=stranger.partition)

    def test_a_deleted_event(self):
        for number, more in ((0, {"record_orphan", "counter_wrong"}), (2, {"chain_broken"}), (3, {"record_changed"})):
            ledger = self.entries(self.fresh)[number]
            self.found(lambda ledger=ledger: self.raw("XDEL", self.fresh.ledger_key, ledger), "events_missing", *more,
                       partition=self.fresh.partition)

    def test_a_trimming_hole(self):
        """XADD may trim: whoever may add one event may take all that are not archived."""
        packed = self.raw("XRANGE", self.fresh.ledger_key, "-", "+")[0][1][1]
        act = ("XADD", self.fresh.ledger_key, "MAXLEN", "0", "*", "e", packed, "x", "")
        findings = self.found(lambda: self.raw(*act), "events_missing", "record_orphan", "counter_wrong",
                              partition=self.fresh.partition)
        self.assertIn("5 entries were added", " ".join(row["text"] for row in findings))
        act = ("XADD", self.fresh.ledger_key, "MAXLEN", "1", "*", "e", packed, "x", DOCUMENT)
        self.found(lambda: self.raw(*act), "events_missing", "record_orphan", "record_changed", "counter_wrong",
                   partition=self.fresh.partition)

    def test_the_archiver_notices_the_hole(self):
        try:
            self.raw("XTRIM", self.fresh.ledger_key, "MAXLEN", "1")
            result = self.world.ctl.run("ledger", "archive", ok=(1,))
            self.assertIn(f"ALARM: partition {self.fresh.partition}: 4 entries were added", result.stderr)
        finally:
            self.world.put_back(self.saved)

    def test_a_changed_document(self):
        self.found(lambda: self.rewrite(self.fresh, lambda n, e, x: (e, x[:-1] + b"?" if n == 0 else x)),
                   "document_changed", partition=self.fresh.partition)
        self.found(lambda: self.rewrite(self.fresh, lambda n, e, x: (e, b"" if n == 0 else x)), "document_missing",
                   partition=self.fresh.partition)
        self.found(lambda: self.rewrite(self.fresh, lambda n, e, x: (e, x or b"more")), "document_changed",
                   partition=self.fresh.partition)

    def test_changed_events(self):
        def change(number, at, by):
            def act(n, event, document):
                changed = bytearray(event)
                changed[at] ^= by if n == number else 0
                return bytes(changed), document
            return lambda: self.rewrite(self.fresh, act)

        partition = self.fresh.partition
        self.found(change(1, 29, 1), "record_changed", partition=partition)            # its statement
        self.found(change(3, 47, 1), "chain_broken", partition=partition)              # the one before it
        self.found(change(3, 2, 3), "outcome_wrong", "record_changed", partition=partition)
        self.found(change(1, 0, 3), "event_malformed", "record_orphan", "counter_wrong", partition=partition)
        self.found(change(0, 20, 1), "record_orphan", "record_missing", partition=partition)  # another subject

    def test_forged_events(self):
        """Written into the ledger past the functions, well formed or not."""
        packed = bytearray(self.raw("XRANGE", self.fresh.ledger_key, "-", "+")[1][1][1])
        packed[20] ^= 1
        self.found(lambda: self.raw("XADD", self.fresh.ledger_key, "*", "e", bytes(packed), "x", ""), "record_missing",
                   "counter_wrong", "events_forged", partition=self.fresh.partition)
        for fields in (("e", "short", "x", ""), ("e", bytes(packed)), ("e", bytes(packed), "x", "", "y", ""), ("a", "b")):
            self.found(lambda fields=fields: self.raw("XADD", self.fresh.ledger_key, "*", *fields), "event_malformed",
                       "events_forged", partition=self.fresh.partition)

    def test_what_is_no_event_is_not_archived_and_not_trimmed(self):
        try:
            self.raw("XADD", self.fresh.ledger_key, "*", "a", "b")
            self.fresh.call("admin_grant", head(ASSERTED))
            result = self.world.ctl.run("ledger", "archive", "--keep", "0", ok=(1,))
            self.assertIn("is not as the functions write them", result.stderr)
            self.assertEqual(2, self.raw("XLEN", self.fresh.ledger_key))
        finally:
            self.world.put_back(self.saved)

    def test_counters(self):
        key = self.fresh.counters_key
        for act in (("HINCRBY", key, f"7:{GRANT}:1", 1), ("HDEL", key, f"7:{STOP}:{WITHDRAWN}"), ("HSET", key, "newest_grant", 1), ("HSET", key, "7:1", "x"),
                    ("HSET", key, "note", "1-1"), ("HSET", key, f"7:{GRANT}:1:ended", 1)):
            self.found(lambda act=act: self.raw(*act), "counter_wrong", partition=self.fresh.partition)
        for by, word in ((1, "events_missing"), (-1, "events_forged")):
            self.found(lambda by=by: self.raw("HINCRBY", key, "events", by), word, partition=self.fresh.partition)

    def test_a_redis_that_was_rolled_back(self):
        try:
            self.world.archive_now()
            self.world.redis.restore(self.saved[0])
            findings, sums = self.world.verify()
            self.assertEqual((set(), 0), ({row["finding"] for row in findings}, sums["code"]),
                             "what was archived since stands in the tail again, as it was")
            self.raw("DEL", self.fresh.ledger_key, self.fresh.records_key, self.fresh.counters_key)
            findings, sums = self.world.verify()
            self.assertEqual({"rolled_back", "record_missing", "counter_wrong"}, {row["finding"] for row in findings})
            result = self.world.ctl.run("ledger", "archive", ok=(1,))
            self.assertIn(f"partition {self.fresh.partition}: Redis was rolled back", result.stderr)
        finally:
            self.world.put_back(self.saved)


if __name__ == "__main__":
    harness.main()
