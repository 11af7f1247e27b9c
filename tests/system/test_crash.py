"""kill -9 of Redis and of whoever writes, in the midst of withdrawals and consents (LAW-11).

Each act that was acknowledged stands in the ledger exactly once, each whose result was not known at most once, and
after it was repeated exactly once; look-ups answer as the last act of each subject says; `ledger verify` is clean.
The seed is printed; CM_SEED sets it. CM_LONG=1 makes it 60 rounds of each kind instead of a few seconds.
"""

import os
import random
import subprocess
import time
import unittest

import harness
from keeper_world import KeeperWorld
from rig.milter import program
from rig.proc import wait_for
from store_world import PARTITIONS, StoreWorld, unpack_event

IS_LONG = bool(os.environ.get("CM_LONG"))
ROUNDS = 60 if IS_LONG else 4
VERIFY_EVERY = 10 if IS_LONG else 4  # it looks at a million buckets
SUBJECTS, THREADS = 64, 4
CONFIRM, WITHDRAW = "4", "2"
TAKEN = ("applied", "stale", "duplicate", "received")


class Writer:
    """store_driver in a process that is killed; keeps what it was told over all its lives."""

    def __init__(self, config, directory, keeper_socket=None):
        self.path = program(harness.OPTIONS.build, "store_driver")
        self.config = config
        self.arguments = [str(SUBJECTS), str(THREADS), *([keeper_socket] if keeper_socket else [])]
        self.directory = directory
        self.lives = 0
        self.popen = None
        self.begun = {}  # event: the words of its I line, newest last
        self.status = {}  # event: the last word about it
        self.ledger = {}  # event: what was told of its place
        self.permits = {}  # subject: what the last act that was done says

    def unknown(self):
        return [event for event in self.begun if self.status.get(event, "uncertain") == "uncertain"]

    def start(self):
        self.lives += 1
        old = os.path.join(self.directory, f"old.{self.lives}")
        with open(old, "w", encoding="ascii") as stream:
            stream.writelines(" ".join(self.begun[event]) + "\n" for event in self.unknown())
        self.output = os.path.join(self.directory, f"told.{self.lives}")
        with open(old, "rb") as stdin, open(self.output, "wb") as stdout:
            self.popen = subprocess.Popen([self.path, "write", self.config, *self.arguments], stdin=stdin,
                                          stdout=stdout)
        wait_for(lambda: os.path.getsize(self.output) > 4000 or self.popen.poll() is not None, "the writer writes")
        assert self.popen.poll() is None, "the writer ended by itself"

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        with open(self.output, encoding="ascii") as stream:
            lines = stream.read().split("\n")
        for line in lines[:-1]:
            self.take(line.split())

    def take(self, words):
        event = words[1]
        if words[0] == "I":
            self.begun[event] = words
            self.status[event] = "uncertain"
            return
        self.status[event] = words[2]
        if words[2] in TAKEN:
            if words[3] != "0-0":
                self.ledger[event] = words[3]
            subject, act = self.begun[event][2:4]
            if act in (CONFIRM, WITHDRAW) and words[2] != "stale":
                self.permits[int(subject)] = act == CONFIRM

    def acknowledged(self):
        return [event for event, status in self.status.items() if status in TAKEN]

    def verdicts(self, config):
        result = subprocess.run([self.path, "check", config, str(SUBJECTS)], capture_output=True, text=True,
                                timeout=60, check=True)
        return {int(subject): verdict for subject, verdict in map(str.split, result.stdout.splitlines())}


class CrashRounds:
    """The rounds; a class below says who is killed, and what must be started again."""

    victims = ()

    def setUp(self):
        self.seed = int(os.environ.get("CM_SEED", random.randrange(1 << 32)))
        self.random = random.Random(self.seed)
        self.table = {"rounds": 0, "acknowledged": 0, "uncertain": 0, "lost": 0, "doubled": 0}
        self.begin()
        self.addCleanup(self.end)

    def test_nothing_lost_nothing_doubled(self):
        for number in range(ROUNDS):
            victim = self.victims[number % len(self.victims)]
            with self.subTest(round=number, victim=victim, seed=self.seed):
                self.round(victim, is_verified=(number + 1) % VERIFY_EVERY == 0)
        print(f"\ncrash ({type(self).__name__}): seed {self.seed}\n  "
              + ", ".join(f"{name} {count}" for name, count in self.table.items()))
        self.assertGreater(self.table["acknowledged"], 10 * ROUNDS)
        self.assertGreater(self.table["uncertain"], 0, "nothing was killed in the midst of an act")

    def round(self, victim, is_verified):
        writer, before = self.writer, len(self.writer.acknowledged())
        writer.start()
        time.sleep(self.random.uniform(0.02, 0.25))
        self.kill(victim)
        if victim != "writer":
            time.sleep(self.random.uniform(0.0, 0.2))  # it sees that the other is gone, or does not
            if self.random.random() < 0.5:
                self.restart(victim)
                time.sleep(self.random.uniform(0.0, 0.2))
        writer.kill()
        self.restart(victim)
        self.settle()
        counts, doubled, lost = self.ledger()
        unknown = writer.unknown()
        self.table["rounds"] += 1
        self.table["acknowledged"] += len(writer.acknowledged()) - before
        self.table["uncertain"] += len(unknown)
        self.table["lost"] += len(lost)
        self.table["doubled"] += len(doubled)
        self.assertEqual(([], []), (lost, doubled), "acknowledged and lost, or written twice")
        not_done = [event for event, status in writer.status.items() if status in ("refused", "not_done")]
        self.assertEqual([], [event for event in not_done if event in counts], "told as not done, and yet written")
        self.check_verdicts(unknown)
        if is_verified:
            self.ctl.run("ledger", "verify")

    def ledger(self):
        """(event: how often it stands there; those that stand twice; those acknowledged that do not, or elsewhere)"""
        counts, places = {}, {}
        with self.world.redis.client() as client:
            for partition in range(PARTITIONS):
                for entry in client("XRANGE", f"l:{{p{partition:03x}}}", "-", "+"):
                    event = unpack_event(entry[1][1])["id"].hex()
                    counts[event] = counts.get(event, 0) + 1
                    places[event] = entry[0].decode()
        doubled = [event for event, count in counts.items() if count != 1]
        lost = [event for event in self.writer.acknowledged()
                if event not in counts or self.writer.ledger.get(event, places[event]) != places[event]]
        return counts, doubled, lost

    def check_verdicts(self, unknown):
        open_subjects = {int(self.writer.begun[event][2]) for event in unknown
                         if self.writer.begun[event][3] in (CONFIRM, WITHDRAW)}
        verdicts = self.writer.verdicts(self.ctl.config)
        wrong = {subject: verdicts[subject] for subject, permits in self.writer.permits.items()
                 if subject not in open_subjects and verdicts[subject] != ("a" if permits else "r")}
        self.assertEqual({}, wrong)
        self.assertEqual(set(), set(verdicts.values()) - {"a", "r"})

    def kill(self, victim):
        if victim in ("redis", "both"):
            self.world.redis.kill()

    def restart(self, victim):
        if victim in ("redis", "both") and self.world.redis.process is None:
            self.world.redis.start()

    def settle(self):
        """All that was acknowledged is where it belongs."""


class DirectCrashTest(CrashRounds, unittest.TestCase):
    """The writer writes into Redis by itself."""

    victims = ("writer", "redis")

    def begin(self):
        self.world = StoreWorld().start().prepare()
        self.ctl = self.world.ctl
        self.writer = Writer(self.ctl.config, self.world.directory)

    def end(self):
        if self.writer.popen is not None and self.writer.popen.poll() is None:
            self.writer.kill()
        self.world.stop()


class KeeperCrashTest(CrashRounds, unittest.TestCase):
    """The writer hands its acts to a keeper."""

    victims = ("keeper", "redis", "both")

    def begin(self):
        self.world = KeeperWorld(callers=({"user": "root", "rank": "subject"},))
        self.world.start()
        self.world.prepare()
        self.ctl = self.world.ctl  # its configuration names no keepers: what stands decides
        self.world.keeper.start()
        self.writer = Writer(self.ctl.config, self.world.directory, self.world.keeper.socket_path)

    def end(self):
        if self.writer.popen is not None and self.writer.popen.poll() is None:
            self.writer.kill()
        self.world.stop()

    def kill(self, victim):
        if victim in ("keeper", "both"):
            self.world.keeper.kill()
        super().kill(victim)

    def restart(self, victim):
        super().restart(victim)
        if victim in ("keeper", "both") and self.world.keeper.process is None:
            self.world.keeper.start()

    def settle(self):
        def is_drained():
            status = self.world.keeper.status()
            return status["pending"] == 0 and status["state"] in ("waiting", "beating")

        wait_for(is_drained, "the keeper has written all", 20, 0.05)


if __name__ == "__main__":
    harness.main()
