"""The archive under hands and crashes: what is changed in it is found, and kill -9 of the archiver at any point loses and
doubles nothing.

CONSENT_ROUNDS sets the number of random kills (30), CONSENT_SEED repeats a run.
"""

import os
import random
import shutil
import subprocess
import threading
import unittest

import harness
from ledger_world import DOCUMENT, LedgerWorld, every_act
from rig import redis_proxy
from rig.redis_proxy import CloseConnection, RedisProxy
from store_world import ASSERTED, GRANT, STAFF, STOP, WITHDRAWN, Place, head

ROUNDS = int(os.environ.get("CONSENT_ROUNDS", "30"))
SEED = int(os.environ.get("CONSENT_SEED", random.randrange(1 << 32)))


def change(path, offset, to):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(to)


class HandsTest(unittest.TestCase):
    """Three sealed segments and an open one; all events are still in Redis as well."""

    @classmethod
    def setUpClass(cls):
        cls.world = LedgerWorld().start().prepare()
        every_act(cls.world)
        cls.world.ctl.run("ledger", "archive", "--seal")
        for number in range(3):
            place = Place(cls.world)
            for _ in range(3):
                place.call("officer_grant", head(GRANT, source=STAFF, statement=1), document=DOCUMENT)
            cls.world.ctl.run("ledger", "archive", *(("--seal",) if number < 2 else ()))
        cls.saved = cls.world.save()
        cls.first, cls.second, cls.third, cls.open = cls.world.segments()

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()

    def damaged(self, segment, text, act):
        """verify names the segment first, and says this; then all is put back."""
        try:
            act()
            findings, sums = self.world.verify()
            self.assertEqual(1, sums["code"], findings)
            self.assertTrue(findings)
            row = findings[0]
            self.assertEqual(("archive_damaged", segment), (row["finding"], row["segment"]), findings)
            self.assertIn(text, row["text"])
            self.assertLessEqual({r["finding"] for r in findings}, {"archive_damaged", "archive_short", "unreadable"})
        finally:
            self.world.put_back(self.saved)

    def test_a_clean_archive(self):
        findings, sums = self.world.verify()
        self.assertEqual(([], 0), (findings, sums["code"]))
        self.assertEqual(sums["events"], sums["archived"])

    def test_a_changed_byte(self):
        size = os.path.getsize(self.second)
        for offset in (0, 5, 30, 50, 16468 + 4, 16468 + 30, size - 100, size - 30):
            with self.subTest(offset):
                with open(self.second, "rb") as file:
                    byte = file.read()[offset] ^ 1
                self.damaged(2, "", lambda offset=offset, byte=byte: change(self.second, offset, bytes([byte])))

    def test_a_removed_entry(self):
        def remove():
            with open(self.second, "rb") as file:
                data = file.read()
            length = 4 + int.from_bytes(data[16469:16472], "big")
            with open(self.second, "wb") as file:
                file.write(data[:16468] + data[16468 + length:])

        self.damaged(2, "chain", remove)

    def test_removed_segments(self):
        self.damaged(2, "missing", lambda: os.unlink(self.second))
        self.damaged(1, "missing", lambda: os.unlink(self.first))

    def test_a_removed_end(self):
        """Nothing in the archive tells that its last segment is gone; Redis' marks do."""
        os.unlink(self.open)
        try:
            findings, sums = self.world.verify()
            self.assertEqual(({"archive_short", "unreadable"}, 1), ({row["finding"] for row in findings}, sums["code"]))
            self.assertIn("has lost entries", self.world.ctl.run("ledger", "archive", ok=(65,)).stderr)
        finally:
            self.world.put_back(self.saved)

    def test_swapped_segments(self):
        def swap():
            os.rename(self.second, self.second + ".x")
            os.rename(self.third, self.second)
            os.rename(self.second + ".x", self.third)

        self.damaged(2, "under another's name", swap)

    def test_an_archive_signed_by_another_key(self):
        names = ("archive.1", "archive.1.pub")
        keys = [os.path.join(self.world.keys, name) for name in names]

        def sign_anew():
            for key in keys:
                os.rename(key, key + ".mine")
            self.world.ctl.run("init")
            shutil.rmtree(self.world.archive)
            self.world.raw("DEL", *(f"a:{{p{p:03x}}}" for p in range(1024)))
            self.world.ctl.run("ledger", "archive")
            for key in keys:
                os.rename(key + ".mine", key)

        try:
            sign_anew()
            refused = self.world.ctl.run("ledger", "archive", ok=(65,))
            self.assertIn("not signed by our key", refused.stderr)
            findings, _ = self.world.verify(ok=(1,))
            self.assertEqual(("archive_damaged", 1), (findings[0]["finding"], findings[0]["segment"]))
            self.assertIn("not signed", findings[0]["text"])
        finally:
            self.world.put_back(self.saved)


class CrashTest(unittest.TestCase):
    """Each test begins with what the one before has left, and ends with everything archived once."""

    @classmethod
    def setUpClass(cls):
        cls.world = LedgerWorld().start().prepare()
        every_act(cls.world)
        cls.proxy = RedisProxy(cls.world.directory, cls.world.redis.socket_path).start()
        cls.through = cls.world.new_ctl("through.conf", {"store": {"url": cls.proxy.url}})

    @classmethod
    def tearDownClass(cls):
        cls.proxy.stop()
        cls.world.stop()

    def archiver(self, ctl, *options):
        return subprocess.Popen([ctl.path, "-c", ctl.config, "ledger", "archive", "--keep", "0", *options],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def whole(self):
        """After one more run every event is in the archive once, and all is clean."""
        sums = self.world.archive_now()
        self.assertEqual(0, sums["alarms"])
        findings, verified = self.world.verify()
        self.assertEqual(([], 0), (findings, verified["code"]))
        self.assertEqual(verified["events"], verified["archived"])
        self.assertEqual(0, sum(self.world.raw("XLEN", f"l:{{p{p:03x}}}") for p in range(1024)))
        return sums

    def test_killed_at_each_command(self):
        """Before Redis takes a command and after it has taken it, for each kind of command of a run."""
        for name in (b"HGET", b"HMGET", b"XRANGE", b"HSET", b"XTRIM", b"XINFO"):
            for after in (False, True):
                with self.subTest(f"{'after' if after else 'before'} {name.decode()}"):
                    place = Place(self.world)
                    for _ in range(3):
                        place.call("officer_grant", head(GRANT, source=STAFF, statement=1), document=DOCUMENT)
                    self.kill_at(name, after, place)
                    self.whole()

    def kill_at(self, name, after, place):
        reached = threading.Event()

        def mode(link, command):
            mine = command[0].upper() == name and (name in (b"HGET", b"HMGET", b"XINFO") or place.ledger_key[2:].encode()
                                                   in command[1])
            if not mine:
                return link.forward(command)
            if after:
                link.forward(command)
            process.kill()
            reached.set()
            raise CloseConnection()

        self.proxy.set_mode(redis_proxy.hang)
        process = self.archiver(self.through)
        self.proxy.set_mode(mode, drop=True)
        process.wait(60)
        self.proxy.set_mode(redis_proxy.forward, drop=True)
        self.assertTrue(reached.is_set(), f"no {name} in this run: exit {process.returncode}")

    def test_killed_at_random(self):
        print(f"seed {SEED}, {ROUNDS} rounds", flush=True)
        chance = random.Random(SEED)
        stop = threading.Event()
        written = []

        def load():
            with self.world.redis.client() as client:
                places = [Place(self.world, partition=p, bucket=9) for p in range(500, 520)]
                while not stop.wait(0.001):
                    place = places[len(written) % len(places)]
                    place.call("officer_grant", head(GRANT, source=STAFF, statement=1), document=DOCUMENT, client=client)
                    place.call("admin_withdraw", head(STOP, state=WITHDRAWN), client=client)
                    written.append(2)

        thread = threading.Thread(target=load)
        thread.start()
        cut = 0
        try:
            for _ in range(ROUNDS):
                process = self.archiver(self.world.ctl, *chance.choice(((), ("--follow",), ("--seal",))))
                try:
                    process.wait(chance.uniform(0.01, 0.25))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        finally:
            stop.set()
            thread.join()
        cut += self.whole()["cut_bytes"]
        print(f"{sum(written)} events in {len(self.world.segments())} segments, {cut} bytes cut", flush=True)

    def test_a_torn_end_is_cut_and_told(self):
        Place(self.world).call("admin_grant", head(ASSERTED))
        self.world.archive_now()
        with open(self.world.segments()[-1], "ab") as file:
            file.write(b"E\0\0\x3btorn")
        self.assertIn("cut off 8 bytes", self.world.ctl.run("ledger", "archive").stdout)
        self.whole()


if __name__ == "__main__":
    harness.main()
