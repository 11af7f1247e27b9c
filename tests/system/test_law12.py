"""LAW-12 against a real Redis that is wiped, rolled back, replaced, frozen, cut off, or has its clock set.

The traces are those of the model of failover and rollback; those that need several servers stand in
test_law12_failover.py. Without CM_LONG=1 the keeper dies less often, and some traces that other
tests walk too are left out.
"""

import os
import random
import shutil
import threading
import time
import unittest

import harness
from law12_world import IS_LONG, LawCase, LawWorld
from rig.milter import program
from rig.proc import wait_for
from rig.redis import Redis
from rig.redis_proxy import close_at_once, forward, hang
from store_world import StoreWorld

KILLS = 40 if IS_LONG else 5


def stall_after(count):
    """Serves so many commands of all connections together, then takes them and says nothing."""
    left = [count]

    def mode(link, command):
        left[0] -= 1
        return forward(link, command) if left[0] >= 0 else hang(link, command)

    return mode


class HistoryTest(LawCase):
    """The store forgets."""

    def test_wiped_between_two_checks(self):
        self.withdraw()
        saved = self.world.redis.snapshot()
        self.world.redis.command("FLUSHALL")
        self.assert_deferred(self.world.rcpt(self.stays))
        self.assert_deferred(self.world.rcpt(self.leaves))
        self.world.redis.restore(saved)
        self.assert_law_holds()

    def test_restarted_from_an_older_append_only_file(self):
        redis = self.world.redis
        live = os.path.join(redis.directory, "appendonlydir")
        shutil.copytree(live, live + ".old")
        self.withdraw()
        redis.stop()
        shutil.rmtree(live)
        os.rename(live + ".old", live)
        redis.start()
        self.assert_deferred(self.world.rcpt(self.stays))
        self.assert_law_holds()

    @unittest.skipUnless(IS_LONG, "CM_LONG=1")
    def test_foreign_store_behind_the_same_url(self):
        self.withdraw()
        other = StoreWorld().start().prepare()
        self.addCleanup(other.stop)
        self.world.point_at(other.redis)
        self.assert_unknown()
        self.world.keeper.wait_state("foreign_store")
        self.assert_unknown()
        self.world.point_at(self.world.redis)
        self.assert_law_holds()

    def load_by_hand(self, load):
        """The store id, the run id and even the beat are right: only the keeper knows better."""
        old = self.world.redis.snapshot()
        self.withdraw()
        mark = self.world.keeper.mark()
        self.excuse()
        load(old)
        self.world.keeper.wait_log("state=replaying", mark, 6)
        self.assert_law_holds()
        late = [at - self.excused[0] for at, code in self.watch.answers if code == 250 and at > self.excused[0]]
        print(f"\n  old data by hand: accepted for {max(late, default=0):.1f} s")
        return self.world.keeper.log()[mark:]

    @unittest.skipUnless(IS_LONG, "CM_LONG=1")
    def test_old_data_loaded_by_hand_into_the_running_server(self):
        self.load_by_hand(self.world.redis.restore)

    def test_old_data_loaded_by_hand_in_one_step(self):
        def load(old):
            with self.world.redis.client() as client:
                client("MULTI")
                client("FLUSHALL")
                for key, value in old.items():
                    client("RESTORE", key, 0, value, "REPLACE")
                client("EXEC")

        self.assertIn("has lost what was written", self.load_by_hand(load))


class CutTest(LawCase):
    """The lines break, or one of them, or the server hangs."""

    def test_frozen_server(self):
        # A beat that arrives late must not revive the trust in a store that lacks the withdrawal.
        self.world.redis.freeze()
        self.addCleanup(self.world.redis.thaw)
        frozen_at = time.monotonic()
        status, effect = self.take()
        self.assertEqual(("received", False), (status, effect))
        self.assertEqual(("received", True), self.take(wait_ms=9000))
        self.assert_deferred(self.world.rcpt(self.stays))
        time.sleep(max(0.0, frozen_at + 6 - time.monotonic()))
        self.world.redis.thaw()
        self.assert_law_holds()

    def test_keeper_cut_off_while_the_filter_is_not(self):
        self.world.keeper_line.set_mode(hang, drop=True)
        cut_at = time.monotonic()
        self.assertEqual(("received", False), self.take())
        self.assertEqual(("received", True), self.take(wait_ms=9000))
        self.assertGreater(self.effect_at - cut_at, 3.0)
        self.assertLess(self.effect_at - cut_at, 8.0)
        self.assert_unknown()
        self.world.keeper_line.set_mode(forward, drop=True)
        self.assert_law_holds()

    def test_keeper_restarted_with_entries_in_flight(self):
        self.world.keeper_line.set_mode(close_at_once, drop=True)
        self.assertEqual(("received", False), self.take())
        self.assertEqual(("received", True), self.take(wait_ms=9000))
        self.world.keeper.kill()
        self.assert_unknown()
        self.world.keeper_line.set_mode(forward, drop=True)
        mark = self.world.keeper.mark()
        self.world.keeper.start_beating()
        log = self.world.keeper.log()[mark:]
        self.assertLess(log.index("state=replaying"), log.index("state=beating"))
        self.assert_law_holds()

    @unittest.skipUnless(IS_LONG, "CM_LONG=1")
    def test_journal_lost_while_the_store_keeps_its_mark(self):
        self.withdraw()
        time.sleep(1.2)  # a beat tells the store how far the journal goes
        keeper, journal = self.world.keeper, os.path.join(self.world.config["state"], "journal")
        keeper.kill()
        shutil.rmtree(journal)
        mark = keeper.mark()
        keeper.start()
        keeper.wait_state("journal_lost")
        keeper.wait_log("consentctl store accept", mark)
        self.assert_unknown()
        time.sleep(5.0)  # as long as a keeper may wait before its first beat, and then it would be one
        self.assert_unknown()
        self.world.ctl.run("store", "accept", "mx1", "--readmit", "--reason", "disk failed")
        self.assert_law_holds()


class KillTest(LawCase):
    """The keeper is killed between any two of its steps."""

    def test_killed_after_any_command(self):
        seed = int(os.environ.get("CM_SEED", random.randrange(1 << 32)))
        random_ = random.Random(seed)
        keeper, line = self.world.keeper, self.world.keeper_line
        told = []

        def tell():
            try:
                told.append(self.take())
            except (OSError, ValueError):
                pass  # killed before it answered

        with self.subTest(seed=seed):
            for number in range(KILLS):
                line.set_mode(stall_after(number if number < 20 else random_.randrange(20)), drop=True)
                teller = threading.Thread(target=tell)
                teller.start()
                time.sleep(random_.uniform(0.0, 1.5))
                keeper.kill()
                teller.join()
                line.set_mode(forward if random_.random() < 0.5 else stall_after(random_.randrange(8)), drop=True)
                keeper.start()
            line.set_mode(forward, drop=True)
            self.assertEqual(True, self.take(wait_ms=9000)[1])
            time.sleep(0.5)  # somebody asks meanwhile
            print(f"\n  killed {KILLS} times, seed {seed}: answered {len(told)} times")
            self.assert_law_holds()


class ClockTest(LawCase):
    """Somebody sets the clock of the server."""

    @classmethod
    def make_world(cls):
        def clock(directory):
            cls.clock_file = os.path.join(directory, "clock")
            return {"LD_PRELOAD": program(harness.OPTIONS.build, "libclock_shim.so"), "CLOCK_SHIM": cls.clock_file}

        return LawWorld(clock=clock)

    def setUp(self):
        self.set_clock(0)
        super().setUp()
        self.addCleanup(self.set_clock, 0)

    def set_clock(self, offset_ms):
        with open(self.clock_file + ".new", "w", encoding="ascii") as stream:
            stream.write(str(offset_ms))
        os.rename(self.clock_file + ".new", self.clock_file)

    def test_clock_goes(self):
        before = self.world.place(self.leaves).world.raw("TIME")
        self.set_clock(-3600000)
        self.assertLess(int(self.world.raw("TIME")[0]), int(before[0]) - 3000)

    @unittest.skipUnless(IS_LONG, "CM_LONG=1")
    def test_set_forward_while_the_keeper_lives(self):
        self.withdraw()
        self.set_clock(3600000)
        self.assert_law_holds(10)

    def test_set_back_and_withdrawn_afterwards(self):
        # LAW-3: the withdrawal is dated after the consent, whatever the clock says.
        self.set_clock(-3600000)
        self.world.keeper.wait_state("beating")
        wait_for(lambda: self.take(wait_ms=9000)[1], "in effect", 20)
        self.world.until_rcpt(550, self.leaves)
        self.set_clock(0)
        self.assert_law_holds(10)

    def test_set_back_while_the_keeper_is_cut_off(self):
        # Its last beat is younger than it looks: ahead of the clock it counts for nothing.
        self.world.keeper_line.set_mode(close_at_once, drop=True)
        self.set_clock(-60000)
        self.assertEqual(True, self.take(wait_ms=9000)[1])
        self.assert_deferred(self.world.rcpt(self.stays))
        self.set_clock(0)
        self.assert_deferred(self.world.rcpt(self.stays))
        self.world.keeper_line.set_mode(forward, drop=True)
        self.assert_law_holds()


if __name__ == "__main__":
    harness.main()
