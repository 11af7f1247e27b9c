"""consent-keeper and a store that is away, restarts, rolls back, or loses answers; and a keeper that is killed (LAW-11, LAW-12)."""

import os
import random
import threading
import time

import harness
from keeper_world import KeeperCase, stop_of
from rig.keeper import KeeperClient
from rig.proc import wait_for
from rig.redis_proxy import close_at_once, close_in_mid_reply, forward, hang, slow
from store_world import ASSERTED, STAFF, Place, head, unpack_event

ROUNDS = 30
SEED = 20


class StoreAwayTest(KeeperCase):
    options = {"proxied": True}

    def setUp(self):
        super().setUp()
        self.keeper.start_beating()

    def away(self, mode=close_at_once):
        self.world.proxy.set_mode(mode, drop=True)

    def test_received_then_in_effect(self):
        # LAW-12: with the journal alone, 5 s after the last beat.
        place, event = self.world.place(), os.urandom(8)
        self.away()
        self.assertEqual(("received", False), self.take(stop_of(place, event=event)))
        begun = time.monotonic()
        self.assertEqual(("received", True), self.take(stop_of(place, event=event, wait_ms=8000)))
        self.assertGreater(time.monotonic() - begun, 3.0)
        self.assertLess(time.monotonic() - begun, 7.0)
        self.assertEqual("cut_off", self.keeper.status()["state"])
        self.away(forward)
        self.keeper.wait_state("beating")
        self.assertEqual(1, len(self.world.events_of(place, event)))
        self.assertEqual(("duplicate", True), self.take(stop_of(place, event=event)))

    def take(self, request):
        answer = self.keeper.ask(request)
        return answer["status"], answer["effect"]

    def test_only_what_forbids_is_taken_meanwhile(self):
        self.away()
        place = self.world.place()
        self.take(stop_of(place))  # so that the keeper knows
        grant = stop_of(place, 7, act="grant", kind="asserted", state=1, document="{}")
        self.assertEqual(("not_done", False), self.take(grant))
        self.away(forward)
        self.keeper.wait_state("beating")
        self.assertEqual(("applied", True), self.take(grant))

    def test_lost_answers_are_no_second_events(self):
        # LAW-11: what may have been written is tried again with the same event id.
        acts = [(self.world.place(), os.urandom(8)) for _ in range(6)]
        for mode, (place, event) in zip((close_in_mid_reply, slow(1.5), hang) * 2, acts):
            self.away(mode)
            self.assertIn(self.keeper.ask(stop_of(place, event=event))["status"], ("received", "applied"))
            self.away(forward)
            self.keeper.wait_state("beating")
            self.assertEqual(1, len(self.world.events_of(place, event)))

    def test_date_is_that_of_the_telling(self):
        # LAW-3: a later grant of the subject is not undone by an older withdrawal that arrives after it.
        place, event = self.world.place(), os.urandom(8)
        self.away()
        told = self.world.now_ms()
        self.take(stop_of(place, event=event))
        time.sleep(1.0)
        self.away(forward)
        self.keeper.wait_state("beating")
        at = self.world.events_of(place, event)[0]["at"]
        self.assertLess(abs(at - told), 500)

    def test_evidence_of_both_sides_of_an_outage(self):
        # The seal made without the store is not the one that stands by then: the document is sealed anew.
        place = self.world.place()
        self.away()
        self.take(stop_of(place, 0, document='{"told":"away"}'))
        direct = seal_directly(place)
        self.away(forward)
        self.keeper.wait_state("beating")
        seals = [r["salt"] for r in place.records() if r["kind"] == 11]
        self.assertEqual([direct], seals)
        self.assertEqual(2, len(place.events()))

    def test_stop_while_cut_off_does_not_sign_off(self):
        self.away()
        self.take(stop_of(self.world.place()))
        self.assertEqual(0, self.keeper.stop())
        self.assertIn("without signing off", self.keeper.log())


def seal_directly(place):
    """A grant with evidence by somebody else; returns the salt that stands then."""
    salt = os.urandom(16)
    place.call("admin_grant", head(ASSERTED, scope=7, source=STAFF), document=b"sealed by others" * 4, seal=b"\0\0\0\0" + salt)
    return salt


class IncarnationTest(KeeperCase):
    def setUp(self):
        super().setUp()
        self.keeper.start_beating()

    def test_rolled_back_store_gets_everything_again(self):
        # LAW-12: a restored backup lacks the withdrawal; nobody beats for it before it is there again.
        place, event = self.world.place(), os.urandom(8)
        self.keeper.ask(stop_of(place, event=event, wait_ms=6000))
        self.world.raw("DEL", *place.keys[:3])  # as before the act
        self.keeper.wait_log("has lost what was written")
        wait_for(lambda: len(self.world.events_of(place, event)) == 1, "the act is replayed")
        self.keeper.wait_state("beating")

    def test_wiped_store_is_another_store(self):
        before = self.world.redis.snapshot()
        place, event = self.world.place(), os.urandom(8)
        self.keeper.ask(stop_of(place, event=event))
        self.world.raw("FLUSHALL")
        self.keeper.wait_state("foreign_store")
        self.assertEqual("received", self.keeper.ask(stop_of(self.world.place(), wait_ms=100))["status"])
        self.world.redis.restore(before)
        self.keeper.wait_state("beating")
        self.assertEqual(1, len(self.world.events_of(place, event)))

    def test_new_run_of_the_server_is_replayed_before_a_beat(self):
        place, event = self.world.place(), os.urandom(8)
        first = self.keeper.ask(stop_of(place, event=event))
        run = self.keeper.status()["run_id"]
        self.world.redis.stop()
        self.keeper.wait_state("cut_off")
        self.world.redis.start()
        self.keeper.wait_state("beating")
        self.assertNotEqual(run, self.keeper.status()["run_id"])
        self.world.raw.close()
        self.world.raw = place.client = self.world.redis.client()
        self.assertEqual([first["ledger"]], [at for at, _ in place.events()])

    def test_lost_journal_is_an_alarm(self):
        self.keeper.ask(stop_of(self.world.place()))
        time.sleep(1.2)  # a beat tells the store how far the journal goes
        self.keeper.kill()
        journal = os.path.join(self.world.settings["state"], "journal")
        os.rename(journal, journal + ".lost")
        self.keeper.start()
        self.keeper.wait_state("journal_lost")
        self.assertIn("consentctl store accept", self.keeper.log())
        place = self.world.place()
        self.assertEqual("applied", self.keeper.ask(stop_of(place))["status"])  # taken and written all the same
        for _ in range(8):
            self.keeper.ask(stop_of(place))  # numbers beyond those that the store knows change nothing
        self.keeper.stop()
        self.keeper.start()
        self.keeper.wait_state("journal_lost")
        ctl = harness.Ctl(harness.OPTIONS.build, self.world.config)
        ctl.run("store", "accept", "mx1", "--readmit", "--reason", "disk failed")
        self.keeper.wait_state("beating")

    def test_retired_keeper_promises_nothing(self):
        ctl = harness.Ctl(harness.OPTIONS.build, self.world.config)
        ctl.run("store", "accept", "mx1", "--retire", "--reason", "host gone")
        self.keeper.wait_state("retired")
        answer = self.keeper.ask(stop_of(self.world.place(), wait_ms=100))
        self.assertEqual(("applied", False), (answer["status"], answer["effect"]))

    def test_replay_on_demand(self):
        place, event = self.world.place(), os.urandom(8)
        self.keeper.ask(stop_of(place, event=event))
        ctl = harness.Ctl(harness.OPTIONS.build, self.world.config)
        self.assertEqual(1, ctl.json("keeper", "replay")["acts"])
        self.keeper.wait_state("beating")
        self.assertEqual(1, len(self.world.events_of(place, event)))
        self.assertIn("keeper mx1: beating", ctl.run("keeper", "status").stdout)


class KillTest(KeeperCase):
    """kill -9 at any time, with a store that fails as well: nothing acknowledged is lost, nothing is doubled."""

    options = {"proxied": True}

    def caller(self, random_, done, acked, asked):
        while not done.is_set():
            place = Place(self.world, partition=random_.randrange(16), bucket=random_.randrange(16))
            event = os.urandom(8)
            try:
                with KeeperClient(self.keeper.socket_path, 5.0) as client:
                    asked[event] = place
                    if client(stop_of(place, event=event))["status"] in ("applied", "received"):
                        acked.add(event)
            except (OSError, ValueError):
                time.sleep(0.01)

    def test_killed_at_any_time(self):
        random_ = random.Random(SEED)
        done, acked, asked = threading.Event(), set(), {}
        callers = [threading.Thread(target=self.caller, args=(random.Random(i), done, acked, asked))
                   for i in range(4)]
        for caller in callers:
            caller.start()
        try:
            for _ in range(ROUNDS):
                mode = random_.choice((forward, forward, close_at_once, close_in_mid_reply, slow(0.1)))
                self.world.proxy.set_mode(mode, drop=True)
                self.keeper.start(wait=False)
                time.sleep(random_.uniform(0.05, 0.7))
                self.keeper.kill()
            self.world.proxy.set_mode(forward, drop=True)
        finally:
            done.set()
            for caller in callers:
                caller.join()
        self.keeper.start()
        wait_for(lambda: self.keeper.status()["pending"] == 0 and self.keeper.status()["state"] == "beating",
                 "everything is written", 30)
        found = {}
        for partition in range(16):
            for entry in self.world.raw("XRANGE", f"l:{{p{partition:03x}}}", "-", "+"):
                event = unpack_event(entry[1][1])["id"]
                found[event] = found.get(event, 0) + 1
        self.assertGreater(len(acked), ROUNDS)
        self.assertEqual(set(), acked - set(found), "acknowledged and lost")
        self.assertEqual(set(), set(found) - set(asked), "written and never asked for")
        self.assertEqual([], [event for event, times in found.items() if times != 1], "doubled")


if __name__ == "__main__":
    harness.main()
