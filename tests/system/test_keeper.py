"""consent-keeper: start, callers, the lines of its socket, and what filters do meanwhile (LAW-6, LAW-12)."""

import os
import pwd
import signal
import socket
import subprocess
import time

import harness
from harness import NEWS_PURPOSE, World, WorldCase
from keeper_world import KeeperCase, keeper_settings, stop_of
from rig.keeper import Keeper, KeeperClient
from rig.proc import wait_for

CALLERS = ({"user": "root", "rank": "admin"},)


class StartTest(KeeperCase):
    def run_keeper(self, *arguments):
        return subprocess.run([self.keeper.path, "-c", self.world.config, *arguments], capture_output=True, text=True,
                              timeout=30, check=False)

    def test_configuration_check(self):
        good = self.run_keeper("-n")
        self.assertEqual((0, "keeper mx1"), (good.returncode, good.stdout.strip()[-10:]), good.stderr)
        del self.world.settings["keeper"]["name"]
        self.world.configure()
        bad = self.run_keeper("-n")
        self.assertEqual(78, bad.returncode)
        self.assertIn("keeper.name", bad.stderr)

    def test_one_keeper_a_journal_and_a_socket(self):
        self.keeper.start()
        other_socket = self.run_keeper("-f", "-p", os.path.join(self.world.directory, "other.sock"))
        self.assertEqual(69, other_socket.returncode, other_socket.stderr)
        self.assertRegex(other_socket.stderr, "journal")
        same_socket = self.run_keeper("-f")
        self.assertEqual(69, same_socket.returncode, same_socket.stderr)
        self.assertIn("another instance", same_socket.stderr)
        self.assertEqual("mx1", self.keeper.status()["keeper"])

    def test_other_signals_do_not_end_it(self):
        self.keeper.start()
        self.keeper.process.send_signal(signal.SIGHUP)
        self.keeper.process.send_signal(signal.SIGUSR1)
        self.assertEqual("done", self.keeper.status()["status"])

    def test_daemon_with_pid_file(self):
        pid_path = os.path.join(self.world.directory, "keeper.pid")
        result = self.run_keeper("-P", pid_path)
        self.assertEqual(0, result.returncode, result.stderr)
        with open(pid_path, encoding="ascii") as stream:
            pid = int(stream.read())
        self.assertEqual("done", self.keeper.status()["status"])
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon's end")
        self.assertFalse(os.path.exists(self.keeper.socket_path))


class CallersTest(KeeperCase):
    options = {"callers": CALLERS, "group": "nogroup"}

    def ask_as(self, user, request, groups=()):
        """The answer to one request of another user, from a process of its own."""
        read, write = os.pipe()
        owner = pwd.getpwnam(user)
        os.chmod(self.world.directory, 0o755)
        child = os.fork()
        if child == 0:
            answer = "failed"
            try:
                os.setgroups(list(groups))
                os.setgid(owner.pw_gid)
                os.setuid(owner.pw_uid)
                with KeeperClient(self.keeper.socket_path) as client:
                    try:
                        client.send(request)
                    except OSError:
                        pass  # sent away already; why stands in the answer
                    answer = str(client.read())
            finally:
                os.write(write, answer.encode())
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read) as stream:
            return stream.read()

    def test_who_is_not_listed_is_refused(self):
        self.keeper.start()
        answer = self.ask_as("nobody", stop_of(self.world.place()))
        self.assertIn("'refused'", answer)
        self.keeper.wait_log("refused: caller nobody")
        self.assertEqual(0, self.keeper.status()["acts"])

    def test_rank_is_by_the_caller_first_match_wins(self):
        # LAW-6: the same line, and another rank each time.
        place = self.world.place()
        for callers, rank in (
                (({"user": "nobody", "rank": "subject"}, {"user": "nobody", "rank": "officer"}), 1),
                (({"group": "nogroup", "rank": "system"},) + CALLERS, 5),
                (({"user": str(pwd.getpwnam("nobody").pw_uid), "rank": "sender"},), 4)):
            with self.subTest(rank=rank):
                self.world.configure(callers=callers)
                self.keeper.start()
                event = os.urandom(8)
                answer = self.ask_as("nobody", stop_of(place, event=event))
                self.assertIn("'applied'", answer)
                self.assertEqual([rank], [e["rank"] for e in self.world.events_of(place, event)])
                self.keeper.stop()

    def test_an_act_beyond_the_rank_is_refused(self):
        self.world.configure(callers=({"user": "nobody", "rank": "subject"},))
        self.keeper.start()
        place = self.world.place()
        request = stop_of(place, act="erase", kind="erased", state=1)
        self.assertIn("not for a caller of this rank", self.ask_as("nobody", request))
        self.assertIn("only an administrator", self.ask_as("nobody", {"do": "replay"}))


class WireTest(KeeperCase):
    def setUp(self):
        super().setUp()
        self.keeper.start()

    def test_answers_come_in_order(self):
        places = [self.world.place() for _ in range(100)]
        with self.keeper.client() as client:
            for place in places:
                client.send(stop_of(place))
            client.send({"do": "status"})
            answers = [client.read() for _ in range(101)]
        self.assertEqual(["applied"] * 100 + ["done"], [answer["status"] for answer in answers])
        ledgers = [tuple(map(int, answer["ledger"].split("-"))) for answer in answers[:-1]]
        self.assertEqual(sorted(ledgers), ledgers)

    def test_what_is_no_request(self):
        good = stop_of(self.world.place())
        lines = [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"do":"write"}', b'{"do":"dance"}',
                 b'{"do":"status","do":"status"}', b'{"do":"status","more":1}', b"[" * 3000,
                 *(good | change for change in (
                     {"rank": "admin"}, {"state": 99}, {"state": "2"}, {"scope": -1}, {"scope": 1 << 32},
                     {"kind": "seal"}, {"act": "note"}, {"subject": "0" * 20}, {"subject": "g" * 21},
                     {"family": ""}, {"event": "00"}, {"wait_ms": 60001}, {"at": 1 << 48}, {"expiry": 5},
                     {"flags": 4}, {"related": "all"}, {"related": [0.5]}, {"related": [1] * 1025},
                     {"request": "1-"}, {"document": "x" * 4097}, {"source": "rumour"}, {"exact": 1}))]
        with self.keeper.client() as client:
            for line in lines:
                with self.subTest(line=line):
                    answer = client(line)
                    self.assertEqual("refused", answer["status"])
                    self.assertTrue(answer["error"])
            self.assertEqual("applied", client(good)["status"])
        self.assertEqual(1, self.keeper.status()["acts"])

    def test_longest_line(self):
        request = stop_of(self.world.place())
        with self.keeper.client() as client:
            line = (b'{"do":"status"}').ljust(32767)
            self.assertEqual("done", client(line)["status"])
            client.socket.sendall(b"x" * 32768)
            self.assertIn("too long", client.read()["error"])
            with self.assertRaises(ConnectionError):
                client.read()
        self.assertEqual("applied", self.keeper.ask(request)["status"])

    def test_connections_have_a_ceiling(self):
        clients = [self.keeper.client() for _ in range(256)]
        try:
            self.assertEqual("done", clients[0]({"do": "status"})["status"])
            with self.keeper.client() as late:  # takes the place of one that was idle longest
                self.assertEqual("done", late({"do": "status"})["status"])
            self.assertEqual("done", clients[0]({"do": "status"})["status"])
        finally:
            for client in clients:
                client.close()
        self.assertEqual("done", self.keeper.status()["status"])

    def test_who_does_not_read_holds_nobody_up(self):
        deaf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deaf.connect(self.keeper.socket_path)
        deaf.setblocking(False)
        try:
            try:
                while True:
                    deaf.send(b'{"do":"status"}\n' * 64)
            except BlockingIOError:
                pass
            self.assertEqual("applied", self.keeper.ask(stop_of(self.world.place()))["status"])
        finally:
            deaf.close()

    def test_who_leaves_has_acted_all_the_same(self):
        place, event = self.world.place(), os.urandom(8)
        with self.keeper.client() as client:
            client.send(stop_of(place, event=event, wait_ms=6000))
            client.socket.shutdown(socket.SHUT_WR)
            self.assertEqual("applied", client.read()["status"])
        other, second = self.world.place(), os.urandom(8)
        with self.keeper.client() as client:
            client.send(stop_of(other, event=second, wait_ms=6000))
        wait_for(lambda: len(self.world.events_of(other, second)) == 1, "the act of one who left")

    def test_evidence_is_sealed_and_opened(self):
        ctl = harness.Ctl(harness.OPTIONS.build, self.world.config)
        ctl.run("withdraw", "seal@keeper.test", "everybody", "--evidence", '{"by":"phone"}')
        self.assertIn('"by":"phone"', ctl.run("history", "seal@keeper.test").stdout)

    def test_event_id_makes_repetition_harmless(self):
        place, event = self.world.place(), os.urandom(8)
        first, second = (self.keeper.ask(stop_of(place, event=event)) for _ in range(2))
        self.assertEqual(("applied", "duplicate"), (first["status"], second["status"]))
        self.assertEqual(first["ledger"], second["ledger"])
        self.assertEqual(1, len(self.world.events_of(place, event)))


class FilterTest(WorldCase):
    """What the filter answers while the keeper and the store come and go."""

    @classmethod
    def make_world(cls):
        world = World()
        world.reconfigure(**keeper_settings(world.directory))
        os.makedirs(world.config["state"], exist_ok=True)
        world.keeper = Keeper(harness.OPTIONS.build, world.directory, world.config_path,
                              world.config["keeper"]["socket"])
        return world

    @classmethod
    def setUpClass(cls):
        cls.world = cls.make_world()
        cls.world.redis.start()
        cls.world.ctl.run("init")
        cls.world.keeper.start_beating()
        cls.world.redis_is_up = True
        cls.world.sink.start()
        cls.world.prepare_store()
        cls.world.milter.start()
        cls.world.postfix.start()

    @classmethod
    def tearDownClass(cls):
        cls.world.keeper.stop()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        if self.world.keeper.process is None:
            self.world.keeper.start_beating()
        self.world.keeper.wait_state("beating")

    def test_withdrawal_is_in_effect_on_the_next_rcpt(self):
        world = self.world
        world.grant("now@keeper.test")
        self.assert_accepted(world.rcpt("now@keeper.test"))
        answer = world.ctl.json("withdraw", "now@keeper.test", NEWS_PURPOSE)
        self.assertEqual(("applied", True), (answer["status"], answer["effect"]))
        self.assert_refused(world.rcpt("now@keeper.test"))

    def test_store_away_and_back(self):
        world = self.world
        world.grant("gone@keeper.test", "stays@keeper.test")
        self.assert_accepted(world.rcpt("gone@keeper.test"))
        world.redis.stop()
        self.assert_deferred(world.rcpt("gone@keeper.test"))
        result = world.ctl.run("withdraw", "gone@keeper.test", "everybody")
        self.assertIn("in effect, though the store is away", result.stdout)
        self.assert_deferred(world.rcpt("gone@keeper.test"))
        world.redis.start()
        world.until_rcpt(250, "stays@keeper.test")
        self.assert_refused(world.rcpt("gone@keeper.test"))

    def test_new_run_is_deferred_until_replayed(self):
        world = self.world
        world.grant("again@keeper.test")
        self.assert_accepted(world.rcpt("again@keeper.test"))
        world.keeper.process.send_signal(signal.SIGSTOP)
        world.redis.stop()
        world.redis.start()
        self.assert_deferred(world.rcpt("again@keeper.test"))
        time.sleep(1.0)
        self.assert_deferred(world.rcpt("again@keeper.test"))
        world.keeper.process.send_signal(signal.SIGCONT)
        world.until_rcpt(250, "again@keeper.test")

    def test_signed_off_keeper_is_not_waited_for(self):
        world = self.world
        world.grant("off@keeper.test")
        self.assertEqual(0, world.keeper.stop())
        self.assertIn("signed off", world.keeper.log())
        time.sleep(4.0)
        self.assert_accepted(world.rcpt("off@keeper.test"))
        world.keeper.start_beating()
        self.assert_accepted(world.rcpt("off@keeper.test"))

    def test_killed_keeper_defers(self):
        world = self.world
        world.grant("killed@keeper.test")
        self.assert_accepted(world.rcpt("killed@keeper.test"))
        world.keeper.kill()
        world.until_rcpt(451, "killed@keeper.test")
        world.keeper.start_beating()
        world.until_rcpt(250, "killed@keeper.test")


if __name__ == "__main__":
    harness.main()
