"""Reload, the control socket and halt: what an administrator does while mail goes on."""

import json
import os
import signal
import socket

import harness
from harness import World, WorldCase, news_stream, receipts_stream, stream
from rig.mta import MilterSession
from rig.proc import open_files, status_number, wait_for

PERSON = "ann@control.test"


class ControlCase(WorldCase):
    @classmethod
    def make_world(cls):
        world = World()
        cls.socket = os.path.join(world.directory, "control.sock")
        world.reconfigure(control={"socket": cls.socket, "mode": "0600"})
        return world

    def setUp(self):
        super().setUp()
        self.world.grant(PERSON)

    def daemon(self, *words, ok=(0,)):
        return self.world.ctl.run("--json", "daemon", *words, ok=ok)

    def status(self):
        return json.loads(self.daemon("status").stdout)

    def session(self):
        mta = MilterSession(self.world.milter.socket_path).negotiate()
        mta.connect()
        self.addCleanup(mta.close)
        return mta

    def ask(self, mta, address):
        mta.mail("<letter@news.acme.example>", auth_authen=harness.LOGIN, mail_addr=harness.NEWS)
        return mta.rcpt(f"<{address}>", rcpt_addr=address).code


class CommandTest(ControlCase):
    def test_status_tells_what_is(self):
        before = self.status()
        mta = self.session()
        self.assertEqual(250, self.ask(mta, PERSON))
        now = self.status()
        self.assertEqual(before["sessions"] + 1, now["sessions"])
        self.assertEqual("enforce", now["mode"])
        self.assertGreater(now["macros"]["mail"]["{auth_authen}"], 0)
        self.assertEqual({"acme-news": "enforce", "acme-receipts": "enforce"}, now["streams"])

    def test_observe_and_enforce_by_command(self):
        mta = self.session()
        self.assertEqual(550, self.ask(mta, "ben@control.test"))
        self.daemon("observe", "acme-news")
        self.assertEqual("observe", self.status()["streams"]["acme-news"])
        self.assertEqual(250, self.ask(mta, "ben@control.test"))
        self.daemon("enforce", "acme-news")
        self.assertEqual(550, self.ask(mta, "ben@control.test"))
        self.daemon("observe", "no-such-stream", ok=(65,))
        wait_for(lambda: "observe" in self.world.ctl.run("store", "status").stdout, "the note in the ledger")

    def test_drain_defers_and_ends(self):
        mta = self.session()
        self.daemon("drain")
        self.assertEqual(451, self.ask(mta, PERSON))
        self.assertTrue(self.status()["draining"])
        self.daemon("drain", "--end")
        self.assertEqual(250, self.ask(mta, PERSON))

    def test_hostile_callers(self):
        for data in (b"", b"\n", b"{}\n", b"[1]\n", b"{\"command\":7}\n", b"{\"command\":\"reload\"", b"x" * 4097,
                     b"x" * 100000 + b"\n", b"\xff\xfe\n", b"{\"command\":\"observe\",\"stream\":[]}\n" * 3,
                     b"{\"command\":\"observe\",\"strem\":\"acme-news\"}\n"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(10)
                client.connect(self.socket)
                try:
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except OSError:
                    pass
        self.assertEqual("enforce", self.status()["mode"])

    def test_nobody_answers(self):
        self.world.reconfigure(control={"socket": self.socket + "-none", "mode": "0600"})
        self.addCleanup(self.world.reconfigure, control={"socket": self.socket, "mode": "0600"})
        result = self.daemon("status", ok=(69,))
        self.assertIn("no answer from the daemon", result.stderr)


class ReloadTest(ControlCase):
    def tearDown(self):
        self.world.reconfigure(streams=(news_stream(), receipts_stream()))
        self.daemon("reload")
        super().tearDown()

    def test_a_connection_keeps_what_it_negotiated(self):
        old = self.session()
        self.assertEqual(550, self.ask(old, "ben@control.test"))
        self.world.reconfigure(streams=(news_stream() | {"mode": "observe"}, receipts_stream()))
        before = self.status()["generation"]
        self.daemon("reload")
        self.assertEqual(before + 1, self.status()["generation"])
        self.assertEqual(550, self.ask(old, "ben@control.test"))
        self.assertEqual(250, self.ask(self.session(), "ben@control.test"))

    def test_a_bad_file_keeps_the_old_one_and_says_so(self):
        before = self.status()["generation"]
        with open(self.world.config_path, "a", encoding="utf-8") as file:
            file.write("nonsense = 1;\n")
        result = self.daemon("reload", ok=(78,))
        self.assertIn("nonsense", result.stdout + result.stderr)
        mark = self.world.milter.mark()
        self.world.milter.process.send_signal(signal.SIGHUP)
        self.world.milter.wait_log("the configuration was not loaded, generation=", since=mark)
        self.world.reconfigure(streams=(news_stream(), receipts_stream()))
        self.assertEqual(before, self.status()["generation"])
        self.assertFalse(self.status()["last_reload"]["ok"])
        self.assertEqual(250, self.ask(self.session(), PERSON))

    def test_what_needs_a_restart_is_refused(self):
        self.world.reconfigure(keys=self.world.directory + "/other")
        result = self.daemon("reload", ok=(78,))
        self.assertIn("keys: cannot change while the daemon runs", result.stderr)
        self.world.reconfigure(keys=os.path.join(self.world.directory, "keys"))

    def test_bursts_of_signals_do_not_kill(self):
        mta = self.session()
        for number in (signal.SIGHUP, signal.SIGUSR1):
            for _ in range(200):
                self.world.milter.process.send_signal(number)
        self.assertEqual(250, self.ask(mta, PERSON))
        self.assertTrue(self.world.milter.process.running())

    def test_a_thousand_reloads_under_load(self):
        mta = self.session()
        before = None
        for number in range(1000):
            extra = tuple(stream(f"s{number}-{i}", match={"auth": [f"x{i}"]}) for i in range(number % 4))
            if number % 10 == 0:
                self.world.reconfigure(streams=(news_stream(), receipts_stream()) + extra)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(20)
                client.connect(self.socket)
                client.sendall(b'{"command":"reload"}\n')
                answer = client.makefile("rb").readline()
                self.assertTrue(json.loads(answer)["ok"], answer)
            if number % 5 == 0:
                self.assertEqual(250, self.ask(mta, PERSON))
                self.assertEqual(550, self.ask(mta, "ben@control.test"))
            if number == 200:
                before = (status_number(self.world.milter.pid, "VmRSS"), open_files(self.world.milter.pid))
        after = (status_number(self.world.milter.pid, "VmRSS"), open_files(self.world.milter.pid))
        self.assertLessEqual(after[1], before[1] + 2)
        if not harness.sanitized():
            self.assertLess(after[0], before[0] + 4096)


class HaltTest(ControlCase):
    def test_halt_refuses_at_the_next_recipient(self):
        mta = self.session()
        self.assertEqual(250, self.ask(mta, PERSON))
        self.world.ctl.run("daemon", "halt", "acme", ok=(64,))
        for scope in ("acme", "acme/newsletter"):
            self.world.ctl.run("daemon", "halt", scope, "--reason", "wrong list")
            self.assertEqual(550, self.ask(mta, PERSON))
            wait_for(lambda: any(d.get("reason") == "halted" for d in self.world.milter.decisions()), "a halted decision")
            self.world.ctl.run("daemon", "halt", scope, "--reason", "sorry", "--end")
            self.assertEqual(250, self.ask(mta, PERSON))
        told = self.world.ctl.run("--json", "store", "status").stdout
        self.assertIn("wrong list", told)
        self.world.ctl.run("ledger", "verify")

    def test_service_mail_goes_on(self):
        self.world.ctl.run("daemon", "halt", "acme", "--reason", "x")
        try:
            mta = self.session()
            mta.mail("<order@shop.acme.example>", auth_authen=harness.LOGIN, mail_addr=harness.SHOP)
            self.assertEqual(250, mta.rcpt("<ben@control.test>", rcpt_addr="ben@control.test").code)
        finally:
            self.world.ctl.run("daemon", "halt", "acme", "--reason", "x", "--end")


if __name__ == "__main__":
    harness.main()
