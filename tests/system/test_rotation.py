"""Rotation of peppers and seal masters: everything recorded before keeps its effect, wherever it stands."""

import hashlib
import hmac
import json
import os
import random
import signal
import subprocess
import threading
import time

import harness
from harness import NEWS_PURPOSE, World, WorldCase
from store_world import FORWARD, GRANT, STOP, WITHDRAWN, Place, StoreCase, StoreWorld, head


def place_under(world, pepper, address):
    """Where the records of a plain address stand under this pepper."""
    digest = hmac.new(world.key_file(f"pepper.{pepper}"), b"v1\0" + address.encode(), hashlib.sha256).digest()
    return Place(world, int.from_bytes(digest[:2], "big") & 0x3ff, digest[4:12],
                 int.from_bytes(digest[2:4], "big") & 0x3ff)


class RotationTest(StoreCase):
    def setUp(self):
        self.world = StoreWorld().start().prepare()
        self.addCleanup(self.world.stop)

    @classmethod
    def setUpClass(cls):
        cls.world = None

    @classmethod
    def tearDownClass(cls):
        pass

    def rotate(self, kind="pepper", *options, ok=(0,)):
        wait = ("--wait", "0") if kind == "pepper" else ()
        return self.world.ctl.run("keys", "rotate", kind, *wait, *options, ok=ok)

    def peppers(self):
        return self.world.raw("HGET", "m:{p000}", "peppers").decode().split(" ")

    def is_permitted(self, address):
        return self.world.ctl.run("check", address, NEWS_PURPOSE, ok=(0, 1)).returncode == 0

    def test_all_that_was_recorded_keeps_its_effect_and_moves_when_touched(self):
        world = self.world
        for name in ("granted", "stopped", "minor", "later"):
            world.grant(f"{name}@rotation.test")
        world.ctl.run("withdraw", "stopped@rotation.test", NEWS_PURPOSE)
        world.ctl.run("restrict", "minor@rotation.test", "all", "--reason", "legal")
        self.rotate()
        for name, permitted in (("granted", True), ("stopped", False), ("minor", False), ("later", True)):
            self.assertEqual(permitted, self.is_permitted(f"{name}@rotation.test"), name)

        old, new = place_under(world, 1, "later@rotation.test"), place_under(world, 2, "later@rotation.test")
        self.assertEqual([], new.records())
        world.ctl.run("withdraw", "later@rotation.test", NEWS_PURPOSE, "--evidence", '{"said":"no more"}')
        self.assertEqual([FORWARD], [record["kind"] for record in old.records()])
        self.assertIn(GRANT, [record["kind"] for record in new.records()])
        self.assertFalse(self.is_permitted("later@rotation.test"))
        history = [json.loads(line) for line in
                   world.ctl.run("history", "later@rotation.test", "--json").stdout.splitlines()]
        self.assertEqual(["grant", "forward", "forward", "withdraw"], [row["act"] for row in history])
        self.assertFalse(any(row["evidence_lost"] for row in history), history)
        self.assertTrue(all(row["evidence"] for row in history if row["act"] in ("grant", "withdraw")), history)
        world.ctl.run("restrict", "minor@rotation.test", "all", "--reason", "legal", "--end")
        self.assertTrue(self.is_permitted("minor@rotation.test"))
        world.ctl.run("erase", "granted@rotation.test", "all")
        self.assertEqual([FORWARD], [r["kind"] for r in place_under(world, 1, "granted@rotation.test").records()])
        world.ctl.run("ledger", "verify")

    def test_a_stop_by_an_old_hand_counts_until_its_place_is_closed(self):
        world = self.world
        world.grant("hand@rotation.test")
        self.rotate()
        scope = place_under(world, 1, "hand@rotation.test").kinds()[0][0]
        old = place_under(world, 1, "hand@rotation.test")
        old.call("subject_withdraw", head(STOP, scope=scope, state=WITHDRAWN))
        self.assertFalse(self.is_permitted("hand@rotation.test"))
        world.ctl.run("withdraw", "hand@rotation.test", NEWS_PURPOSE)
        text = world.error_of(old.call, "subject_withdraw", head(STOP, scope=scope, state=WITHDRAWN))
        self.assertTrue(text.startswith("FORWARDED "), text)

    def test_three_are_read_and_a_fourth_needs_a_decision(self):
        world = self.world
        world.grant("first@rotation.test")
        for number in (2, 3):
            self.rotate()
            self.assertTrue(self.is_permitted("first@rotation.test"))
            world.grant(f"under{number}@rotation.test")
        refused = self.rotate(ok=(69,))
        self.assertIn("--drop-oldest", refused.stderr)
        world.ctl.run("withdraw", "under2@rotation.test", NEWS_PURPOSE)
        self.rotate("pepper", "--drop-oldest")
        self.assertFalse(self.is_permitted("first@rotation.test"))
        self.assertFalse(self.is_permitted("under2@rotation.test"))
        self.assertTrue(self.is_permitted("under3@rotation.test"))
        self.assertTrue(os.path.exists(f"{world.keys}/pepper.1.dropped"))
        shown = [json.loads(line) for line in world.ctl.run("keys", "show", "--json").stdout.splitlines()]
        self.assertEqual([(2, "still read"), (3, "still read"), (4, "current")],
                         [(row["id"], row["state"]) for row in shown if row["key"] == "pepper"])
        world.ctl.run("ledger", "verify")

    def test_a_rotation_that_was_killed_goes_on(self):
        world = self.world
        world.grant("killed@rotation.test")
        seed = random.randrange(1 << 30)
        print(f"seed {seed}", flush=True)
        chance = random.Random(seed)
        for _ in range(12):
            process = subprocess.Popen([world.ctl.path, "-c", world.ctl.config, "keys", "rotate", "pepper", "--wait", "0"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, 0.08))  # the moment is the point
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.assertTrue(self.is_permitted("killed@rotation.test"), f"seed {seed}")
            if self.peppers()[-1].startswith("2:") and not self.peppers()[-1].endswith("+"):
                break
        else:
            self.rotate()
        self.assertEqual(2, len(self.peppers()))
        self.assertTrue(self.is_permitted("killed@rotation.test"), f"seed {seed}")
        texts = {world.raw("HGET", f"m:{{p{p:03x}}}", "peppers") for p in (0, 1, 512, 1023)}
        self.assertEqual(1, len(texts))

    def test_a_pepper_that_cannot_be_read_is_named(self):
        world = self.world
        world.grant("named@rotation.test")
        self.rotate()
        os.rename(f"{world.keys}/pepper.2", f"{world.keys}/away")
        unknown = world.ctl.run("check", "named@rotation.test", NEWS_PURPOSE, ok=(75,))
        self.assertIn("pepper.2", unknown.stderr)

    def test_evidence_opens_under_the_master_it_was_sealed_with(self):
        world = self.world
        world.grant("sealed@rotation.test")
        self.rotate("seal")
        world.ctl.run("withdraw", "sealed@rotation.test", NEWS_PURPOSE, "--evidence", '{"said":"no"}')
        history = [json.loads(line) for line in
                   world.ctl.run("history", "sealed@rotation.test", "--json").stdout.splitlines()]
        self.assertEqual([False, False], [row["evidence_lost"] for row in history])
        os.unlink(f"{world.keys}/seal.2")
        history = [json.loads(line) for line in
                   world.ctl.run("history", "sealed@rotation.test", "--json").stdout.splitlines()]
        self.assertEqual([False, True], [row["evidence_lost"] for row in history])


class LoadTest(WorldCase):
    """Mail goes on while peppers are rotated: no wrong answer, and as few deferrals as can be."""

    ASKING = 6
    WITHDRAWN = 16

    @classmethod
    def make_world(cls):
        return World()

    def ask(self, person, stop, answers):
        while not stop.is_set():
            with self.world.session() as smtp:
                smtp.mail(harness.NEWS)
                for _ in range(20):
                    answers.append(smtp.rcpt(person).code)

    def withdraw(self, persons, answers):
        for person in persons:
            self.world.ctl.run("withdraw", person, NEWS_PURPOSE)
            answers.append(self.world.rcpt(person).code)

    def test_a_rotation_under_load(self):
        granted = [f"g{i}@rotation.test" for i in range(self.ASKING)]
        leaving = [f"w{i}@rotation.test" for i in range(self.WITHDRAWN)]
        for person in granted + leaving:
            self.world.grant(person)
        stop = threading.Event()
        asked, refused = [], []
        threads = [threading.Thread(target=self.ask, args=(person, stop, asked)) for person in granted]
        threads += [threading.Thread(target=self.withdraw, args=(leaving[i::2], refused)) for i in range(2)]
        for thread in threads:
            thread.start()
        try:
            for wait in ("1", "0"):  # also without the time to hear of it
                self.world.ctl.run("keys", "rotate", "pepper", "--wait", wait)
        finally:
            for thread in threads[self.ASKING:]:
                thread.join()
            stop.set()
            for thread in threads:
                thread.join()
        print(f"{len(asked)} answers for those who consent, {asked.count(451)} of them 451; "
              f"{len(refused)} for those who withdrew, {refused.count(451)} of them 451", flush=True)
        self.assertEqual(self.WITHDRAWN, len(refused))
        self.assertEqual(set(), set(refused) - {550, 451})
        self.assertEqual(set(), set(asked) - {250, 451})
        self.assertGreater(len(asked), 100)
        self.assertLessEqual(asked.count(451) + refused.count(451), 8, "one a connection at most")


if __name__ == "__main__":
    harness.main()
