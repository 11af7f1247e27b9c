"""A registry as large as a store may have, and the dormancy of purposes: loaded, asked and enforced."""

import hashlib
import os
import time

import harness
from harness import NEWS_PURPOSE
from rig.redis import encode_command, read_reply
from store_world import GRANT, Place, StoreCase, StoreWorld

BATCH = 500
KEYS = ("g:{p000}:counter", "l:{p000}", "n:{p000}", "g:{p000}:senders", "g:{p000}:purposes")
NOTE = b'{"note":"purpose_add","actor":"test"}'
DEEP = "acme/p7/p7/p7/p7"


def pipeline(client, commands):
    """The replies to many commands that are sent together."""
    replies = []
    for at in range(0, len(commands), BATCH):
        batch = commands[at:at + BATCH]
        client.socket.sendall(b"".join(map(encode_command, batch)))
        replies += [read_reply(client.stream) for _ in batch]
    return replies


def tree(sender, width, depth):
    """Paths of a full tree of purposes, parents first."""
    level, paths = [sender], []
    for _ in range(depth):
        level = [f"{path}/p{number}" for path in level for number in range(width)]
        paths += level
    return paths


def add_purposes(client, paths):
    """As consentctl adds them, but in one go; all filters are told at the end."""
    sha = hashlib.sha256(NOTE).digest()
    commands = []
    for path in paths:
        parent = path.rpartition("/")[0]
        commands.append(("FCALL", "admin_purpose_add", 5, *KEYS, os.urandom(8), NOTE, sha, path.partition("/")[0], path,
                         parent if "/" in parent else "", f"Mail of {path}", "0", ""))
    replies = pipeline(client, commands)
    assert all(reply[0] == b"added" for reply in replies), [r for r in replies if r[0] != b"added"][:3]
    version = replies[-1][2]
    pipeline(client, [("FCALL", "admin_registry_announce", 1, f"m:{{p{number:03x}}}", version) for number in range(1024)])


class TreeTest(harness.WorldCase):
    """Ten thousand purposes in four levels below their sender."""

    PATHS = tree("acme", 10, 4)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        cls.limit = 4.0 if harness.sanitized() else 1.0
        world.grant("before@tree.test")
        cls.before = cls.timed(world.rcpt, "before@tree.test")
        with world.redis.client() as client:
            add_purposes(client, cls.PATHS)
        path = os.path.join(world.directory, "deep.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(harness.STATEMENT)
        world.ctl.run("statement", "publish", DEEP, path)

    @staticmethod
    def timed(call, *arguments, **options):
        begin = time.monotonic()
        call(*arguments, **options)
        return time.monotonic() - begin

    def test_it_is_as_large_as_that(self):
        self.assertGreaterEqual(len(self.PATHS), 10_000)
        rows = self.world.ctl.run("--json", "purpose", "list").stdout.splitlines()
        self.assertEqual(len(self.PATHS) + 2, len(rows))
        self.assertEqual([], self.world.ctl.json("purpose", "show", "acme/p0/p0/p0/p0")["statements"])

    def test_the_filter_answers_as_ever(self):
        """Its first look-up reads the new registry; none is deferred, and the next ones pay nothing for its size."""
        self.world.grant("tree@tree.test")
        self.assert_accepted(self.world.rcpt("tree@tree.test"))
        times = sorted(self.timed(self.world.rcpt, "tree@tree.test") for _ in range(15))
        self.assertLess(times[7], self.before + 0.1)
        self.assert_refused(self.world.rcpt("nobody@tree.test"))

    def test_check_loads_it_within_its_time(self):
        self.world.grant("deep@tree.test", purpose=DEEP)
        taken = self.timed(self.world.ctl.run, "check", "deep@tree.test", DEEP)
        self.assertLess(taken, self.limit)

    def test_stops_go_down_all_levels_and_no_grant_does(self):
        """LAW-4"""
        ctl = self.world.ctl
        for number, scope in enumerate(("acme/p7/p7/p7", "acme/p7/p7", "acme/p7", "acme", "everybody")):
            address = f"down{number}@tree.test"
            self.world.grant(address, purpose=DEEP)
            ctl.run("check", address, DEEP)
            ctl.run("withdraw", address, "acme/p7/p7/p7/p6")
            ctl.run("withdraw", address, "acme/p6")
            ctl.run("check", address, DEEP)
            ctl.run("withdraw", address, scope)
            ctl.run("check", address, DEEP, ok=(1,))
        for scope in ("acme/p7/p7/p7", "acme/p7"):
            ctl.run("grant", "up@tree.test", scope, "--basis", "asserted")
        ctl.run("check", "up@tree.test", DEEP, ok=(1,))

    def test_an_erasure_takes_the_whole_tree(self):
        ctl = self.world.ctl
        for scope in ("acme/p1", "acme/p1/p2", "acme/p1/p2/p3/p4", NEWS_PURPOSE):
            ctl.run("grant", "erased@tree.test", scope, "--basis", "asserted")
        self.assertLess(self.timed(ctl.run, "erase", "erased@tree.test", "acme"), self.limit)
        shown = ctl.run("show", "erased@tree.test").stdout.splitlines()
        self.assertEqual(2, len(shown), shown)
        self.assertIn("erased", shown[1])


class DormancyTest(StoreCase):
    @classmethod
    def setUpClass(cls):
        cls.world = StoreWorld().start().prepare()
        cls.ctl = cls.world.ctl

    def row(self, purpose):
        row = self.ctl.json("purpose", "show", purpose)
        return row["dormancy"], row["months"]

    def test_it_is_off_unless_set(self):
        self.assertEqual(("off", 0), self.row(NEWS_PURPOSE))
        self.assertNotIn("dormant", self.ctl.run("purpose", "show", NEWS_PURPOSE).stdout)

    def test_it_is_set_with_the_purpose_or_later(self):
        self.ctl.run("purpose", "add", "acme/rare", "--dormancy", "24:refuse")
        self.assertEqual(("refuse", 24), self.row("acme/rare"))
        for text, row in (("1:warn", ("warn", 1)), ("36:refuse", ("refuse", 36)), ("off", ("off", 0))):
            self.assertTrue(self.ctl.json("purpose", "dormancy", "acme/rare", text)["changed"])
            self.assertFalse(self.ctl.json("purpose", "dormancy", "acme/rare", text)["changed"])
            self.assertEqual(row, self.row("acme/rare"))
        self.ctl.run("purpose", "dormancy", "acme/rare", "5:warn")
        self.assertIn("dormant after 5 months without use: warn", self.ctl.run("purpose", "show", "acme/rare").stdout)

    def test_a_change_keeps_the_rest_of_the_row(self):
        self.ctl.run("purpose", "add", "acme/kept", "--title", "Kept")
        self.world.publish("acme/kept")
        before = self.ctl.json("purpose", "show", "acme/kept")
        self.ctl.run("purpose", "dormancy", "acme/kept", "7:warn")
        self.assertEqual(before | {"dormancy": "warn", "months": 7}, self.ctl.json("purpose", "show", "acme/kept"))
        self.ctl.run("purpose", "retire", "acme/kept")
        self.assertEqual(("warn", 7), self.row("acme/kept"))

    def test_what_is_no_dormancy(self):
        for bad in ("", "12", "0:warn", "-1:warn", "warn", "12:", ":warn", "12:forget", "12:warn:x", "1201:warn", "on", "off:1"):
            self.assertIn("dormancy", self.ctl.run("purpose", "dormancy", NEWS_PURPOSE, bad, ok=(64,)).stderr)
            self.ctl.run("purpose", "add", "acme/bad", "--dormancy", bad, ok=(64,))
        self.ctl.run("purpose", "show", "acme/bad", ok=(65,))

    def test_it_refuses_or_lets_pass_and_use_wakes_it(self):
        """By the months since the grant, or since its last use."""
        address = "asleep@registry.test"
        self.ctl.run("purpose", "add", "acme/sleepy")
        self.world.publish("acme/sleepy")
        scope = self.ctl.json("purpose", "show", "acme/sleepy")["id"]
        self.world.grant(address, "acme/sleepy", "--at", "2024-01-15")
        for dormancy, code in (("24:refuse", 1), ("24:warn", 0), ("240:refuse", 0), ("off", 0)):
            self.ctl.run("purpose", "dormancy", "acme/sleepy", dormancy)
            self.ctl.run("check", address, "acme/sleepy", ok=(code,))
        self.ctl.run("purpose", "dormancy", "acme/sleepy", "24:refuse")
        self.assertIn("dormant", self.ctl.run("check", address, "acme/sleepy", ok=(1,)).stdout)
        place = Place.of_address(self.world, address)
        now = time.gmtime()
        place.use((now.tm_year - 2020) * 12 + now.tm_mon - 1, scope)
        self.assertEqual(1, len([r for r in place.records() if r["kind"] == GRANT]))
        self.ctl.run("check", address, "acme/sleepy")


if __name__ == "__main__":
    harness.main()
