"""A real Redis in every kind of trouble: defer, name the cause, recover.

Each test ends its trouble and then waits, without touching the milter, until
the same RCPT is taken again.
"""

import os
import time

import harness
from harness import Redis, World, WorldCase, compose
from rig.redis import RespClient, RespError
from rig.proc import wait_for


class TroubleCase(WorldCase):
    """One consenting person; the trouble is over when that person is reached."""

    person = "ann@trouble.test"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.grant(cls.person)

    def setUp(self):
        super().setUp()
        self.world.until_rcpt(250, self.person)
        self.mark = self.world.milter.mark()

    def assert_trouble(self, *names):
        """RCPT is deferred, quickly, and the log names one of the causes."""
        started = time.monotonic()
        reply = self.world.rcpt(self.person)
        elapsed = time.monotonic() - started
        self.assert_deferred(reply, self.person)
        self.assertLess(elapsed, 5.0)
        self.world.milter.wait_log("|".join(rf"\b{name}\b" for name in names), since=self.mark)

    def assert_recovers(self):
        self.world.until_rcpt(250, self.person)
        self.assert_refused(self.world.rcpt("nobody@trouble.test"), "nobody@trouble.test")


class TroubleTest(TroubleCase):
    def test_stopped(self):
        self.world.redis.stop()
        try:
            self.assert_trouble("store_unreachable", "store_connection_lost")
        finally:
            self.world.redis.start()
        self.assert_recovers()

    def test_killed_loses_nothing_that_was_acknowledged(self):
        self.world.grant("sure@trouble.test")
        self.world.grant("gone@trouble.test")
        self.world.withdraw("gone@trouble.test")
        self.world.redis.kill()
        try:
            self.assert_trouble("store_unreachable", "store_connection_lost")
        finally:
            self.world.redis.start()
        self.assert_recovers()
        self.assert_accepted(self.world.rcpt("sure@trouble.test"))
        self.assertIn("suppression list", self.world.rcpt("gone@trouble.test").text)

    def test_restarted_between_two_recipients(self):
        with self.world.session() as smtp:
            smtp.mail(harness.NEWS)
            self.assert_accepted(smtp.rcpt(self.person))
            self.world.redis.stop()
            self.assert_deferred(smtp.rcpt(self.person))
            self.world.redis.start()
            wait_for(lambda: smtp.rcpt(self.person).code == 250, "250 in the same session", 20, 0.1)
            self.assert_accepted(smtp.data(compose(harness.NEWS, self.person)))

    def test_hanging(self):
        self.world.redis.freeze()
        try:
            self.assert_trouble("store_timeout")
            # By now the circuit is open: the next ones do not wait.
            started = time.monotonic()
            with self.world.session() as smtp:
                smtp.mail(harness.NEWS)
                for number in range(20):
                    self.assert_deferred(smtp.rcpt(f"hang{number}@trouble.test"))
            self.assertLess(time.monotonic() - started, 8.0)
        finally:
            self.world.redis.thaw()
        self.assert_recovers()

    def test_hanging_with_many_sessions(self):
        self.world.redis.freeze()
        sessions = []
        try:
            sessions = [self.world.session() for _ in range(20)]
            started = time.monotonic()
            for smtp in sessions:
                smtp.send(f"MAIL FROM:<{harness.NEWS}>")
                smtp.read()
            for number, smtp in enumerate(sessions):
                smtp.send(f"RCPT TO:<crowd{number}@trouble.test>")
            for smtp in sessions:
                self.assert_deferred(smtp.read())
            self.assertLess(time.monotonic() - started, 8.0)
        finally:
            for smtp in sessions:
                smtp.close()
            self.world.redis.thaw()
        self.assert_recovers()

    def test_out_of_client_slots(self):
        redis = self.world.redis
        before = redis.command("CONFIG", "GET", "maxclients")[1]
        control = redis.client()
        held = []
        try:
            control("CONFIG", "SET", "maxclients", "8")
            self.take_all_slots(control, held)
            self.assert_trouble("store_max_clients")
        finally:
            for client in held:
                client.close()
            control("CONFIG", "SET", "maxclients", before)
            control.close()
        self.assert_recovers()

    def take_all_slots(self, control, held):
        """Hold every slot, taking those of the milter's pool from it."""

        def full():
            ours = {client.identifier for client in held}
            try:
                client = RespClient(self.world.redis.socket_path)
                client.identifier = client("CLIENT", "ID")
                held.append(client)
                return False
            except (RespError, ConnectionError, BrokenPipeError):
                pass
            ours.add(control("CLIENT", "ID"))
            others = [line.split()[0][3:] for line in control("CLIENT", "LIST").decode().split("\n")
                      if line and int(line.split()[0][3:]) not in ours]
            for identifier in others:
                try:
                    control("CLIENT", "KILL", "ID", identifier)
                except RespError:
                    pass
            return not others

        wait_for(full, "all client slots held", interval=0)

    def test_wiped_and_restored(self):
        snapshot = self.world.redis.snapshot()
        self.world.redis.command("FLUSHALL")
        try:
            self.assert_trouble("store_missing")
            self.assert_deferred(self.world.rcpt("nobody@trouble.test"))
        finally:
            self.world.redis.restore(snapshot)
        self.assert_recovers()

    def test_records_in_another_database(self):
        # All keys gone but the milter's connections untouched: SWAPDB.
        self.world.redis.command("SWAPDB", "0", "1")
        try:
            self.assert_trouble("store_missing")
        finally:
            self.world.redis.command("SWAPDB", "0", "1")
        self.assert_recovers()

    def test_foreign_store(self):
        own = self.world.redis
        other = Redis(self.world.directory, "other")
        other.start()
        config = os.path.join(self.world.directory, "other.conf")
        settings = dict(self.world.config)
        settings["store"] = settings["store"] | {"url": other.url}
        settings["keys"] = os.path.join(self.world.directory, "other-keys")
        harness.write_libconfig(config, settings)
        ctl = harness.Ctl(self.world.build, config)
        self.world.prepare_store(ctl)
        self.world.grant(self.person, ctl=ctl)
        foreign = other.snapshot()
        other.stop()
        snapshot = own.snapshot()
        own.restore(foreign)
        try:
            self.assert_trouble("store_foreign", "store_wrong_pepper")
            self.assert_deferred(self.world.rcpt("nobody@trouble.test"))
        finally:
            own.restore(snapshot)
        self.assert_recovers()

    def test_one_wrong_fact_of_the_store(self):
        redis = self.world.redis
        snapshot = redis.snapshot()
        wrong = {"store": ("0" * 32, "store_foreign"), "peppers": ("1:" + "0" * 16, "store_wrong_pepper"),
                 "schema": ("99", "store_schema"), "canon": ("99", "store_schema"),
                 "epoch": ("x", "store_malformed")}
        for field, (value, word) in wrong.items():
            with self.subTest(field=field):
                self.mark = self.world.milter.mark()
                with redis.client() as client:
                    for key in client("KEYS", "m:*"):
                        self.assertEqual(0, client("HSET", key, field, value), "a known field")
                try:
                    self.assert_trouble(word)
                    self.assert_deferred(self.world.rcpt("nobody@trouble.test"))
                finally:
                    redis.restore(snapshot)
                self.assert_recovers()

    def test_busy_with_a_script(self):
        redis = self.world.redis
        redis.command("CONFIG", "SET", "busy-reply-threshold", "100")
        runner = redis.client()
        try:
            runner.socket.sendall(b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n")
            wait_for(self.redis_is_busy, "Redis says BUSY")
            self.assert_trouble("store_busy")
        finally:
            redis.command("SCRIPT", "KILL")
            runner.close()
        self.assert_recovers()

    def redis_is_busy(self):
        try:
            self.world.redis.command("PING")
            return False
        except RespError as error:
            return str(error).startswith("BUSY")

    def test_replica(self):
        redis = self.world.redis
        redis.command("REPLICAOF", "127.0.0.1", "1")
        redis.drop_other_clients()
        try:
            self.assert_trouble("store_not_master")
        finally:
            redis.command("REPLICAOF", "NO", "ONE")
        self.assert_recovers()

    def test_full_store_still_answers(self):
        # Redis that takes no more writes can still be read: verdicts stand.
        redis = self.world.redis
        redis.command("CONFIG", "SET", "maxmemory", "1")
        try:
            self.assert_accepted(self.world.rcpt(self.person))
            self.assert_refused(self.world.rcpt("nobody@trouble.test"))
        finally:
            redis.command("CONFIG", "SET", "maxmemory", "0")
        self.assert_recovers()

    def bucket(self):
        """Key, field and value of a bucket entry that only this test knows of."""
        redis = self.world.redis
        before = {(key, field) for key, field, _ in self.entries()}
        self.world.grant("damage@trouble.test")
        new = [entry for entry in self.entries() if (entry[0], entry[1]) not in before]
        if not new:  # an earlier test has made it
            self.skipTest("the bucket cannot be told apart")
        self.assertEqual(1, len(new), redis.command("KEYS", "c:*"))
        return new[0]

    def entries(self):
        found = []
        for key in self.world.redis.command("KEYS", "c:*"):
            flat = self.world.redis.command("HGETALL", key)
            found += [(key, flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        return found

    def test_damaged_records(self):
        redis = self.world.redis
        key, field, value = self.bucket()
        self.assert_accepted(self.world.rcpt("damage@trouble.test"))
        self.assertEqual(0, len(value) % 28)
        # The fifth byte holds version and kind of the first record.
        other_version = value[:4] + bytes([value[4] ^ 0xF0]) + value[5:]
        for damaged in (value[:-1], value + b"\0", b"", b"x", other_version, b"\xff" * 28,
                        value * 5000):
            with self.subTest(damaged=damaged[:40]):
                redis.command("HSET", key, field, damaged)
                reply = self.world.rcpt("damage@trouble.test")
                self.assert_deferred(reply)
                # The damage of one subject is not another's trouble.
                self.assert_accepted(self.world.rcpt(self.person))
        redis.command("DEL", key)
        redis.command("SET", key, "not a hash")
        self.assert_deferred(self.world.rcpt("damage@trouble.test"))
        redis.command("DEL", key)
        self.assert_refused(self.world.rcpt("damage@trouble.test"))
        redis.command("HSET", key, field, value)
        self.world.until_rcpt(250, "damage@trouble.test")
        self.assert_recovers()

    def test_registry_lost(self):
        redis = self.world.redis
        snapshot = redis.snapshot()
        for key in redis.command("KEYS", "g:*"):
            redis.command("DEL", key)
        try:
            # Known names may be kept for a while, but nothing new is permitted
            # and nothing is told as "no consent" by mistake.
            reply = self.world.rcpt("nobody@trouble.test")
            self.assertIn(reply.code, (451, 550), str(reply))
        finally:
            redis.restore(snapshot)
        self.assert_recovers()


class StartTest(TroubleCase):
    def test_milter_starts_while_redis_is_down(self):
        self.world.milter.stop()
        self.world.redis.stop()
        try:
            self.world.milter.start()
            self.mark = 0
            self.assert_trouble("store_unreachable")
        finally:
            self.world.redis.start()
        self.assert_recovers()

    def test_milter_starts_while_redis_hangs(self):
        self.world.milter.stop()
        self.world.redis.freeze()
        try:
            self.world.milter.start()
            self.assert_trouble("store_timeout")
        finally:
            self.world.redis.thaw()
        self.assert_recovers()

    def test_milter_starts_with_an_empty_redis(self):
        self.world.milter.stop()
        snapshot = self.world.redis.snapshot()
        self.world.redis.command("FLUSHALL")
        try:
            self.world.milter.start()
            self.assert_trouble("store_missing")
        finally:
            self.world.redis.restore(snapshot)
        self.assert_recovers()


class PasswordTest(TroubleCase):
    """AUTH by a password file that is read at each connect."""

    @classmethod
    def make_world(cls):
        world = World(redis_options=["--requirepass", "first"])
        world.redis.password = "first"
        cls.password_path = os.path.join(world.directory, "redis-password")
        cls.write_password("first")
        world.reconfigure(store=world.config["store"] | {"password_file": cls.password_path})
        return world

    @classmethod
    def write_password(cls, password):
        with open(cls.password_path, "w", encoding="ascii") as stream:
            stream.write(password + "\n")
        os.chmod(cls.password_path, 0o400)

    def test_wrong_password(self):
        redis = self.world.redis
        redis.set_password("second")
        redis.drop_other_clients()
        try:
            self.assert_trouble("store_authentication")
        finally:
            redis.set_password("first")
        self.assert_recovers()

    def test_new_password_in_the_file(self):
        redis = self.world.redis
        redis.set_password("third")
        redis.drop_other_clients()
        self.assert_trouble("store_authentication")
        self.write_password("third")
        self.assert_recovers()
        redis.set_password("first")
        self.write_password("first")

    def test_password_file_lost(self):
        os.rename(self.password_path, self.password_path + ".away")
        self.world.redis.drop_other_clients()
        try:
            self.assert_trouble("store_password_file")
        finally:
            os.rename(self.password_path + ".away", self.password_path)
        self.assert_recovers()

    def test_right_taken_away(self):
        redis = self.world.redis
        redis.command("ACL", "SETUSER", "default", "-hmget", "-hget")
        try:
            self.assert_trouble("store_no_permission")
        finally:
            redis.command("ACL", "SETUSER", "default", "+@all")
        self.assert_recovers()

    def test_passwords_are_never_logged(self):
        log = self.world.milter.log()
        for password in ("first", "second", "third"):
            self.assertNotRegex(log, rf"\b{password}\b")


class TcpTest(TroubleCase):
    """Redis over TCP."""

    @classmethod
    def make_world(cls):
        world = World(redis_options=["--port", "6379"])
        world.reconfigure(store=world.config["store"] | {"url": "redis://127.0.0.1:6379"})
        return world

    def test_stopped(self):
        self.world.redis.stop()
        try:
            self.assert_trouble("store_unreachable", "store_connection_lost")
        finally:
            self.world.redis.start()
        self.assert_recovers()

    def test_hanging(self):
        self.world.redis.freeze()
        try:
            self.assert_trouble("store_timeout")
        finally:
            self.world.redis.thaw()
        self.assert_recovers()


if __name__ == "__main__":
    harness.main()
