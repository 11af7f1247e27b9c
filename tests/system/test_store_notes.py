"""What concerns no subject: notes of the ledger, the keepers' beats, and what a person accepts. LAW-12, LAW-16"""

import hashlib
import json
import os

import harness
from store_world import ACT_NOTE, APPLIED, STOP, WITHDRAWN, Place, StoreCase, StoreWorld, head

RUN_ID, REPLICATION_ID = "1" * 40, "2" * 40
LEDGER, COUNTERS, FACTS = "l:{p000}", "n:{p000}", "m:{p000}"
DOCUMENT = b'{"note":"observe","actor":"root"}'


class NotesCase(StoreCase):
    """All of it stands in the first partition, so that each test has a store of its own."""

    @classmethod
    def setUpClass(cls):
        cls.world = None

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.world = StoreWorld().start()
        self.addCleanup(self.world.stop)
        self.raw = self.world.raw

    def notes(self):
        """(ledger id, event, document), oldest first."""
        place = Place(self.world, 0, field=bytes(8))
        entries = self.raw("XRANGE", LEDGER, "-", "+")
        documents = {entry[0].decode(): entry[1][3] for entry in entries}
        return [(at, event, documents[at]) for at, event in place.events() if event["act"] == ACT_NOTE]

    def fcall(self, function, keys, *arguments):
        reply = self.raw("FCALL", function, len(keys), *keys, *arguments)
        return [part.decode() if isinstance(part, bytes) else part for part in reply]

    def fails(self, word, function, keys, *arguments):
        text = self.world.error_of(self.fcall, function, keys, *arguments)
        self.assertTrue(text.startswith(word + " "), text)

    @staticmethod
    def note_arguments(document=DOCUMENT, event_id=None):
        return event_id or os.urandom(8), document, hashlib.sha256(document).digest()


class NoteTest(NotesCase):
    KEYS = (LEDGER, COUNTERS, FACTS)

    def note(self, *arguments, function="admin_note", store=None):
        return self.fcall(function, self.KEYS, store or self.world.store_id, *arguments)

    def test_notes_are_a_chain(self):
        results = [self.note(*self.note_arguments(), function=name) for name in ("admin_note", "system_note", "admin_note")]
        notes = self.notes()
        self.assertEqual([result[1] for result in results], [at for at, _, _ in notes])
        self.assertEqual(["0-0"] + [at for at, _, _ in notes[:-1]], [event["previous"] for _, event, _ in notes])
        for (at, event, document), result in zip(notes, results):
            self.assertEqual(["applied", at, at.partition("-")[0]], result)
            self.assertEqual((DOCUMENT, hashlib.sha256(DOCUMENT).digest()), (document, event["sha"]))
            self.assertEqual(APPLIED, event["outcome"])
        self.assertEqual(notes[-1][0].encode(), self.raw("HGET", COUNTERS, "note"))
        self.assertEqual(b"3", self.raw("HGET", COUNTERS, "events"))

    def test_a_repetition_is_one_note(self):
        first = self.note(*self.note_arguments(event_id=b"original"))
        for _ in range(5):
            self.note(*self.note_arguments())
        self.assertEqual(first[1], self.note(*self.note_arguments(event_id=b"original"))[1])
        self.assertEqual(6, len(self.notes()))

    def test_what_is_refused_leaves_none(self):
        event_id, document, sha = self.note_arguments()
        self.fails("FOREIGN", "admin_note", self.KEYS, "0" * 32, event_id, document, sha)
        self.fails("ARGUMENT", "admin_note", self.KEYS, self.world.store_id, event_id[:7], document, sha)
        self.fails("ARGUMENT", "system_note", self.KEYS, self.world.store_id, event_id, document, sha[:31])
        self.assertEqual([], self.notes())
        self.assertIsNone(self.raw("HGET", COUNTERS, "note"))

    def test_trimmed_notes_end_the_chain(self):
        first = self.note(*self.note_arguments())
        self.raw("XTRIM", LEDGER, "MAXLEN", 0)
        self.note(*self.note_arguments())
        (_, event, _), = self.notes()
        self.assertEqual(first[1], event["previous"])
        self.assertEqual(1, len(self.world.ctl.run("store", "status").stdout.split("note ")[1:]))

    def test_status_shows_the_last_ten_newest_first(self):
        for number in range(12):
            self.note(*self.note_arguments(json.dumps({"number": number}).encode()))
        rows = [json.loads(line) for line in self.world.ctl.run("--json", "store", "status").stdout.splitlines()]
        self.assertEqual(list(range(11, 1, -1)), [row["note"]["number"] for row in rows if "note" in row])

    def test_a_chain_that_leads_astray_is_told(self):
        """LAW-2"""
        place = Place(self.world, 0, field=b"somebody")
        _, ledger, _ = place.call("admin_withdraw", head(STOP, state=WITHDRAWN))
        self.raw("HSET", COUNTERS, "note", ledger)
        self.assertIn("something else than a note", self.world.ctl.run("store", "status", ok=(75,)).stderr)


class RegistryNotesTest(NotesCase):
    """Each change of the registry leaves a note with its author, and what changes nothing leaves none."""

    def test_one_note_for_each_change(self):
        ctl, text = self.world.ctl, self.world.write("text", "I agree.")
        commands = (
            ("sender_add", ("sender", "add", "acme", "--title", "Acme")),
            ("purpose_add", ("purpose", "add", "acme/news", "--dormancy", "12:warn")),
            ("purpose_dormancy", ("purpose", "dormancy", "acme/news", "6:refuse")),
            ("statement_publish", ("statement", "publish", "acme/news", text, "--material", "--effective", "2026-01-01")),
            ("statement_publish", ("statement", "publish", "acme/news", text, "--lang", "de", "--version", "1")),
            ("purpose_retire", ("purpose", "retire", "acme/news")),
        )
        for number, (name, command) in enumerate(commands, 1):
            for _ in range(2 if name != "purpose_retire" else 3):
                ctl.run(*command)
                self.assertEqual(number, len(self.notes()), command)
            document = json.loads(self.notes()[-1][2])
            self.assertEqual(name, document["note"])
            self.assertIn("(consentctl)", document["actor"])
        self.assertEqual(str(len(commands)).encode(), self.raw("HGET", "g:{p000}:counter", "version"))
        for command in (("purpose", "add", "nobody/x"), ("purpose", "retire", "acme/none"),
                        ("purpose", "dormancy", "acme/none", "off"),
                        ("statement", "publish", "acme/news", text, "--version", "9")):
            ctl.run(*command, ok=(65,))
        self.assertEqual(len(commands), len(self.notes()))

    def test_no_change_without_its_note(self):
        """LAW-16: a note that cannot be written ends the change, whichever."""
        self.world.prepare()
        registry = {key: self.raw("DUMP", key) for key in self.raw("KEYS", "g:*")}
        notes = self.notes()
        keys = ("g:{p000}:counter", LEDGER, COUNTERS)
        hashes = {name: f"g:{{p000}}:{name}" for name in ("senders", "purposes", "statements", "texts")}
        bad = (b"1234567", DOCUMENT, hashlib.sha256(DOCUMENT).digest())
        for function, names, arguments in (
                ("admin_sender_add", ("senders",), ("beta", "Beta")),
                ("admin_purpose_add", ("senders", "purposes"), ("acme", "acme/x", "", "X", "0", "")),
                ("admin_purpose_retire", ("purposes",), ("acme/newsletter",)),
                ("admin_purpose_dormancy", ("purposes",), ("acme/newsletter", "3", "warn")),
                ("admin_statement_publish", ("purposes", "statements", "texts"),
                 ("acme/newsletter", "", "en", "0", "", "ab" * 32, "other"))):
            self.fails("ARGUMENT", function, (*keys, *(hashes[name] for name in names)), *bad, *arguments)
            self.assertEqual(registry, {key: self.raw("DUMP", key) for key in self.raw("KEYS", "g:*")}, function)
        self.assertEqual(notes, self.notes())


class BeatTest(NotesCase):
    KEYS = (FACTS, "n:{p007}")

    def beat(self, *, name="mx1", state="on", run_id=RUN_ID, replication_id=REPLICATION_ID, deadline=None, mark=0, journal=0,
             store=None):
        deadline = self.world.now_ms() + 1500 if deadline is None else deadline
        return (store or self.world.store_id, name, state, run_id, replication_id, deadline, mark, journal)

    def kept(self, name="mx1"):
        value = self.raw("HGET", FACTS, f"beat:{name}")
        return None if value is None else value.decode()

    def test_a_beat_is_dated_by_redis(self):
        before = self.world.now_ms()
        word, at = self.fcall("keeper_beat", self.KEYS, *self.beat(journal=17))
        self.assertEqual("beat", word)
        self.assertTrue(before <= int(at) <= self.world.now_ms())
        self.assertEqual(f"on {RUN_ID} {REPLICATION_ID} {at} 17", self.kept())
        _, at = self.fcall("keeper_beat", self.KEYS, *self.beat(state="off", journal=18))
        self.assertEqual(f"off {RUN_ID} {REPLICATION_ID} {at} 18", self.kept())

    def test_one_that_comes_too_late(self):
        """It was sent before a pause of unknown length: it would vouch for what nobody has looked at."""
        self.fails("LATE", "keeper_beat", self.KEYS, *self.beat(deadline=self.world.now_ms() - 1))
        self.fails("LATE", "keeper_beat", self.KEYS, *self.beat(deadline=0))
        self.assertIsNone(self.kept())

    def test_a_store_that_lost_what_the_keeper_wrote(self):
        place = Place(self.world, 7)
        place.call("admin_withdraw", head(STOP, state=WITHDRAWN), mark="mx1:5")
        self.fcall("keeper_beat", self.KEYS, *self.beat(mark=5))
        before = self.kept()
        self.fails("ROLLBACK", "keeper_beat", self.KEYS, *self.beat(mark=6))
        self.fails("ROLLBACK", "keeper_beat", self.KEYS, *self.beat(name="mx2", mark=1))
        self.raw("DEL", "n:{p007}")
        self.fails("ROLLBACK", "keeper_beat", self.KEYS, *self.beat(mark=5))
        self.assertEqual(before, self.kept())

    def test_another_store(self):
        self.fails("FOREIGN", "keeper_beat", self.KEYS, *self.beat(store="0" * 32))
        self.raw("HDEL", FACTS, "store")
        self.fails("FOREIGN", "keeper_beat", self.KEYS, *self.beat())

    def test_arguments(self):
        for options in ({"name": "MX1"}, {"name": "a b"}, {"name": ""}, {"name": "mx1:"}, {"state": "retired"}, {"state": ""}):
            self.fails("ARGUMENT", "keeper_beat", self.KEYS, *self.beat(**options))
        self.fails("ARGUMENT", "keeper_beat", self.KEYS, *self.beat()[:-1])
        self.fails("ARGUMENT", "keeper_beat", self.KEYS, *self.beat(), "more")
        self.fails("ERR", "keeper_beat", self.KEYS, *self.beat(deadline="soon"))

    def test_a_retired_keeper_beats_no_more_until_it_is_readmitted(self):
        ctl = self.world.ctl
        self.raw("HSET", "n:{p123}", "mark:mx1", "9", "mark:mx2", "8")
        self.fcall("keeper_beat", self.KEYS, *self.beat())
        ctl.run("store", "accept", "mx1", "--retire", "--reason", "the disk is gone")
        self.assertRegex(self.kept(), r"^retired - - \d+ 0$")
        for state in ("on", "off"):
            self.fails("RETIRED", "keeper_beat", self.KEYS, *self.beat(state=state))
        self.assertEqual(b"9", self.raw("HGET", "n:{p123}", "mark:mx1"))
        ctl.run("store", "accept", "mx1", "--readmit", "--reason", "a new disk")
        self.assertIsNone(self.kept())
        self.assertEqual([None, b"8"], [self.raw("HGET", "n:{p123}", f"mark:{name}") for name in ("mx1", "mx2")])
        self.assertEqual("beat", self.fcall("keeper_beat", self.KEYS, *self.beat())[0])


class AcceptTest(NotesCase):
    def test_it_is_a_note_with_its_author_and_a_new_epoch(self):
        ctl = self.world.prepare().ctl
        self.world.grant("epoch@store.test")
        before = len(self.notes())
        for number, (option, note) in enumerate((("--retire", "keeper_retire"), ("--readmit", "keeper_readmit")), 1):
            ctl.run("store", "accept", "mx7", option, "--reason", "a reason")
            self.assertEqual(str(1 + number).encode(), self.raw("HGET", FACTS, "epoch"))
            document = json.loads(self.notes()[-1][2])
            self.assertEqual((note, "mx7", "a reason"), tuple(document[key] for key in ("note", "keeper", "reason")))
            self.assertIn("(consentctl)", document["actor"])
            ctl.run("check", "epoch@store.test", "acme/newsletter")  # filters go on
            ctl.run("sender", "list")
        self.assertEqual(before + 2, len(self.notes()))

    def test_another_store_and_a_note_that_fails(self):
        keys = (FACTS, LEDGER, COUNTERS)
        event_id, document, sha = self.note_arguments()
        self.fails("FOREIGN", "admin_accept", keys, "0" * 32, event_id, document, sha, "mx1", "retire")
        self.fails("ARGUMENT", "admin_accept", keys, self.world.store_id, event_id, document, sha[:3], "mx1", "retire")
        self.assertIsNone(self.raw("HGET", FACTS, "beat:mx1"))
        self.assertEqual(b"1", self.raw("HGET", FACTS, "epoch"))

    def test_usage(self):
        for more in ((), ("--retire",), ("--reason", "x"), ("--retire", "--readmit", "--reason", "x")):
            self.assertIn("--readmit", self.world.ctl.run("store", "accept", "mx1", *more, ok=(64,)).stderr)
        for name in ("MX1", "", "a/b", "a b", "x" * 33):
            self.world.ctl.run("store", "accept", name, "--retire", "--reason", "x", ok=(64,))
        self.assertEqual([], self.notes())

    def test_with_json_it_is_one_object(self):
        row = self.world.ctl.json("store", "accept", "mx1", "--retire", "--reason", "x")
        self.assertEqual({"keeper": "mx1", "accepted": "retire"}, row)


class StatusTest(NotesCase):
    def test_every_keeper_is_shown(self):
        for name, text in (("mx1", f"on {RUN_ID} {REPLICATION_ID} {self.world.now_ms()} 5"), ("mx2", "retired - - 5 0"),
                           ("mx3", "rubbish")):
            self.raw("HSET", FACTS, f"beat:{name}", text)
        shown = self.world.ctl.run("store", "status").stdout
        for word in (self.world.store_id, "keeper mx1: on", "another incarnation", "keeper mx2: retired",
                     "keeper mx3: a beat that cannot be read"):
            self.assertIn(word, shown)
        rows = [json.loads(line) for line in self.world.ctl.run("--json", "store", "status").stdout.splitlines()]
        self.assertEqual({"mx1": "on", "mx2": "retired", "mx3": "unreadable"},
                         {row["keeper"]: row["state"] for row in rows if "keeper" in row})


class MemoryTest(NotesCase):
    """A Redis at its ceiling: what forbids and what vouches must get in, what permits must not."""

    def setUp(self):
        super().setUp()
        self.place = Place(self.world)
        self.place.call("officer_restrict", head(8))
        self.raw("CONFIG", "SET", "maxmemory", "1")
        self.addCleanup(lambda: self.raw("CONFIG", "SET", "maxmemory", "0"))

    def test_stops(self):
        for rank in ("subject", "officer", "admin", "sender", "system"):
            self.assertIn(self.place.call(f"{rank}_withdraw", head(STOP, state=WITHDRAWN))[0], ("applied", "stale"))
        for name, kind in (("officer_restrict", 8), ("admin_restrict", 8), ("officer_suspend", 9), ("admin_suspend", 9),
                           ("admin_bounce", 7), ("system_bounce", 7), ("officer_erase", 10), ("admin_erase", 10)):
            self.assertIn(self.place.call(name, head(kind), document=b"x")[0], ("applied", "stale"), name)

    def test_what_permits_waits(self):
        for name, kind in (("officer_grant", 4), ("admin_grant", 4), ("sender_grant", 4), ("admin_request", 5),
                           ("sender_request", 5), ("subject_confirm", 1), ("officer_end", 8), ("admin_end", 8)):
            text = self.world.error_of(self.place.call, name, head(kind))
            self.assertTrue(text.startswith("OOM "), (name, text))

    def test_beats_and_notes(self):
        """Without beats no filter would trust the store, and all mail would wait."""
        self.fcall("keeper_beat", BeatTest.KEYS, *BeatTest.beat(self))
        self.fcall("admin_note", NoteTest.KEYS, self.world.store_id, *self.note_arguments())
        self.world.ctl.run("store", "accept", "mx2", "--retire", "--reason", "x")


if __name__ == "__main__":
    harness.main()
