"""Who may write what, and what each act does: the functions called as the product calls them."""

import harness
from rig.proc import wait_for
from store_world import ADMIN, ASSERTED, BOUNCED, BY_GUARDIAN, DAY_S, DECEASED, ENDED, ERASED, GRANT, HAS_EVIDENCE, \
    IMPLIED, LEGAL, MINOR, OFFICER, REQUEST, RESTRICTED, SEAL, SOFT_OPTIN, STAFF, STALE, STOP, SUBJECT, SUSPENDED, SYSTEM, \
    WITHDRAWN, Place, StoreCase, head, seal_part

DOCUMENT = b"not opened by Redis"
HOUR = 3_600_000
PROOF = {"source": STAFF, "statement": 3}


class RankTest(StoreCase):
    """LAW-6"""

    def test_each_function_writes_its_own_rank(self):
        ranks = {"subject": SUBJECT, "officer": OFFICER, "admin": ADMIN, "sender": 4, "system": SYSTEM}
        acts = {"withdraw": (STOP, ranks), "restrict": (RESTRICTED, ("officer", "admin")),
                "suspend": (SUSPENDED, ("officer", "admin")), "erase": (ERASED, ("officer", "admin")),
                "bounce": (BOUNCED, ("admin", "system")), "request": (REQUEST, ("admin", "sender")),
                "grant": (ASSERTED, ("officer", "admin", "sender"))}
        for act, (kind, names) in acts.items():
            for name in names:
                for claimed in (0, SUBJECT, SYSTEM, 15):
                    place = Place(self.world)
                    self.assertEqual("applied", place.call(f"{name}_{act}", head(kind, rank=claimed))[0])
                    self.assertEqual(ranks[name], place.record(kind)["rank"])

    def test_what_a_rank_may_not_has_no_function(self):
        for name in ("subject_grant", "subject_erase", "sender_restrict", "sender_erase", "sender_bounce", "sender_confirm",
                     "admin_confirm", "officer_confirm", "system_grant", "system_request", "system_erase", "subject_end",
                     "officer_request", "sender_end"):
            self.refused("ERR", name, head(ASSERTED))

    def test_states_are_those_of_the_kind(self):
        for act, kind, most in (("restrict", RESTRICTED, 3), ("suspend", SUSPENDED, 2), ("bounce", BOUNCED, 2),
                                ("erase", ERASED, 1), ("request", REQUEST, 1)):
            for state in (0, most + 1, 15):
                self.refused("STATE", f"admin_{act}", head(kind, state=state))
            self.refused("STATE", f"admin_{act}", head(kind, source=14))
            self.assertEqual("applied", Place(self.world).call(f"admin_{act}", head(kind, state=most, source=13))[0])

    def test_the_end_is_no_flag_of_the_caller(self):
        """LAW-5: else whoever may restrict could end what others have set, by a restriction."""
        self.place.call("admin_restrict", head(RESTRICTED, state=MINOR, flags=ENDED | HAS_EVIDENCE))
        self.assertEqual(0, self.place.record(RESTRICTED)["flags"])
        self.place.call("admin_grant", head(ASSERTED, flags=ENDED | HAS_EVIDENCE))
        self.assertEqual(0, self.place.record(ASSERTED)["flags"])

    def test_a_guardian_gives_express_consent_with_evidence(self):
        """LAW-15"""
        flags = {"flags": BY_GUARDIAN}
        self.refused("GUARDIAN", "admin_grant", head(ASSERTED, **flags), document=DOCUMENT)
        self.refused("GUARDIAN", "admin_grant", head(IMPLIED, expiry=9, **flags), document=DOCUMENT)
        self.refused("GUARDIAN", "admin_grant", head(GRANT, **PROOF, **flags))
        self.refused("GUARDIAN", "sender_grant", head(GRANT, **PROOF, **flags), document=DOCUMENT)
        self.refused("GUARDIAN", "admin_request", head(REQUEST, **flags), document=DOCUMENT)
        self.refused("GUARDIAN", "admin_withdraw", head(STOP, **flags), document=DOCUMENT)
        self.refused("GUARDIAN", "admin_restrict", head(RESTRICTED, **flags), document=DOCUMENT)
        self.refused("GUARDIAN", "sender_grant", head(GRANT, **PROOF, **flags), document=DOCUMENT)
        self.place.call("officer_grant", head(GRANT, **PROOF, **flags), document=DOCUMENT)
        self.assertEqual(HAS_EVIDENCE | BY_GUARDIAN, self.place.record(GRANT)["flags"])
        _, ledger, _ = self.place.call("admin_request", head(REQUEST, scope=9))
        self.refused("GUARDIAN", "subject_confirm", head(GRANT, scope=9, **flags), related=ledger)
        self.place.call("subject_confirm", head(GRANT, scope=9, **flags), document=DOCUMENT, related=ledger)
        self.assertEqual(HAS_EVIDENCE | BY_GUARDIAN, self.place.record(GRANT, 9)["flags"])


class ExpiryTest(StoreCase):
    """LAW-7"""

    def test_requests_and_bounces_get_their_expiry_here(self):
        at = self.world.now_ms() - HOUR
        for act, kind, days, given in (("request", REQUEST, 30, 0), ("request", REQUEST, 30, 4_000_000_000),
                                       ("bounce", BOUNCED, 180, 0)):
            place = Place(self.world)
            place.call(f"admin_{act}", head(kind, at=at, expiry=given))
            self.assertEqual(at // 1000 + days * DAY_S, place.record(kind)["expiry"])
            (_, event), = place.events()
            self.assertEqual(at // 1000 + days * DAY_S, event["expiry"])
            live = Place(self.world)
            _, _, dated = live.call(f"admin_{act}", head(kind))
            self.assertEqual(dated // 1000 + days * DAY_S, live.record(kind)["expiry"])

    def test_a_bounce_of_the_far_future_never_wraps_into_the_past(self):
        self.place.call("admin_bounce", head(BOUNCED, at=2**47), replay="-")
        self.assertEqual(2**32 - 1, self.place.record(BOUNCED)["expiry"])

    def test_a_newer_bounce_lasts_longer(self):
        at = self.world.now_ms() - HOUR
        for offset, newest in ((0, 0), (5000, 5000), (2000, 5000)):
            self.place.call("system_bounce", head(BOUNCED, at=at + offset))
            self.assertEqual((at + newest) // 1000 + 180 * DAY_S, self.place.record(BOUNCED)["expiry"])


class EndTest(StoreCase):
    """LAW-5: restrictions and suspensions end only by the rank that set them."""

    def flags(self, kind=RESTRICTED):
        return [(r["rank"], r["state"], r["flags"]) for r in self.place.records() if r["kind"] == kind]

    def test_there_must_be_something_to_end(self):
        self.refused("ABSENT", "admin_end", head(RESTRICTED, state=MINOR))
        self.place.call("officer_restrict", head(RESTRICTED, state=MINOR))
        self.refused("ABSENT", "officer_end", head(RESTRICTED, state=LEGAL))
        self.refused("ABSENT", "officer_end", head(SUSPENDED, state=MINOR))
        self.refused("ABSENT", "officer_end", head(RESTRICTED, scope=8, state=MINOR))

    def test_another_rank_does_not_end_it(self):
        self.place.call("officer_restrict", head(RESTRICTED, state=MINOR))
        self.refused("ABSENT", "admin_end", head(RESTRICTED, state=MINOR))
        self.place.call("admin_restrict", head(RESTRICTED, state=MINOR))
        self.place.call("admin_end", head(RESTRICTED, state=MINOR))
        self.assertEqual([(OFFICER, MINOR, 0), (ADMIN, MINOR, ENDED)], self.flags())

    def test_several_stand_beside_each_other(self):
        for act, kind, states in (("restrict", RESTRICTED, (1, 2, 3)), ("suspend", SUSPENDED, (1, 2))):
            for state in states:
                for rank in ("admin", "officer"):
                    self.place.call(f"{rank}_{act}", head(kind, state=state))
        self.assertEqual(10, len(self.place.records()))
        self.place.call("officer_end", head(RESTRICTED, state=LEGAL))
        self.assertEqual([(OFFICER, 1, 0), (ADMIN, 1, 0), (OFFICER, 2, ENDED), (ADMIN, 2, 0), (OFFICER, 3, 0),
                          (ADMIN, 3, 0)], self.flags())
        self.assertEqual({"7:8:1": 2, "7:8:2": 1, "7:8:2:ended": 1, "7:8:3": 2, "7:9:1": 2, "7:9:2": 2},
                         self.place.counts())

    def test_an_ended_one_may_be_set_again(self):
        for _ in range(3):
            self.assertEqual("applied", self.place.call("admin_suspend", head(SUSPENDED))[0])
            self.assertEqual([(ADMIN, 1, 0)], self.flags(SUSPENDED))
            self.assertEqual("applied", self.place.call("admin_end", head(SUSPENDED))[0])
            self.assertEqual([(ADMIN, 1, ENDED)], self.flags(SUSPENDED))
        self.assertEqual({"7:9:1:ended": 1}, self.place.counts())

    def test_a_restriction_from_a_clock_ahead(self):
        """It ends all the same, and may be set anew although its end is dated ahead."""
        self.place.client("HSET", self.place.counters_key, "newest_grant", self.world.now_ms() + HOUR)
        _, _, dated = self.place.call("officer_restrict", head(RESTRICTED, state=LEGAL))
        self.assertGreater(dated, self.world.now_ms() + HOUR // 2)
        self.place.client("HDEL", self.place.counters_key, "newest_grant")
        self.assertEqual(["applied", dated + 1], self.place.call("officer_end", head(RESTRICTED, state=LEGAL))[::2])
        self.assertEqual([(OFFICER, LEGAL, ENDED)], self.flags())
        self.assertEqual(["applied", dated + 2], self.place.call("officer_restrict", head(RESTRICTED, state=LEGAL))[::2])
        self.assertEqual([(OFFICER, LEGAL, 0)], self.flags())

    def test_an_end_is_not_dated_ahead_but_by_a_replay(self):
        self.place.call("officer_restrict", head(RESTRICTED, state=LEGAL))
        ahead = self.world.now_ms() + HOUR
        self.refused("FUTURE", "officer_end", head(RESTRICTED, state=LEGAL, at=ahead))
        self.assertEqual(["applied", ahead],
                         self.place.call("officer_end", head(RESTRICTED, state=LEGAL, at=ahead), replay="-")[::2])

    def test_an_end_replayed_before_its_restriction(self):
        """A replay may bring them in any order; the newest stands."""
        at = self.world.now_ms() - HOUR
        self.place.call("admin_end", head(RESTRICTED, at=at + 5), replay="-")
        self.assertEqual("stale", self.place.call("admin_restrict", head(RESTRICTED, at=at), replay="-")[0])
        self.assertEqual([(ADMIN, 1, ENDED)], self.flags())
        self.assertEqual("applied", self.place.call("admin_restrict", head(RESTRICTED, at=at + 6), replay="-")[0])
        self.assertEqual([(ADMIN, 1, 0)], self.flags())

    def test_an_end_replayed_after_an_erasure_is_kept(self):
        """Erasure leaves restrictions, and so it leaves their ends."""
        at = self.world.now_ms() - HOUR
        self.place.call("officer_erase", head(ERASED))
        self.assertEqual("applied", self.place.call("admin_end", head(RESTRICTED, at=at + 5), replay="-")[0])
        self.assertEqual("stale", self.place.call("admin_restrict", head(RESTRICTED, at=at), replay="-")[0])
        self.assertEqual([(ADMIN, 1, ENDED)], self.flags())

    def test_on_the_same_date_the_restriction_wins(self):
        """LAW-3"""
        at = self.world.now_ms() - HOUR
        for order in (("restrict", "end"), ("end", "restrict")):
            place = Place(self.world)
            for act in order:
                place.call(f"admin_{act}", head(RESTRICTED, state=DECEASED, at=at), replay="-")
            self.assertEqual(0, place.record(RESTRICTED)["flags"])


class ConfirmTest(StoreCase):
    """LAW-10: only who has the mailed token confirms, and the token names one request."""

    def request(self, statement=3, **options):
        return self.place.call("sender_request", head(REQUEST, statement=statement, **options))[1]

    def test_a_confirmation_takes_the_place_of_its_request(self):
        ledger = self.request(statement=4)
        outcome, confirmed, dated = self.place.call("subject_confirm", head(GRANT, statement=9, source=2), related=ledger)
        self.assertEqual("applied", outcome)
        record, = self.place.records()
        self.assertEqual((GRANT, SUBJECT, 4, 0, dated, confirmed),
                         tuple(record[key] for key in ("kind", "rank", "statement", "expiry", "at", "ledger")))
        self.assertEqual({"7:1:1": 1}, self.place.counts())
        self.assertEqual(["0-0", "0-0"], [event["previous"] for _, event in self.place.events()])

    def test_it_needs_that_request(self):
        self.refused("REQUEST", "subject_confirm", head(GRANT), related="5-0")
        first = self.request()
        self.refused("REQUEST", "subject_confirm", head(GRANT, scope=8), related=first)
        self.refused("REQUEST", "subject_confirm", head(GRANT), related="0-0")
        self.refused("REQUEST", "subject_confirm", head(GRANT), related=())
        self.refused("REQUEST", "subject_confirm", head(GRANT), related=[1, 2, 3])
        second = self.request()
        self.refused("REQUEST", "subject_confirm", head(GRANT), related=first)
        self.assertEqual("applied", self.place.call("subject_confirm", head(GRANT), related=second)[0])
        self.refused("REQUEST", "subject_confirm", head(GRANT), related=second)

    def test_twice_is_as_once(self):
        ledger = self.request()
        first = self.place.call("subject_confirm", head(GRANT), event_id=b"confirm!", related=ledger)
        self.assertEqual(["duplicate", *first[1:]],
                         self.place.call("subject_confirm", head(GRANT), event_id=b"confirm!", related=ledger))
        self.assertEqual(2, len(self.place.events()))

    def test_a_request_lapses_after_30_days(self):
        now = self.world.now_ms()
        almost = self.request(scope=7, at=now - 30 * DAY_S * 1000 + 60_000)
        over = self.request(scope=8, at=now - 30 * DAY_S * 1000 - 60_000)
        self.assertEqual("applied", self.place.call("subject_confirm", head(GRANT), related=almost)[0])
        self.refused("LAPSED", "subject_confirm", head(GRANT, scope=8), related=over)
        # Dated when it was still open: what counts is when the subject acted.
        self.assertEqual("applied", self.place.call("subject_confirm", head(GRANT, scope=8, at=now - 120_000), related=over)[0])

    def test_the_last_second_of_a_request(self):
        at = (self.world.now_ms() // 1000 - 40 * DAY_S) * 1000
        end = at + 30 * DAY_S * 1000
        ledger = self.request(at=at)
        self.refused("LAPSED", "subject_confirm", head(GRANT, at=end + 1000), related=ledger)
        self.assertEqual("applied", self.place.call("subject_confirm", head(GRANT, at=end + 999), related=ledger)[0])

    def test_an_older_confirmation_than_the_standing_grant(self):
        ledger = self.request()
        self.place.call("admin_grant", head(GRANT, **PROOF), document=DOCUMENT)
        self.refused("REQUEST", "subject_confirm", head(GRANT, at=self.world.now_ms() - HOUR), related=ledger)
        self.assertIn((7, REQUEST), self.place.kinds())

    def test_other_requests_and_records_stay(self):
        self.request(scope=8)
        self.place.call("admin_withdraw", head(STOP, state=WITHDRAWN))
        self.place.call("subject_confirm", head(GRANT), related=self.request())
        self.assertEqual([(7, GRANT), (7, STOP), (8, REQUEST)], self.place.kinds())


class EraseTest(StoreCase):
    """Scopes here: sender 5 with the purposes 7 and 8, another sender 6 with 9."""

    def fill(self, **options):
        for scope, sender in ((7, 5), (8, 5), (9, 6)):
            self.place.call("admin_grant", head(GRANT, scope=scope, **PROOF, **options), document=DOCUMENT,
                            seal=seal_part(sender))
            self.place.call("admin_grant", head(SOFT_OPTIN, scope=scope, **options))
            self.place.call("admin_request", head(REQUEST, scope=scope, **options))
            self.place.call("admin_withdraw", head(STOP, scope=scope, state=WITHDRAWN, **options))
        self.place.call("system_bounce", head(BOUNCED, scope=0))
        self.place.call("officer_restrict", head(RESTRICTED, scope=5))
        self.place.call("officer_suspend", head(SUSPENDED, scope=7))

    def test_one_sender_with_its_purposes(self):
        self.fill()
        self.assertEqual("applied", self.place.call("officer_erase", head(ERASED, scope=5), related=[7, 8])[0])
        self.assertEqual([(0, BOUNCED), (5, RESTRICTED), (5, ERASED), (6, SEAL), (7, SUSPENDED), (9, GRANT),
                          (9, SOFT_OPTIN), (9, REQUEST), (9, STOP)], self.place.kinds())
        self.assertEqual({"0:7:1": 1, "5:8:1": 1, "5:10:1": 1, "7:9:1": 1, "9:1:1": 1, "9:3:1": 1, "9:5:1": 1,
                          f"9:6:{WITHDRAWN}": 1}, self.place.counts())

    def test_all(self):
        self.fill()
        self.place.call("admin_erase", head(ERASED, scope=0))
        self.assertEqual([(0, ERASED), (5, RESTRICTED), (7, SUSPENDED)], self.place.kinds())
        self.assertEqual({"0:10:1": 1, "5:8:1": 1, "7:9:1": 1}, self.place.counts())

    def test_where_nothing_stood_a_tombstone_stands(self):
        self.place.call("officer_erase", head(ERASED, scope=0))
        self.assertEqual([(0, ERASED)], self.place.kinds())

    def test_its_own_evidence_has_a_new_seal(self):
        self.fill()
        self.place.call("officer_erase", head(ERASED, scope=5), related=[7, 8], document=DOCUMENT,
                        seal=seal_part(5, b"y" * 16))
        self.assertEqual([(5, b"y" * 16), (6, seal_part()[4:])],
                         [(r["scope"], r["salt"]) for r in self.place.records() if r["kind"] == SEAL])

    def test_a_live_one_is_newer_than_all_it_takes(self):
        """LAW-3: a clock that was set back must leave nothing."""
        ahead = self.world.now_ms() + HOUR
        self.place.call("admin_withdraw", head(STOP, scope=7, state=WITHDRAWN, at=ahead), replay="-")
        _, _, dated = self.place.call("officer_erase", head(ERASED, scope=5), related=[7])
        self.assertGreaterEqual(dated, ahead)
        self.assertEqual([(5, ERASED)], self.place.kinds())
        self.assertEqual(["applied", dated + 1], self.place.call("officer_erase", head(ERASED, scope=5), related=[7])[::2])

    def test_what_is_newer_than_a_dated_one_stays(self):
        at = self.world.now_ms() - HOUR
        self.place.call("admin_grant", head(ASSERTED, at=at))
        self.place.call("admin_grant", head(SOFT_OPTIN, at=at + 6))
        self.place.call("officer_erase", head(ERASED, scope=5, at=at + 5), related=[7])
        self.assertEqual([(5, ERASED), (7, SOFT_OPTIN)], self.place.kinds())

    def test_a_late_grant_from_before_comes_too_late(self):
        at = self.world.now_ms() - HOUR
        for tomb, related in ((7, ()), (5, [5]), (0, ())):
            place = Place(self.world)
            place.call("officer_erase", head(ERASED, scope=tomb, at=at), related=[7])
            stands = place.records()
            for name, kind in (("grant", ASSERTED), ("request", REQUEST)):
                for offset, outcome in ((-5, "stale"), (0, "stale"), (1, "applied")):
                    self.assertEqual(outcome, place.call(f"admin_{name}", head(kind, at=at + offset), document=DOCUMENT,
                                                         related=related)[0], (tomb, name, offset))
                    if outcome == "stale":
                        self.assertEqual(stands, place.records())
                stands = place.records()
            self.assertEqual([STALE, STALE], [e["outcome"] for _, e in place.events() if e["kind"] == REQUEST][:2])
            self.assertEqual({"0-0"}, {e["previous"] for _, e in place.events()})

    def test_an_erasure_of_another_scope_bars_nothing(self):
        at = self.world.now_ms() - HOUR
        self.place.call("officer_erase", head(ERASED, scope=8, at=at), related=[])
        self.assertEqual("applied", self.place.call("admin_grant", head(ASSERTED, at=at - 5), related=[5])[0])

    def test_the_subject_confirms_anew(self):
        self.fill()
        _, _, dated = self.place.call("officer_erase", head(ERASED, scope=0))
        wait_for(lambda: self.world.now_ms() > dated, "the next millisecond")
        _, ledger, _ = self.place.call("admin_request", head(REQUEST), related=[5])
        self.place.call("subject_confirm", head(GRANT), related=ledger)
        self.assertIn((7, GRANT), self.place.kinds())

    def test_a_repetition_takes_nothing_more(self):
        first = self.place.call("officer_erase", head(ERASED, scope=5), related=[7], event_id=b"erasure!")
        wait_for(lambda: self.world.now_ms() > first[2], "the next millisecond")
        self.place.call("admin_grant", head(ASSERTED), related=[5])
        before = self.place.records()
        for replay in ("", "-", first[1], "5-5"):
            self.assertEqual(["duplicate", *first[1:]],
                             self.place.call("officer_erase", head(ERASED, scope=5), related=[7], event_id=b"erasure!",
                                             replay=replay))
        self.assertEqual(before, self.place.records())

    def test_an_older_one_than_the_standing_tombstone_is_stale(self):
        at = self.world.now_ms() - HOUR
        self.place.call("officer_erase", head(ERASED, scope=5, at=at + 9), related=[7])
        self.place.call("admin_grant", head(ASSERTED, at=at + 10), document=DOCUMENT)
        before = [(r["scope"], r["kind"]) for r in self.place.records()]
        self.assertEqual("stale", self.place.call("officer_erase", head(ERASED, scope=5, at=at), related=[7])[0])
        self.assertEqual(before, self.place.kinds())


class DateTest(StoreCase):
    """LAW-3: a live stop is newer than what it covers, whatever the clock does."""

    def test_on_the_same_date_what_permits_less_wins(self):
        """In either order; each row is one tie: what gives way, and what stands."""
        base = {"kind": GRANT, "source": STAFF, "statement": 3, "at": self.world.now_ms() - HOUR, "expiry": 1_900_000_000}
        for change, standing in (({"flags": BY_GUARDIAN}, {}), ({"statement": 4}, {}), ({"expiry": 0}, {}),
                                 ({"expiry": 1_900_000_001}, {}), ({}, {"source": STAFF + 1}),
                                 ({"flags": BY_GUARDIAN, "statement": 2}, {"statement": 3}),
                                 ({"statement": 4, "expiry": 1}, {"statement": 3, "expiry": 0})):
            for order in ((change, standing), (standing, change)):
                place = Place(self.world)
                for row in order:
                    place.call("admin_grant", head(**base | row), document=DOCUMENT)
                record = place.record(GRANT)
                want = {"flags": 0} | base | standing
                self.assertEqual({"flags": want["flags"] | HAS_EVIDENCE, "statement": want["statement"],
                                  "expiry": want["expiry"], "source": want["source"]},
                                 {key: record[key] for key in ("flags", "statement", "expiry", "source")}, (order, change))

    def test_every_live_stop_is_dated_after_the_newest_grant(self):
        for name, kind in (("subject_withdraw", STOP), ("admin_restrict", RESTRICTED), ("officer_suspend", SUSPENDED),
                           ("system_bounce", BOUNCED), ("officer_erase", ERASED)):
            place = Place(self.world)
            ahead = self.world.now_ms() + HOUR
            place.client("HSET", place.counters_key, "newest_grant", ahead)
            self.assertEqual(["applied", ahead + 1], place.call(name, head(kind))[::2])
            self.assertEqual(["applied", ahead + 1], Place.call(Place(self.world, place.partition), name,
                                                                head(kind, at=ahead + HOUR))[::2])
            past = self.world.now_ms() - HOUR
            self.assertEqual(["applied", past], Place.call(Place(self.world, place.partition), name,
                                                           head(kind, at=past))[::2])

    def test_requests_count_as_grants(self):
        _, _, dated = self.place.call("admin_request", head(REQUEST))
        self.assertEqual(str(dated), self.place.counter("newest_grant"))

    def test_a_replayed_stop_keeps_its_date(self):
        for offset in (-HOUR, HOUR):
            at = self.world.now_ms() + offset
            for replay in ("-", "5-0"):
                place = Place(self.world)
                self.assertEqual(["applied", at], place.call("subject_withdraw", head(STOP, at=at), replay=replay)[::2])


class UseTest(StoreCase):
    def month(self):
        return self.place.client("HGET", self.place.records_key, self.place.field)[27]

    def test_the_month_of_use_only_rises(self):
        self.place.call("admin_grant", head(GRANT, **PROOF), document=DOCUMENT)
        events = self.place.events()
        grant = self.place.record(GRANT)
        for month, known in ((60, 60), (59, 60), (61, 61), (0, 61)):
            self.assertEqual(b"OK", self.place.use(month))
            value = self.place.client("HGET", self.place.records_key, self.place.field)
            self.assertIn(known, [value[at + 27] for at in range(0, len(value), 28)])
        self.assertEqual((grant, events), (self.place.record(GRANT), self.place.events()))

    def test_a_newer_grant_keeps_it(self):
        self.place.call("admin_grant", head(GRANT, **PROOF), document=DOCUMENT)
        self.place.use(60)
        self.place.call("admin_grant", head(GRANT, **PROOF), document=DOCUMENT)
        value = self.place.client("HGET", self.place.records_key, self.place.field)
        self.assertIn(60, [value[at + 27] for at in range(0, len(value), 28)])

    def test_only_express_consent_has_one(self):
        self.assertEqual(b"OK", self.place.use(60))
        self.assertEqual([], self.place.records())
        self.place.call("admin_grant", head(ASSERTED))
        self.place.use(60)
        self.assertEqual(0, self.month())

    def test_another_store_is_refused(self):
        self.place.client("DEL", self.place.facts_key)
        self.assertTrue(self.world.error_of(self.place.use, 60).startswith("FOREIGN "))


class DamageTest(StoreCase):
    """What is damaged is left as it is, for a person to look at."""

    def test_values_of_another_length(self):
        for length in (1, 27, 29, 57):
            self.place.client("HSET", self.place.records_key, self.place.field, b"x" * length)
            for name, kind in (("admin_withdraw", STOP), ("admin_grant", ASSERTED), ("admin_erase", ERASED)):
                self.refused("MALFORMED", name, head(kind))

    def test_keys_of_another_type(self):
        """Whatever Redis says, the records stay as they were."""
        for key in (self.place.records_key, self.place.ledger_key, self.place.counters_key, self.place.facts_key):
            place = Place(self.world)
            wrong = key.replace(f"{{p{self.place.partition:03x}}}", f"{{p{place.partition:03x}}}")
            place.client("DEL", wrong)
            place.client("SET", wrong, "x")
            text = self.world.error_of(place.call, "admin_withdraw", head(STOP))
            self.assertTrue(text.startswith("WRONGTYPE "), text)
            if wrong != place.records_key:
                self.assertEqual([], place.records())


if __name__ == "__main__":
    harness.main()
