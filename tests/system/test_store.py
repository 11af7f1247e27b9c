"""The functions of the store, called as the product calls them and as nobody should."""

import itertools
import os
import random
import subprocess
import unittest

import harness
import store_world
from harness import EVIDENCE, NEWS_PURPOSE, OFFERS_PURPOSE
from rig.redis import RespClient, RespError
from store_world import ADMIN, APPLIED, ASSERTED, BOUNCED, COMPLAINED, ERASED, GIVEN, GRANT, IMPLIED, OFFICER, REQUEST, \
    CONTRACT, INQUIRY, MEMBERSHIP, PURCHASE, RESTRICTED, SEAL, SENDER, SOFT_OPTIN_EVIDENCE, SUSPENDED, \
    SOFT_OPTIN, STAFF, STALE, STOP, SUBJECT, WITHDRAWN, Place, StoreCase, StoreWorld, head, seal_part

WITHDRAWAL = {"state": WITHDRAWN}
DOCUMENT = b"not opened by Redis"
GRANTS = {GRANT, IMPLIED, SOFT_OPTIN, ASSERTED}
FUNCTIONS = (
    "subject_confirm", "subject_withdraw",
    "officer_grant", "officer_withdraw", "officer_restrict", "officer_suspend", "officer_end", "officer_erase",
    "admin_grant", "admin_withdraw", "admin_request", "admin_restrict", "admin_suspend", "admin_end", "admin_erase",
    "admin_bounce", "sender_grant", "sender_withdraw", "sender_request", "system_withdraw", "system_bounce")
OTHER_FUNCTIONS = {
    "system_forward", "system_note", "system_use", "keeper_beat", "admin_accept", "admin_note", "admin_forget_mark",
    "admin_sender_add", "admin_purpose_add", "admin_purpose_retire", "admin_purpose_dormancy", "admin_statement_publish", "admin_registry_halt",
    "admin_registry_announce"}


class WriteTest(StoreCase):
    def test_a_grant_is_a_record_and_an_event(self):
        at = self.world.now_ms() - 5000
        outcome, ledger, dated = self.place.call(
            "officer_grant", head(GRANT, source=STAFF, statement=3, at=at, expiry=77), document=DOCUMENT,
            event_id=b"8 bytes!")
        self.assertEqual(("applied", at), (outcome, dated))
        self.assertEqual({"scope": 7, "kind": GRANT, "state": GIVEN, "rank": OFFICER, "flags": 1, "source": STAFF,
                          "statement": 3, "at": at, "expiry": 77, "ledger": ledger}, self.place.record(GRANT))
        (event_at, event), = self.place.events()
        self.assertEqual(ledger, event_at)
        self.assertEqual((1, 1, APPLIED, b"8 bytes!", "0-0"),
                         tuple(event[key] for key in ("version", "act", "outcome", "id", "previous")))

    def test_each_function_writes_its_own_rank(self):
        """LAW-6: what the caller states as rank counts for nothing."""
        for function, rank in (("subject_withdraw", SUBJECT), ("officer_withdraw", OFFICER),
                               ("admin_withdraw", ADMIN), ("sender_withdraw", SENDER)):
            with self.subTest(function):
                place = Place(self.world)
                place.call(function, head(STOP, rank=SUBJECT if rank != SUBJECT else ADMIN, **WITHDRAWAL))
                self.assertEqual(rank, place.record(STOP)["rank"])

    def test_there_is_no_plain_grant_by_the_subject(self):
        """LAW-10: a subject's grant is a confirmation."""
        self.refused("ERR", "subject_grant", head(ASSERTED))

    def test_a_repetition_changes_nothing(self):
        """LAW-11: by event id, at once and after other events in between."""
        base = self.world.now_ms() - 100_000
        first = self.place.call("admin_grant", head(ASSERTED, at=base), event_id=b"original")
        self.assertEqual(["duplicate", *first[1:]],
                         self.place.call("admin_grant", head(ASSERTED, at=base), event_id=b"original"))
        self.place.call("admin_grant", head(ASSERTED, at=base + 10))
        self.place.call("admin_grant", head(ASSERTED, at=base - 10))
        self.place.call("admin_withdraw", head(STOP, **WITHDRAWAL))
        before = (self.place.records(), self.place.events())
        for record in (head(ASSERTED, at=base), head(ASSERTED, at=base + 50), head(ASSERTED)):
            self.assertEqual(["duplicate", *first[1:]],
                             self.place.call("admin_grant", record, event_id=b"original"))
        self.assertEqual(before, (self.place.records(), self.place.events()))

    def test_a_live_repetition_keeps_the_first_date(self):
        first = self.place.call("officer_withdraw", head(STOP, **WITHDRAWAL), event_id=b"12345678")
        second = self.place.call("officer_withdraw", head(STOP, **WITHDRAWAL), event_id=b"12345678")
        self.assertEqual(["duplicate", *first[1:]], second)

    def test_a_repetition_far_behind_is_found_or_harmless(self):
        base = self.world.now_ms() - 100_000
        self.place.call("admin_grant", head(ASSERTED, at=base), event_id=b"original")
        for number in range(1, 64):
            self.place.call("admin_grant", head(ASSERTED, at=base + number))
        self.assertEqual("duplicate", self.place.call("admin_grant", head(ASSERTED, at=base), event_id=b"original")[0])
        self.place.call("admin_grant", head(ASSERTED, at=base + 64))
        before = self.place.record(ASSERTED)
        self.assertEqual("stale", self.place.call("admin_grant", head(ASSERTED, at=base), event_id=b"original")[0])
        self.assertEqual(before["at"], self.place.record(ASSERTED)["at"])

    def test_the_same_id_for_another_record_is_another_event(self):
        self.place.call("admin_grant", head(ASSERTED), event_id=b"12345678")
        self.assertEqual("applied", self.place.call("admin_grant", head(SOFT_OPTIN), event_id=b"12345678")[0])

    def test_the_chain_of_a_record_is_complete(self):
        """Each event names the one before it for the same record, stale ones too; the record names the last."""
        base = self.world.now_ms() - 100_000
        chains = {}
        for kind, offset in itertools.product((ASSERTED, SOFT_OPTIN), (0, 50, 20, 70, 10)):
            chains.setdefault(kind, []).append(self.place.call("sender_grant", head(kind, at=base + offset)))
        for kind, results in chains.items():
            self.assertEqual(["applied", "applied", "stale", "applied", "stale"], [r[0] for r in results])
            events = [(at, e) for at, e in self.place.events() if e["kind"] == kind]
            self.assertEqual([r[1] for r in results], [at for at, _ in events])
            self.assertEqual(["0-0"] + [at for at, _ in events[:-1]], [e["previous"] for _, e in events])
            self.assertEqual([APPLIED, APPLIED, STALE, APPLIED, STALE], [e["outcome"] for _, e in events])
            record = self.place.record(kind)
            self.assertEqual((base + 70, events[-1][0]), (record["at"], record["ledger"]))

    def test_kinds_and_scopes_do_not_overwrite_each_other(self):
        kinds = {(scope, kind) for scope in (1, 7, 300) for kind in (IMPLIED, SOFT_OPTIN, ASSERTED)}
        order = sorted(kinds)
        random.Random(4).shuffle(order)
        for scope, kind in order:
            self.place.call("admin_grant", head(kind, scope=scope, expiry=2**31))
        self.place.call("admin_withdraw", head(STOP, scope=0, **WITHDRAWAL))
        self.assertEqual([(0, STOP), *sorted(kinds)], [(r["scope"], r["kind"]) for r in self.place.records()])

    def test_on_the_same_date_the_more_restrictive_wins(self):
        """LAW-3, in either order."""
        at = self.world.now_ms() - 5000
        weak, strong = head(STOP, state=WITHDRAWN, at=at), head(STOP, state=COMPLAINED, at=at)
        for order in ((weak, strong), (strong, weak)):
            place = Place(self.world)
            for record in order:
                place.call("admin_withdraw", record)
            self.assertEqual(COMPLAINED, place.record(STOP)["state"])


class DateTest(StoreCase):
    def test_a_grant_dated_ahead_of_the_clock_is_refused(self):
        ahead = self.world.now_ms() + 60_000
        self.refused("FUTURE", "admin_grant", head(ASSERTED, at=ahead))
        self.refused("FUTURE", "admin_request", head(REQUEST, at=ahead))
        self.refused("FUTURE", "admin_grant", head(ASSERTED, at=ahead), replay="-")
        self.refused("FUTURE", "admin_grant", head(ASSERTED, at=2**48 - 1))

    def test_a_stop_dated_ahead_takes_effect_now(self):
        """What was asked for must not wait for a date that a wrong clock has made."""
        before = self.world.now_ms()
        outcome, _, dated = self.place.call("admin_withdraw", head(STOP, at=before + 60_000, **WITHDRAWAL))
        self.assertEqual("applied", outcome)
        self.assertTrue(before <= dated <= self.world.now_ms(), dated)

    def test_a_live_event_has_the_date_of_redis(self):
        before = self.world.now_ms()
        dated = self.place.call("admin_grant", head(ASSERTED))[2]
        self.assertLessEqual(before, dated)
        self.assertLessEqual(dated, self.world.now_ms())

    def test_a_live_withdrawal_is_newer_than_every_grant_of_the_partition(self):
        """LAW-3: the clock was set back by an hour after somebody's grant."""
        ahead = self.world.now_ms() + 3_600_000
        self.place.client("HSET", self.place.counters_key, "newest_grant", ahead)
        outcome, _, dated = self.place.call("subject_withdraw", head(STOP, **WITHDRAWAL))
        self.assertEqual(("applied", ahead + 1), (outcome, dated))
        # The next one, half a minute later by that clock, is not lost either.
        self.assertEqual(["applied", ahead + 1],
                         self.place.call("subject_withdraw", head(STOP, state=COMPLAINED))[::2])
        self.assertLess(self.place.call("admin_grant", head(ASSERTED))[2], ahead)
        self.assertEqual(str(ahead).encode(),
                         self.place.client("HGET", self.place.counters_key, "newest_grant"))

    def test_a_withdrawal_dated_ahead_stops_at_once(self):
        world = StoreWorld().start().prepare()
        try:
            world.grant("ahead@store.test")
            world.ctl.run("check", "ahead@store.test", NEWS_PURPOSE)
            place = Place.of_address(world, "ahead@store.test")
            world.raw("HSET", place.counters_key, "newest_grant", world.now_ms() + 3_600_000)
            world.ctl.run("withdraw", "ahead@store.test", NEWS_PURPOSE)
            self.assertIn("withdrawn", world.ctl.run("check", "ahead@store.test", NEWS_PURPOSE, ok=(1,)).stdout)
        finally:
            world.stop()

    def test_newest_grant_only_rises(self):
        base = self.world.now_ms() - 50_000
        for offset, newest in ((0, 0), (40, 40), (20, 40), (30, 40)):
            self.place.call("admin_grant", head(ASSERTED, at=base + offset))
            self.assertEqual(str(base + newest).encode(),
                             self.place.client("HGET", self.place.counters_key, "newest_grant"))


class RefusalTest(StoreCase):
    def test_express_by_others_needs_source_statement_and_evidence(self):
        """LAW-6"""
        complete = {"source": STAFF, "statement": 1}
        for function in ("officer_grant", "admin_grant", "sender_grant"):
            self.refused("EVIDENCE", function, head(GRANT, **complete))
            self.refused("EVIDENCE", function, head(GRANT, statement=1), document=DOCUMENT)
            self.refused("EVIDENCE", function, head(GRANT, source=STAFF), document=DOCUMENT)
            place = Place(self.world)
            self.assertEqual("applied", place.call(function, head(GRANT, **complete), document=DOCUMENT)[0])

    def test_kinds_belong_to_their_acts(self):
        acts = {"grant": GRANTS, "confirm": {GRANT}, "request": {REQUEST}, "withdraw": {STOP}, "bounce": {BOUNCED},
                "restrict": {RESTRICTED}, "suspend": {SUSPENDED}, "end": {RESTRICTED, SUSPENDED}, "erase": {ERASED}}
        for name in FUNCTIONS:
            for kind in set(range(16)) - acts[name.partition("_")[2]]:
                self.refused("KIND", name, head(kind))

    def test_these_functions_and_no_others(self):
        """LAW-6, LAW-10: a function that exists can be given away by mistake."""
        library, = self.place.client("FUNCTION", "LIST", "LIBRARYNAME", "consent")
        functions = library[library.index(b"functions") + 1]
        names = {fields[fields.index(b"name") + 1].decode() for fields in functions}
        self.assertEqual(set(FUNCTIONS) | OTHER_FUNCTIONS, names)

    def test_arguments_too_few_and_too_many(self):
        place = self.place
        arguments = [self.world.store_id, b"8 bytes!", place.field, b"\0\1", head(ASSERTED), "", "", "", "", "", ""]
        for wrong in (arguments[:-1], arguments + [""], []):
            text = self.world.error_of(place.client, "FCALL", "admin_grant", 4, *place.keys, *wrong)
            self.assertTrue(text.startswith("ARGUMENT "), text)
        self.assertEqual([], place.records())

    def test_a_grant_for_everybody_is_refused(self):
        self.refused("SCOPE", "admin_grant", head(ASSERTED, scope=0))

    def test_another_store_is_refused(self):
        """LAW-12"""
        self.refused("FOREIGN", "admin_withdraw", head(STOP, **WITHDRAWAL), store="0" * 32)
        facts = self.place.facts_key
        self.place.client("DEL", facts)
        self.refused("FOREIGN", "admin_withdraw", head(STOP, **WITHDRAWAL))

    def test_arguments_of_another_length_are_refused(self):
        record = head(ASSERTED)
        self.refused("ARGUMENT", "admin_grant", record, event_id=b"1234567")
        self.refused("ARGUMENT", "admin_grant", record, field=b"123456789")
        self.refused("ARGUMENT", "admin_grant", record, bucket=b"1")
        self.refused("ARGUMENT", "admin_grant", record + b"x")
        self.refused("ARGUMENT", "admin_grant", record, seal=b"x", document=DOCUMENT)

    def test_a_hash_of_another_length_is_refused(self):
        """The event would have a length that no reader takes, and with it the whole partition's ledger."""
        self.refused("ARGUMENT", "admin_grant", head(ASSERTED), document=DOCUMENT, sha=b"short")
        self.refused("ARGUMENT", "admin_grant", head(ASSERTED), document=DOCUMENT, sha=b"")
        self.refused("ARGUMENT", "admin_grant", head(ASSERTED), sha=bytes(32))

    def test_a_seal_cannot_carry_another_record(self):
        """LAW-6: whoever may only withdraw could else write a grant of the subject's own rank."""
        forged = head(GRANT, rank=SUBJECT, source=1, statement=1, at=self.world.now_ms()) + bytes(9)
        self.refused("ARGUMENT", "sender_withdraw", head(STOP, **WITHDRAWAL), document=DOCUMENT, seal=forged)

    def test_a_seal_needs_a_document(self):
        self.refused("ARGUMENT", "sender_withdraw", head(STOP, **WITHDRAWAL), seal=seal_part())

    def test_states_and_sources_that_no_reader_knows_are_refused(self):
        """One such record makes its subject "don't know" for every filter, for ever."""
        for record in (head(ASSERTED, state=0), head(ASSERTED, state=2), head(ASSERTED, source=14),
                       head(ASSERTED, source=31), head(IMPLIED, state=5, expiry=9)):
            self.refused("STATE", "sender_grant", record)
        for record in (head(STOP, state=0), head(STOP, state=5), head(STOP, source=14, **WITHDRAWAL)):
            self.refused("STATE", "sender_withdraw", record)

    def test_a_stop_does_not_lapse_and_implied_consent_does(self):
        """LAW-7"""
        self.refused("EXPIRY", "admin_withdraw", head(STOP, expiry=1, **WITHDRAWAL))
        for name, kind in (("restrict", RESTRICTED), ("suspend", SUSPENDED), ("bounce", BOUNCED), ("erase", ERASED),
                           ("end", RESTRICTED)):
            self.refused("EXPIRY", f"admin_{name}", head(kind, expiry=1))
        for state in (PURCHASE, INQUIRY):
            self.refused("EXPIRY", "admin_grant", head(IMPLIED, state=state))
        for state in (CONTRACT, MEMBERSHIP):
            self.place.call("admin_grant", head(IMPLIED, state=state))
            self.assertEqual((state, 0), (self.place.record(IMPLIED)["state"], self.place.record(IMPLIED)["expiry"]))

    def test_a_subject_has_at_most_so_many_records(self):
        """Readers refuse more: the subject would be "don't know"."""
        full = b"".join(head(ASSERTED, scope=scope, rank=ADMIN, at=5) + bytes(9) for scope in range(1, 1025))
        self.place.client("HSET", self.place.records_key, self.place.field, full)
        self.refused("FULL", "admin_grant", head(ASSERTED, scope=2000))
        self.assertEqual("applied", self.place.call("admin_grant", head(ASSERTED, scope=1000))[0])
        self.refused("FULL", "admin_grant", head(ASSERTED, scope=1000), document=DOCUMENT)
        self.refused("FULL", "admin_withdraw", head(STOP, scope=2000, **WITHDRAWAL))

    def test_grants_leave_room_for_stops(self):
        """Nobody can be filled up so that no withdrawal fits."""
        room = b"".join(head(ASSERTED, scope=scope, rank=ADMIN, at=5) + bytes(9) for scope in range(1, 896))
        self.place.client("HSET", self.place.records_key, self.place.field, room)
        self.assertEqual("applied", self.place.call("admin_grant", head(ASSERTED, scope=2000))[0])
        self.refused("FULL", "admin_grant", head(ASSERTED, scope=2001))
        self.refused("FULL", "admin_grant", head(ASSERTED, scope=2000), document=DOCUMENT)
        for scope in range(1, 113):
            self.assertEqual("applied", self.place.call("admin_withdraw", head(STOP, scope=scope, **WITHDRAWAL))[0])
        self.refused("FULL", "admin_withdraw", head(STOP, scope=113, **WITHDRAWAL))
        self.assertEqual("applied", self.place.call("admin_withdraw", head(STOP, scope=0, **WITHDRAWAL))[0])
        self.assertEqual(1009, len(self.place.records()))

    def test_another_seal_is_refused_and_the_first_stays(self):
        self.place.call("admin_grant", head(ASSERTED), document=DOCUMENT, seal=seal_part(salt=b"a" * 16))
        self.refused("SEAL", "admin_grant", head(SOFT_OPTIN), document=DOCUMENT, seal=seal_part(salt=b"b" * 16))
        self.assertEqual("applied", self.place.call("admin_grant", head(SOFT_OPTIN), document=DOCUMENT,
                                                    seal=seal_part(salt=b"a" * 16))[0])
        self.assertEqual([b"a" * 16], [r["salt"] for r in self.place.records() if r["kind"] == SEAL])

    def test_records_of_another_length_are_not_touched(self):
        self.place.client("HSET", self.place.records_key, self.place.field, b"x" * 27)
        self.refused("MALFORMED", "admin_withdraw", head(STOP, **WITHDRAWAL))


class CounterTest(StoreCase):
    def test_counters_equal_the_records(self):
        seed = int(os.environ.get("CM_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
        dice = random.Random(seed)
        fields = [bytes([number]) * 8 for number in range(12)]
        base = self.world.now_ms() - 100_000
        for _ in range(600):
            at = base + dice.randrange(20)
            if dice.random() < 0.4:
                name, record = "withdraw", head(STOP, scope=dice.choice((0, 5, 7)), state=dice.randrange(1, 5), at=at)
            else:
                name, record = "grant", head(dice.choice((SOFT_OPTIN, ASSERTED)), scope=dice.choice((7, 8)), at=at)
            self.place.call(f"{dice.choice(('admin', 'sender', 'officer'))}_{name}", record, field=dice.choice(fields))
        counted = {}
        flat = self.place.client("HGETALL", self.place.counters_key)
        for name, value in zip(flat[::2], flat[1::2]):
            if b":" in name and int(value) != 0:
                counted[name.decode()] = int(value)
        found = {}
        values = self.place.client("HVALS", self.place.records_key)
        for record in (r for value in values for r in store_world.unpack_records(value)):
            name = f"{record['scope']}:{record['kind']}:{record['state']}"
            found[name] = found.get(name, 0) + 1
        self.assertEqual(found, counted, f"CM_SEED={seed}")
        events = int(self.place.client("HGET", self.place.counters_key, "events"))
        self.assertEqual(self.place.client("XLEN", self.place.ledger_key), events, f"CM_SEED={seed}")


class ParityTest(StoreCase):
    def test_redis_and_core_order_events_alike(self):
        """LAW-3: random events in random order against cm_record_supersedes, byte by byte."""
        seed = int(os.environ.get("CM_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
        program = os.path.join(harness.OPTIONS.build, "tests", "system", "store_parity")
        result = subprocess.run([program, self.world.redis.socket_path, self.world.store_id, str(seed), "2000"],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(0, result.returncode, f"CM_SEED={seed}\n{result.stdout}{result.stderr}")


class MemoryTest(unittest.TestCase):
    def setUp(self):
        self.world = StoreWorld().start().prepare()
        self.addCleanup(self.world.stop)
        self.world.grant("full@store.test")
        self.world.raw("CONFIG", "SET", "maxmemory", "1")

    def test_a_full_store_takes_withdrawals_and_no_grants(self):
        place = Place.of_address(self.world, "full@store.test")
        text = self.world.error_of(place.call, "admin_grant", head(ASSERTED))
        self.assertTrue(text.startswith("OOM "), text)
        for rank in ("subject", "officer", "admin", "sender"):
            outcome = place.call(f"{rank}_withdraw", head(STOP, scope=2, **WITHDRAWAL))[0]  # the newsletter
            self.assertIn(outcome, ("applied", "stale"))
        self.world.ctl.run("check", "full@store.test", NEWS_PURPOSE, ok=(1,))

    def test_consentctl_says_so(self):
        result = self.world.ctl.run("grant", "full@store.test", OFFERS_PURPOSE, "--basis", "asserted", ok=(75,))
        self.assertIn("store_cannot_write", result.stderr)
        self.assertNotIn("UNCERTAIN", result.stderr)
        self.world.ctl.run("withdraw", "full@store.test", NEWS_PURPOSE)


class SealTest(unittest.TestCase):
    """Nothing in Redis, or in its file, names a person or shows what was said."""

    MARK = "squirrel-of-oranienburg"
    ADDRESS = f"{MARK}@people.example"

    def setUp(self):
        self.world = StoreWorld().start().prepare()
        self.addCleanup(self.world.stop)
        world = self.world
        world.ctl.run("grant", self.ADDRESS, NEWS_PURPOSE, "--source", "phone", "--statement", "1", "--evidence",
                      f'{{"call":"{self.MARK}","number":"+49 3301 55512"}}', "--ref", "customer-8818")
        world.ctl.run("grant", f"{self.MARK}.x+tag@gmail.com", OFFERS_PURPOSE, "--basis", "soft_optin", "--evidence",
                      SOFT_OPTIN_EVIDENCE)
        world.ctl.run("withdraw", f"{self.MARK}@gmail.com", "acme")
        world.ctl.run("withdraw", self.ADDRESS, "everybody")

    def assert_absent(self, haystack, where):
        for secret in (self.MARK, "oranienburg", "people.example", "gmail.com", "3301", "customer-8818",
                       "acme.example/signup", self.world.key_file("pepper.1"), self.world.key_file("seal.1")):
            secret = secret if isinstance(secret, bytes) else secret.encode()
            for form in (secret, secret.hex().encode(), secret[::-1]):
                self.assertNotIn(form, haystack, f"{secret} is in {where}")

    def test_keys_and_values_are_free_of_plaintext(self):
        parts = self.world.everything()
        self.assertGreater(len(parts), store_world.PARTITIONS)
        self.assert_absent(b"\n".join(parts), "Redis")

    def test_the_append_only_file_is_free_of_plaintext(self):
        files = [os.path.join(base, name) for base, _, names in os.walk(self.world.redis.directory) for name in names
                 if ".aof" in name]
        self.assertTrue(files)
        for path in files:
            with open(path, "rb") as file:
                self.assert_absent(file.read(), path)

    def test_history_opens_it_with_the_seal_key_and_not_with_another(self):
        shown = self.world.ctl.run("history", self.ADDRESS).stdout
        self.assertIn("+49 3301 55512", shown)
        self.assertIn("customer-8818", shown)
        path = os.path.join(self.world.keys, "seal.1")
        os.chmod(path, 0o600)
        with open(path, "wb") as file:
            file.write(os.urandom(32))
        shown = self.world.ctl.run("history", self.ADDRESS).stdout
        self.assertNotIn("3301", shown)
        self.assertIn("cannot be opened", shown)

    def test_a_changed_document_is_not_shown(self):
        place = Place.of_address(self.world, self.ADDRESS)
        entries = self.world.raw("XRANGE", place.ledger_key, "-", "+")
        self.world.raw("DEL", place.ledger_key)
        for at, fields in entries:
            event, document = fields[1], fields[3]
            self.world.raw("XADD", place.ledger_key, at, "e", event, "x", document[:-1] + bytes([document[-1] ^ 1]))
        shown = self.world.ctl.run("history", self.ADDRESS).stdout
        self.assertEqual(2, shown.count("cannot be opened"), shown)


class AclTest(unittest.TestCase):
    """What Redis lets each user do; the rules are those that an administrator is told to set."""

    MILTER = ("resetchannels -@all +ping +auth +role +info +time (%R~c:* %R~m:* +hget +hmget) "
              "(%R~g:* +hget +hgetall) (~d:* +hincrby +expire) (%W~r:* +xadd)").replace("(", "\0(").split("\0")

    @classmethod
    def setUpClass(cls):
        cls.world = StoreWorld().start().prepare()
        cls.world.grant("acl@store.test")
        rules = [part.strip() for part in cls.MILTER]
        cls.world.raw("ACL", "SETUSER", "milter", "on", ">secret", *rules[0].split(), *rules[1:])
        cls.world.raw("ACL", "SETUSER", "leaver", "on", ">secret", "resetchannels", "-@all", "+auth", "+fcall|sender_withdraw",
                      "+time", "+hget", "+hset", "+hincrby", "+xadd", "+xrange", "~c:*", "~l:*", "~n:*", "~m:*")
        path = cls.world.write("password", "secret\n")
        cls.milter = cls.world.new_ctl("milter.conf", {"store": {"user": "milter", "password_file": path}})

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()

    def connect(self, user):
        client = RespClient(self.world.redis.socket_path)
        self.addCleanup(client.close)
        client("AUTH", user, "secret")
        return client

    def test_the_milter_looks_up(self):
        self.assertIn("permitted", self.milter.run("check", "acl@store.test", NEWS_PURPOSE).stdout)
        self.milter.run("check", "nobody@store.test", NEWS_PURPOSE, ok=(1,))

    def test_the_milter_records_refusals_and_counts(self):
        client = self.connect("milter")
        client("XADD", "r:{p000}", "MAXLEN", "~", "10000", "*", "id", "x", "d", "{}")
        client("HINCRBY", "d:{p000}:20260101", "acme-news:refuse:no_consent", 1)
        client("EXPIRE", "d:{p000}:20260101", 34560000)

    def test_the_milter_writes_neither_records_nor_ledger_nor_registry(self):
        client = self.connect("milter")
        for command in (("HSET", "c:{p001}:0001", "f", "v"), ("HDEL", "c:{p001}:0001", "f"), ("DEL", "c:{p001}:0001"),
                        ("XADD", "l:{p001}", "*", "e", "v"), ("HSET", "m:{p001}", "store", "v"),
                        ("HINCRBY", "n:{p001}", "events", 1), ("HSET", "g:{p000}:senders", "x", "{}"),
                        ("XRANGE", "l:{p001}", "-", "+"), ("XRANGE", "r:{p000}", "-", "+"), ("CONFIG", "GET", "*"),
                        ("FUNCTION", "FLUSH"), ("FLUSHALL",), ("KEYS", "*")):
            with self.assertRaisesRegex(RespError, "^NOPERM", msg=command):
                client(*command)
        place = Place(self.world)
        with self.assertRaisesRegex(RespError, "^NOPERM"):
            place.call("sender_withdraw", head(STOP, **WITHDRAWAL), client=client)
        result = self.milter.run("withdraw", "acl@store.test", NEWS_PURPOSE, ok=(77,))
        self.assertIn("store_no_permission", result.stderr)
        self.world.ctl.run("check", "acl@store.test", NEWS_PURPOSE)

    def test_a_user_may_be_given_one_act_of_one_rank(self):
        """LAW-6: which function is the ACL's business."""
        client = self.connect("leaver")
        place = Place(self.world)
        self.assertEqual("applied", place.call("sender_withdraw", head(STOP, **WITHDRAWAL), client=client)[0])
        for function in ("sender_grant", "admin_grant", "officer_withdraw", "subject_withdraw"):
            with self.assertRaisesRegex(RespError, "^NOPERM", msg=function):
                place.call(function, head(ASSERTED), client=client)


if __name__ == "__main__":
    harness.main()
