"""The filter beside a real Redis and keepers that are played by hand: whose word a look-up needs. LAW-12"""

import os

import harness
from harness import World, WorldCase, compose
from rig.proc import wait_for


class KeeperTest(WorldCase):
    """Two keepers that are played by hand: what their beats say decides, and nothing else. LAW-12"""

    person = "ann@keepers.test"
    keepers = ("mx1", "mx2")

    @classmethod
    def make_world(cls):
        return World(settings={"keepers": list(cls.keepers)})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.grant(cls.person)

    def setUp(self):
        super().setUp()
        self.redis = self.world.redis
        self.redis.command("HDEL", "m:{p000}", "doctor")
        self.beat()
        self.mark = self.world.milter.mark()

    def identity(self):
        """Run id and replication id of the server, as it tells them now."""
        lines = self.redis.command("INFO", "everything").decode().splitlines()
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        return found["run_id"], found["master_replid"]

    def now_ms(self):
        seconds, micros = self.redis.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def beat(self, *names, state="on", age_ms=0, ids=None):
        ids = ids or self.identity()
        for name in names or self.keepers:
            self.put(name, f"{state} {ids[0]} {ids[1]} {self.now_ms() - age_ms} 1")

    def put(self, name, text):
        self.redis.command("HSET", "m:{p000}", f"beat:{name}", text)

    def assert_trouble(self, name):
        self.assert_deferred(self.world.rcpt(self.person), self.person)
        self.world.milter.wait_log(rf"\b{name}\b", since=self.mark)

    def assert_recovers(self):
        """By beats alone, at once, and for those who consented only."""
        self.beat()
        self.assert_accepted(self.world.rcpt(self.person))
        self.beat()
        self.assert_refused(self.world.rcpt("nobody@keepers.test"), "nobody@keepers.test")

    def test_fresh_beats(self):
        self.assert_recovers()

    def test_beat_missing(self):
        for name in self.keepers:
            with self.subTest(keeper=name):
                self.mark = self.world.milter.mark()
                self.redis.command("HDEL", "m:{p000}", f"beat:{name}")
                self.assert_trouble("keeper_beat_missing")
                self.assert_recovers()

    def test_beat_stale(self):
        for name in self.keepers:
            with self.subTest(keeper=name):
                self.mark = self.world.milter.mark()
                self.beat(name, age_ms=3000)
                self.assert_trouble("keeper_beat_stale")
                self.assert_recovers()

    def test_beat_ahead_of_the_clock(self):
        self.beat("mx2", age_ms=-60000)
        self.assert_trouble("store_clock")
        self.assert_recovers()

    def test_beat_that_cannot_be_read(self):
        self.put("mx1", "on")
        self.assert_trouble("store_malformed")
        self.assert_recovers()

    def test_restart_with_the_beats_of_the_run_before(self):
        before = self.identity()
        self.redis.stop()
        self.redis.start()
        self.assertNotEqual(before[0], self.identity()[0])
        self.beat(ids=before)
        self.assert_trouble("store_incarnation")
        self.assert_recovers()

    def test_restored_backup_with_its_beats(self):
        # The withdrawal is lost with the backup; the beats in it are of the run before.
        self.world.grant("back@keepers.test")
        snapshot = self.redis.snapshot()
        self.world.withdraw("back@keepers.test")
        self.redis.stop()
        self.redis.start()
        self.redis.restore(snapshot)
        self.assert_deferred(self.world.rcpt("back@keepers.test"))
        self.world.withdraw("back@keepers.test")  # replayed, as a keeper does before it beats
        self.beat()
        self.assert_refused(self.world.rcpt("back@keepers.test"))

    def test_new_replication_id_on_living_connections(self):
        self.assert_accepted(self.world.rcpt(self.person))
        before = self.identity()
        self.redis.command("REPLICAOF", "127.0.0.1", "1")
        self.redis.command("REPLICAOF", "NO", "ONE")
        after = self.identity()
        self.assertEqual(before[0], after[0])
        self.assertNotEqual(before[1], after[1])
        self.assert_recovers()
        self.beat(ids=before)
        self.assert_trouble("store_incarnation")
        self.assert_recovers()

    def test_signed_off(self):
        for name in self.keepers:
            self.beat(name, state="off", age_ms=590000)
        self.assert_accepted(self.world.rcpt(self.person))
        self.beat("mx2", state="off", age_ms=600001)  # a sign-off is no trust for ever
        self.assert_trouble("keeper_beat_stale")
        self.beat("mx2", state="off")
        self.assert_accepted(self.world.rcpt(self.person))
        ids = self.identity()
        self.redis.stop()
        self.redis.start()
        for name in self.keepers:
            self.beat(name, state="off", ids=ids)
        self.assert_trouble("store_incarnation")
        self.assert_recovers()

    def test_retired(self):
        self.put("mx2", f"retired - - {self.now_ms()} 0")
        self.beat("mx1")
        self.assert_accepted(self.world.rcpt(self.person))
        self.beat("mx1", age_ms=3000)
        self.assert_trouble("keeper_beat_stale")
        self.redis.command("HDEL", "m:{p000}", "beat:mx2")
        self.assert_recovers()

    def test_beats_of_the_function(self):
        with open(os.path.join(self.world.config["keys"], "store"), encoding="ascii") as stream:
            store = stream.read()
        run_id, replication_id = self.identity()
        self.redis.command("HDEL", "m:{p000}", *(f"beat:{name}" for name in self.keepers))
        for name in self.keepers:
            reply = self.redis.command("FCALL", "keeper_beat", 2, "m:{p000}", "n:{p005}", store, name, "on", run_id,
                                       replication_id, self.now_ms() + 1500, 0, 12)
            self.assertEqual(b"beat", reply[0])
        self.assert_accepted(self.world.rcpt(self.person))

    def test_doctor(self):
        run_id = self.identity()[0]
        rows = ((f"{run_id} bad {self.now_ms()} appendfsync is everysec", "store_unfit"),
                (f"{run_id} good {self.now_ms()} ", None),
                (f"{'9' * 40} bad {self.now_ms()} another run", None),
                (f"{run_id} unsure {self.now_ms()} ", "store_malformed"))
        for text, word in rows:
            with self.subTest(doctor=text):
                self.mark = self.world.milter.mark()
                self.redis.command("HSET", "m:{p000}", "doctor", text)
                self.beat()
                if word:
                    self.assert_trouble(word)
                else:
                    self.assert_accepted(self.world.rcpt(self.person))

    def test_an_unexamined_run_is_told_once(self):
        def told():
            return self.world.milter.log()[self.mark:].count("nobody has examined")

        ids = self.identity()
        self.redis.command("HSET", "m:{p000}", "doctor", f"{ids[0]} good 1 ")
        self.assert_accepted(self.world.rcpt(self.person))
        self.redis.command("HDEL", "m:{p000}", "doctor")
        self.mark = self.world.milter.mark()
        for _ in range(4):
            self.beat()
            self.assert_accepted(self.world.rcpt(self.person))
        wait_for(lambda: told() == 1, "one line about it", 10, 0.1)

    def test_keepers_that_beat_on_through_many_messages(self):
        with self.world.session() as smtp:
            for number in range(5):
                self.beat()
                smtp.mail(harness.NEWS)
                self.assert_accepted(smtp.rcpt(self.person))
                self.assert_accepted(smtp.data(compose(harness.NEWS, self.person,
                                                       headers=[("X-Number", str(number))])))


if __name__ == "__main__":
    harness.main()
