"""consentctl doctor: each thing that is wrong with a real Redis is found, named, and told what to do about."""

import json
import time
import unittest

import harness
from rig import proc
from rig.redis import Redis
from rig.redis_proxy import RedisProxy, forward
from shipped_redis import ShippedRedis
from store_world import StoreWorld

FIRST = "m:{p000}"

# Setting, wrong, right, the finding, its health, a word of the advice.
SETTINGS = (
    ("appendfsync", "everysec", "always", "appendfsync", "bad", "appendfsync always"),
    ("appendfsync", "no", "always", "appendfsync", "bad", "appendfsync always"),
    ("no-appendfsync-on-rewrite", "yes", "no", "no-appendfsync-on-rewrite", "bad", "no-appendfsync-on-rewrite no"),
    ("maxmemory-policy", "allkeys-lru", "noeviction", "maxmemory-policy", "bad", "noeviction"),
    ("maxmemory-policy", "volatile-ttl", "noeviction", "maxmemory-policy", "bad", "noeviction"),
    ("maxmemory", "0", "2gb", "maxmemory", "warn", "two thirds"),
    ("save", "3600 1", "", "save", "warn", 'save ""'),
    ("hash-max-listpack-entries", "511", "512", "hash-max-listpack-entries", "warn", "512"),
    ("hash-max-listpack-value", "64", "1024", "hash-max-listpack-value", "warn", "1024"),
    ("busy-reply-threshold", "5000", "1000", "busy-reply-threshold", "warn", "1000"),
)
NEEDS = ("appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy")
EXIT = {"good": 0, "warn": 0, "bad": 1, "unknown": 75}


class DoctorCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = proc.make_directory("consent-doctor-")
        cls.redis = ShippedRedis(cls.directory).start()
        cls.world = StoreWorld(redis=cls.redis)
        cls.ctls = {user: cls.new_ctl(user) for user in ("deploy", "doctor", "milter", "keeper")}
        cls.ctls["deploy"].run("init")
        cls.world.start(init=False)
        cls.raw = cls.world.raw

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()
        cls.redis.stop()
        proc.remove_directory(cls.directory)

    @classmethod
    def new_ctl(cls, user, name=None):
        return cls.world.new_ctl(f"{name or user}.conf", cls.redis.store_settings(user))

    def findings(self, *, code=0, ctl=None):
        """{finding: (health, found, advice)} of all that is not good; keepers are left out where none is configured."""
        result = (ctl or self.ctls["doctor"]).run("--json", "doctor", ok=(code,))
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        for row in rows:
            self.assertEqual({"finding", "health", "found", "advice"}, set(row))
            self.assertEqual(row["health"] == "good", row["advice"] == "", row)
        return {row["finding"]: (row["health"], row["found"], row["advice"]) for row in rows
                if row["health"] != "good" and "is empty" not in row["found"]}

    def only(self, finding, health, *words, ctl=None, beside=()):
        """Exactly this was found, and said with all words."""
        found = self.findings(code=EXIT[health], ctl=ctl)
        for name in beside:
            found.pop(name, None)
        self.assertEqual({finding}, set(found), found)
        self.assertEqual(health, found[finding][0])
        for word in words:
            self.assertIn(word, " ".join(found[finding]))

    def verdict(self):
        run_id, word, at, *text = self.raw("HGET", FIRST, "doctor").decode().split(" ", 3)
        self.assertIn(f"run_id:{run_id}", self.raw("INFO", "server").decode())
        self.assertLess(abs(self.world.now_ms() - int(at)), 60000)
        return word, text[0]


class ServerTest(DoctorCase):
    def test_the_shipped_configuration_is_good(self):
        self.assertEqual({}, self.findings())
        self.assertEqual(("good", ""), self.verdict())
        shown = self.ctls["doctor"].run("doctor").stdout
        for word in ("good    appendfsync", "this run of Redis is fit", "nobody gets in without a password"):
            self.assertIn(word, shown)
        self.assertEqual("", self.ctls["doctor"].run("doctor", "--quiet").stdout)

    def test_each_setting(self):
        for name, wrong, right, finding, health, advice in SETTINGS:
            with self.subTest(name, value=wrong):
                self.raw("CONFIG", "SET", name, wrong)
                try:
                    self.only(finding, health, advice, beside=("verdict",))
                    expected = "bad" if name in NEEDS else "good"
                    self.assertEqual(expected, self.verdict()[0])
                    self.assertEqual(name in NEEDS, advice in self.verdict()[1])
                finally:
                    self.raw("CONFIG", "SET", name, right)
                self.assertEqual({}, self.findings())
                self.assertEqual("good", self.verdict()[0])

    def test_no_append_only_file(self):
        def is_written():
            info = self.raw("INFO", "persistence")
            return b"aof_rewrite_in_progress:0" in info and b"aof_rewrite_scheduled:0" in info

        self.addCleanup(proc.wait_for, is_written, "the first append-only file")
        self.raw("CONFIG", "SET", "appendonly", "no")
        self.addCleanup(self.raw, "CONFIG", "SET", "appendonly", "yes")
        self.only("appendonly", "bad", "appendonly yes", beside=("verdict",))
        self.assertEqual(("bad", "appendonly yes"), self.verdict())

    def test_all_needs_at_once_are_named(self):
        for name, wrong, _, _, _, _ in SETTINGS:
            if name in NEEDS:
                self.raw("CONFIG", "SET", name, wrong)
        self.assertEqual(set(NEEDS) | {"verdict"}, set(self.findings(code=1)))
        self.assertEqual("appendfsync always, no-appendfsync-on-rewrite no, maxmemory-policy noeviction", self.verdict()[1])
        for name, _, right, _, _, _ in SETTINGS:
            self.raw("CONFIG", "SET", name, right)

    def test_a_full_memory(self):
        used = int(self.raw("INFO", "memory").decode().split("used_memory:")[1].split()[0])
        self.addCleanup(self.raw, "CONFIG", "SET", "maxmemory", "2gb")
        self.raw("CONFIG", "SET", "maxmemory", str(used * 100 // 87))
        self.only("memory", "warn", "Raise `maxmemory`")

    def test_too_little_memory_to_fork(self):
        self.addCleanup(self.raw, "CONFIG", "SET", "maxmemory", "2gb")
        self.raw("CONFIG", "SET", "maxmemory", "1000000gb")
        self.only("fork", "warn", "two thirds")

    def test_functions(self):
        self.raw("FUNCTION", "FLUSH")
        self.only("functions", "bad", "consentctl init", "not loaded")
        self.raw("FUNCTION", "LOAD", "#!lua name=consent\nredis.register_function('admin_grant', function() return 1 end)")
        self.only("functions", "bad", "another version")
        self.ctls["deploy"].run("init")
        self.assertEqual({}, self.findings())

    def test_a_partition_that_is_not_ours(self):
        for partition in (0x155, 0x3ff):
            key = f"m:{{p{partition:03x}}}"
            for field in ("store", "epoch", "schema", "canon", "peppers"):
                with self.subTest(key, field=field):
                    before = self.raw("HGET", key, field)
                    self.raw("HSET", key, field, "7")
                    self.only("store", "bad", f"1 of 1024 partitions are not ours, the first is {partition}:")
                    self.raw("HSET", key, field, before)
        self.raw("HSET", "m:{p155}", "registry", "5")
        self.only("store", "warn", "1023 have an older registry")
        self.raw("HSET", "m:{p155}", "registry", "0")

    def test_the_ledger_is_ahead_of_the_clock(self):
        self.raw("XADD", "l:{p3ff}", f"{self.world.now_ms() + 3600000}-0", "e", "x")
        self.addCleanup(self.raw, "DEL", "l:{p3ff}")
        self.only("ledger-clock", "bad", "set back")

    def test_anybody_gets_in(self):
        self.addCleanup(self.raw, "ACL", "SETUSER", "default", "reset", "off")
        self.raw("ACL", "SETUSER", "default", "on", "nopass", "~*", "+@all")
        self.only("default-user", "warn", "default user off")
        self.raw("ACL", "SETUSER", "default", "-@all", "+ping")
        self.only("default-user", "warn", "with few rights")

    def test_options_of_the_mail_server(self):
        self.assertIn("without --postfix", self.ctls["doctor"].run("doctor", "--postfix-config", "/", ok=(64,)).stderr)
        self.assertIn("takes no --postfix", self.ctls["doctor"].run("stats", "--postfix", ok=(64,)).stderr)


class RightsTest(DoctorCase):
    def test_who_may_not_ask_does_not_know(self):
        """And leaves the doctor's last verdict as it is, but where it sees that Redis is unfit."""
        self.findings()
        before = self.raw("HGET", FIRST, "doctor")
        for user in ("milter", "keeper"):
            found = self.findings(code=75, ctl=self.ctls[user])
            for finding in ("appendfsync", "save", "hash-max-listpack-value", "ledger-clock", "verdict"):
                self.assertEqual("unknown", found[finding][0], (user, finding))
                self.assertIn("doctor", found[finding][2])
            self.assertNotIn("appendonly", found)
            self.assertNotIn("maxmemory-policy", found)
            self.assertEqual(before, self.raw("HGET", FIRST, "doctor"))
        self.raw("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.addCleanup(self.raw, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        self.assertEqual("bad", self.findings(code=1, ctl=self.ctls["keeper"])["verdict"][0])
        self.assertEqual(("bad", "maxmemory-policy noeviction"), self.verdict())


class KeeperTest(DoctorCase):
    """LAW-12: the beats, and the list in our configuration."""

    def incarnation(self):
        info = self.raw("INFO").decode()
        return [info.split(f"{name}:")[1].split()[0] for name in ("run_id", "master_replid")]

    def test_beats(self):
        ctl = self.new_ctl("doctor", "kept")
        with open(ctl.config, "a", encoding="ascii") as file:
            file.write('keepers = ["mx1"];\n')
        self.addCleanup(self.raw, "HDEL", FIRST, "beat:mx1", "beat:mx2")
        run_id, replication_id = self.incarnation()
        ahead = self.world.now_ms() + 60000  # so that it stays fresh while the test runs
        self.only("keeper", "bad", "mx1 has never beaten", "start it", ctl=ctl)
        for beat, health, words in (
                (f"on {run_id} {replication_id} {ahead} 7", "good", ()),
                (f"on {run_id} {replication_id} {ahead - 70000} 7", "bad", ("last beaten", "keeper status")),
                (f"on {'0' * 40} {replication_id} {ahead} 7", "bad", ("has not beaten since",)),
                (f"on {run_id} {'0' * 40} {ahead} 7", "bad", ("has not beaten since",)),
                (f"off {run_id} {replication_id} {ahead - 120000} 7", "good", ()),
                (f"off {run_id} {replication_id} 1 7", "bad", ("last beaten", "keeper status")),
                (f"retired - - {ahead} 0", "warn", ("retired", "Take it out")),
                ("nonsense", "bad", ("cannot be read",))):
            with self.subTest(beat):
                self.raw("HSET", FIRST, "beat:mx1", beat)
                if health == "good":
                    self.assertEqual({}, self.findings(ctl=ctl))
                else:
                    self.only("keeper", health, *words, ctl=ctl)
                self.assertEqual("good", self.verdict()[0], "a keeper's trouble passes; the verdict would stay")
        self.raw("HSET", FIRST, "beat:mx1", f"off {run_id} {replication_id} {ahead - 120000} 7", "beat:mx2",
                 f"on {run_id} {replication_id} {ahead} 7")
        self.only("keeper", "warn", "mx2", "not in `keepers`", ctl=ctl)

    def test_no_keepers_is_told(self):
        self.assertIn("`keepers` is empty", self.ctls["doctor"].run("doctor").stdout)


class DontKnowTest(unittest.TestCase):
    """Other servers than the shipped one."""

    def start(self, *options):
        world = StoreWorld(redis_options=options).start()
        self.addCleanup(world.stop)
        return world

    def findings(self, ctl, code):
        rows = map(json.loads, ctl.run("--json", "doctor", ok=(code,)).stdout.splitlines())
        return {row["finding"]: row["health"] for row in rows}

    def test_a_plain_redis_is_good_with_warnings(self):
        found = self.findings(self.start().ctl, 0)
        self.assertEqual({"cluster": "good", "user": "warn", "default-user": "warn", "hash-max-listpack-value": "warn"},
                         {name: found[name] for name in ("cluster", "user", "default-user", "hash-max-listpack-value")})

    def test_a_replica(self):
        world = self.start()
        other = Redis(world.directory, "master", port=7001).start()
        self.addCleanup(other.stop)
        self.addCleanup(world.redis.kill)  # while it writes its first append-only file it would not stop
        world.raw("REPLICAOF", "127.0.0.1", "7001")
        self.assertEqual({"role": "bad"}, self.findings(world.ctl, 1))

    def test_a_master_with_a_replica(self):
        world = self.start("--port", "7002", "--bind", "127.0.0.1")
        replica = Redis(world.directory, "replica", options=("--replicaof", "127.0.0.1", "7002", "--appendonly", "no")).start()
        self.addCleanup(replica.stop)
        proc.wait_for(lambda: b"connected_slaves:1" in world.raw("INFO", "replication"), "the replica is there")
        self.assertEqual("warn", self.findings(world.ctl, 0)["min-replicas"])
        world.raw("CONFIG", "SET", "min-replicas-max-lag", "2")
        world.raw("CONFIG", "SET", "min-replicas-to-write", "1")
        proc.wait_for(lambda: b"min_slaves_good_slaves:1" in world.raw("INFO", "replication"), "its first word")
        self.assertEqual("good", self.findings(world.ctl, 0)["min-replicas"])

    def test_a_redis_that_is_not_there(self):
        world = self.start()
        world.raw.close()
        world.redis.stop()
        result = world.ctl.run("doctor", ok=(75,))
        self.assertIn("store_unreachable", result.stderr)
        world.redis.start()
        world.raw = world.redis.client()

    def test_an_emptied_redis(self):
        world = self.start()
        world.raw("FLUSHALL")
        self.assertEqual("bad", self.findings(world.ctl, 1)["store"])

    def test_clocks_that_differ(self):
        """Redis' clock is not ours to set: what it says is changed on the way."""
        world = self.start()
        proxy = RedisProxy(world.directory, world.redis.socket_path).start()
        self.addCleanup(proxy.stop)
        ctl = world.new_ctl("proxy.conf", {"store": {"url": proxy.url}})
        for seconds, health, code in ((0, "good", 0), (-10, "warn", 0), (10, "warn", 0), (-100, "bad", 1), (100, "bad", 1)):
            def mode(link, command, seconds=seconds):
                if command[0].upper() != b"TIME":
                    return forward(link, command)
                text = str(int(time.time()) + seconds)
                return f"*2\r\n${len(text)}\r\n{text}\r\n$1\r\n0\r\n".encode()

            with self.subTest(seconds=seconds):
                proxy.set_mode(mode)
                found = self.findings(ctl, code)
                self.assertEqual(health, found["clock"])


if __name__ == "__main__":
    harness.main()
