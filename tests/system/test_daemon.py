"""Start, stop and the socket; and the milter protocol beyond what Postfix sends."""

import grp
import os
import pwd
import signal
import stat
import subprocess

import harness
from harness import LIST_ID, LOGIN, NEWS, World, WorldCase, news_stream, write_libconfig
from rig.mta import MilterSession
from rig.proc import can_connect, read_text, status_number, wait_for


def run(world, *arguments, timeout=20):
    """The daemon's program as a command that is expected to end by itself."""
    return subprocess.run([world.milter.path, *arguments], capture_output=True, text=True,
                          timeout=timeout, check=False)


class StartTest(WorldCase):
    def setUp(self):
        super().setUp()
        self.milter = self.world.milter
        if self.milter.process is None:
            self.milter.start()

    def assert_works(self):
        self.assert_refused(self.world.rcpt("nobody@daemon.test"))

    def test_stale_socket_is_replaced(self):
        self.milter.kill()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.milter.socket_path).st_mode))
        self.milter.start()
        self.assert_works()

    def test_clean_stop_and_start(self):
        self.assertEqual(0, self.milter.stop())
        self.assertFalse(can_connect(self.milter.socket_path))
        self.milter.start()
        self.assert_works()

    def test_stop_in_mid_message_lets_no_mail_through(self):
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_refused(smtp.rcpt("mid@daemon.test"))
            self.milter.process.send_signal(signal.SIGTERM)
            reply = smtp.rcpt("mid@daemon.test")
            self.assertIn(reply.code, (550, 451), str(reply))
        self.assertEqual(0, self.milter.stop())
        self.milter.start()
        self.assert_works()

    def test_second_instance_refuses_to_start(self):
        result = run(self.world, "-f", "-c", self.world.config_path)
        self.assertNotEqual(0, result.returncode)
        self.assertIn(self.milter.socket_path, result.stderr)
        self.assertRegex(result.stderr.lower(), "running|in use|already|another|answers")
        self.assertTrue(self.milter.process.running())
        self.assert_works()

    def test_something_else_at_the_socket_path_is_left_alone(self):
        path = os.path.join(self.world.directory, "precious")
        with open(path, "w", encoding="ascii") as stream:
            stream.write("keep me\n")
        result = run(self.world, "-f", "-c", self.world.config_path, "-p", f"unix:{path}")
        self.assertNotEqual(0, result.returncode)
        self.assertIn(path, result.stderr)
        self.assertEqual("keep me\n", read_text(path))

    def test_socket_mode_and_group(self):
        found = os.stat(self.milter.socket_path)
        self.assertEqual(0o660, stat.S_IMODE(found.st_mode))
        self.assertEqual("postfix", grp.getgrgid(found.st_gid).gr_name)

    def test_configuration_check(self):
        good = run(self.world, "-n", "-c", self.world.config_path)
        self.assertEqual(0, good.returncode, good.stderr)
        bad_path = os.path.join(self.world.directory, "bad.conf")
        for settings, word in (({"stoer": {"url": "unix:/x"}}, "stoer"),
                               ({"store": {"url": "nonsense"}}, "url"),
                               ({"streams": (news_stream() | {"match": {}},)}, "match"),
                               ({"unmatched": {"bulk": "perhaps"}}, "bulk")):
            with self.subTest(settings=settings):
                write_libconfig(bad_path, self.world.config | settings)
                bad = run(self.world, "-n", "-c", bad_path)
                self.assertEqual(78, bad.returncode, bad.stderr)
                self.assertRegex(bad.stderr, rf"{bad_path}:\d+")
                self.assertIn(word, bad.stderr)
        self.assertEqual(78, run(self.world, "-f", "-c", bad_path).returncode)
        absent = run(self.world, "-n", "-c", bad_path + "-absent")
        self.assertIn(absent.returncode, (66, 78))
        self.assertEqual(64, run(self.world, "--no-such-option").returncode)

    def test_version_and_help(self):
        for option in ("-V", "-h"):
            result = run(self.world, option)
            self.assertEqual(0, result.returncode, result.stderr)
            self.assertIn("consent-milter", result.stdout)

    def test_daemon_with_pid_file_and_user(self):
        self.milter.stop()
        pid_path = os.path.join(self.world.directory, "milter.pid")
        keys = self.world.config["keys"]
        # The daemon reads its keys as the user that it becomes.
        owner = pwd.getpwnam("postfix")
        for base, _, names in os.walk(keys):
            for path in (base, *(os.path.join(base, name) for name in names)):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        pid = None
        try:
            result = run(self.world, "-c", self.world.config_path, "-P", pid_path, "-u", "postfix")
            self.assertEqual(0, result.returncode, result.stderr)
            wait_for(lambda: read_text(pid_path).strip(), "the PID file")
            pid = int(read_text(pid_path))
            wait_for(lambda: can_connect(self.milter.socket_path), "the daemon's socket")
            self.assertEqual(owner.pw_uid, status_number(pid, "Uid"))
            self.assert_works()
        finally:
            for base, _, names in os.walk(keys):
                for path in (base, *(os.path.join(base, name) for name in names)):
                    os.chown(path, 0, 0)
            if pid:
                os.kill(pid, signal.SIGTERM)
                wait_for(lambda: not can_connect(self.milter.socket_path), "the daemon's end")
                wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon's end")
        self.milter.start()

    def test_configuration_is_logged_with_its_hash(self):
        # LAW-16
        self.assertRegex(self.milter.log(), r"configuration=[0-9a-f]{12}")

    def test_no_address_in_the_log(self):
        self.world.rcpt("very.private.person@daemon.test")
        self.world.rcpt("unparsable<very.private.person@daemon.test")
        self.assertNotIn("very.private.person", self.milter.log())


class InetTest(WorldCase):
    """The same over TCP, in Postfix's notation."""

    @classmethod
    def make_world(cls):
        world = World(postfix={"smtpd_milters": "inet:127.0.0.1:8891"})
        world.reconfigure(milter={"socket": "inet:127.0.0.1:8891"})
        world.milter.socket_path = ("127.0.0.1", 8891)
        return world

    def test_inet_socket(self):
        self.world.grant("inet@daemon.test")
        self.assert_accepted(self.world.rcpt("inet@daemon.test"))
        self.assert_refused(self.world.rcpt("inet-no@daemon.test"))

    def test_second_instance_refuses_to_start(self):
        result = run(self.world, "-f", "-c", self.world.config_path)
        self.assertNotEqual(0, result.returncode)


class ProtocolTest(WorldCase):
    """We play the MTA: macros that disagree, Sendmail's ways, odd orders."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.grant("ann@protocol.test", "local@mx.consent.test")

    def session(self, **macros):
        session = MilterSession(self.world.milter.socket_path).negotiate()
        self.addCleanup(session.close)
        session.connect(**macros)
        return session

    def ask(self, argument, rcpt_addr=None, session=None, **connect):
        session = session or self.session(**connect)
        session.mail(f"<{NEWS}>", auth_type="PLAIN", auth_authen=LOGIN, mail_addr=NEWS,
                     mail_mailer="smtp")
        macros = {"rcpt_mailer": "smtp"}
        if rcpt_addr is not None:
            macros["rcpt_addr"] = rcpt_addr
        return session.rcpt(argument, **macros)

    def test_plain(self):
        self.assertEqual(250, self.ask("<ann@protocol.test>", "ann@protocol.test").code)
        self.assertEqual(550, self.ask("<bob@protocol.test>", "bob@protocol.test").code)

    def test_macro_names_another_mailbox(self):
        for argument, macro in (("<ann@protocol.test>", "bob@protocol.test"),
                                ("<ann@protocol.test>", "ann@far.test"),
                                ("<ann@protocol.test>", "xann@protocol.test"),
                                ("<ann@protocol.test>", "bob@far.test")):
            with self.subTest(argument=argument, macro=macro):
                answer = self.ask(argument, macro)
                self.assertEqual((550, "5.7.1"), (answer.code, answer.text[4:9]), answer.text)

    def test_macro_folded_as_postfix_does(self):
        self.assertEqual(250, self.ask("<ANN@Protocol.Test>", "ann@protocol.test").code)

    def test_macro_as_sendmail_writes_it(self):
        self.assertEqual(250, self.ask("<Ann@Protocol.Test>", "Ann@Protocol.Test").code)
        self.assertEqual(250, self.ask('<"ann"@protocol.test>', '"ann"@protocol.test').code)

    def test_no_domain_anywhere_is_the_mtas_own(self):
        self.assertEqual(250, self.ask("<local>", "local").code)
        self.assertEqual(550, self.ask("<local>", "local", j="other.consent.test").code)

    def test_domain_completed_by_the_mta(self):
        self.assertEqual(250, self.ask("<ann@protocol>", "ann@protocol.test").code)
        self.assertEqual(250, self.ask("<ann>", "ann@protocol.test").code)

    def test_no_macro_at_all(self):
        self.assertEqual(250, self.ask("<ann@protocol.test>").code)
        self.assertEqual(550, self.ask("<bob@protocol.test>").code)

    def test_unparsable_recipients(self):
        for argument in ("<>", "", "<@>", "<a@b@>", "<ann@protocol.test", "<a b c@protocol.test>",
                         "<ann@protocol.test> <ann@protocol.test", b"<\xff\xfe@protocol.test>",
                         "<ann@-bad-.test>", "<" + "a" * 3000 + "@protocol.test>"):
            with self.subTest(argument=argument[:40]):
                answer = self.ask(argument)
                self.assertEqual(550, answer.code, answer.text)
                self.assertIn(answer.text[4:9], ("5.1.3", "5.7.1"))

    def test_orders_that_no_mta_sends(self):
        session = self.session()
        session.abort()
        session.abort()
        self.assertEqual(550, self.ask("<bob@protocol.test>", "bob@protocol.test", session).code)
        session.abort()
        self.assertEqual(250, self.ask("<ann@protocol.test>", "ann@protocol.test", session).code)
        self.assertEqual(250, session.message([LIST_ID]).code)
        session.abort()
        self.assertEqual(550, self.ask("<bob@protocol.test>", "bob@protocol.test", session).code)

    def test_no_answer_that_ends_the_checks(self):
        # ACCEPT, DISCARD or SKIP at RCPT would let later recipients through.
        session = self.session()
        for number in range(5):
            answer = self.ask("<ann@protocol.test>", "ann@protocol.test", session)
            self.assertEqual("c", answer.letter)
            answer = session.rcpt(f"<bob{number}@protocol.test>")
            self.assertEqual("y", answer.letter)
            session.abort()

    def test_queue_id_at_rcpt_is_logged(self):
        session = self.session()
        session.mail(f"<{NEWS}>", auth_authen=LOGIN, i="4XyZ12abcDEF", mail_mailer="smtp")
        answer = session.rcpt("<bob@protocol.test>", rcpt_addr="bob@protocol.test", i="4XyZ12abcDEF")
        identifier = harness.decision_id(answer.text)
        self.assertEqual("4XyZ12abcDEF", self.world.milter.decision(identifier).queue_id)


if __name__ == "__main__":
    harness.main()
