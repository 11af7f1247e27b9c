"""System tests: a real Postfix and a real Redis around consent-milter.

A test file ends with `harness.main()` and runs alone:

    python3 tests/system/test_main.py --build DIR [-v] [TestClass.test_name]

The file runs in network, process and mount namespaces of its own (rig/isolate),
so its ports are private and nothing survives it. Each `World` has its own
directory, which is kept and named when a test fails and `--keep` is given.
"""

import argparse
import os
import resource
import sys
import unittest

from rig import proc
from rig.isolate import run_isolated
from rig.milter import Ctl, Milter, decision_id, is_sanitized, write_libconfig
from rig.postfix import Postfix
from rig.proc import remove_directory, wait_for
from rig.redis import Redis
from rig.sink import Sink
from rig.smtp import Smtp, compose

OPTIONS = argparse.Namespace(build=None, keep=False)

SINK_PORT = 2525
LOGIN = "acme-mailer"
NEWS = "letter@news.acme.example"
SHOP = "order@shop.acme.example"
LIST_ID = ("List-Id", "Acme news <acme.news.acme.example>")
NEWS_PURPOSE = "acme/newsletter"
OFFERS_PURPOSE = "acme/offers"

STATEMENT = """\
I want Acme Ltd to send me its monthly newsletter by e-mail.
I can end this at any time, by the link in each letter.
"""

EVIDENCE = '{"url":"https://acme.example/signup","act":"ticked"}'


def stream(name, *, sender="acme", mode="enforce", class_="marketing", purpose=None, match,
           **more):
    """One stream of the configuration; marketing has a purpose."""
    settings = {"name": name, "match": match, "sender": sender, "class": class_}
    if class_ != "service":
        settings["purpose"] = purpose or "newsletter"
        settings["mode"] = mode
    return settings | more


def news_stream(**match):
    """The plain case: everything the login sends from the news domain."""
    return stream("acme-news", match={"auth": [LOGIN], "mail_from": ["*@news.acme.example"]}
                  | match)


def receipts_stream():
    return stream("acme-receipts", class_="service",
                  match={"auth": [LOGIN], "mail_from": ["*@shop.acme.example"]})


LIST_ID_CONDITION = ({"name": "List-Id", "value": "*<acme.news.acme.example>*"},)


class World:
    """Redis, Postfix, far end and milter, wired together in one directory."""

    def __init__(self, *, streams=None, settings=None, proxy=None, timeout="800ms", postfix=None,
                 redis_options=(), ports=None, sink=None, build=None):
        self.build = build or OPTIONS.build
        self.directory = proc.make_directory("consent-system-")
        self.redis = Redis(self.directory, options=redis_options)
        self.sink = sink(self.directory) if sink else Sink(SINK_PORT)
        self.postfix = self.make_mta(sink_port=self.sink.port, ports=ports, settings=postfix)
        self.store_url = proxy.url if proxy else self.redis.url
        self.config_path = os.path.join(self.directory, "consent-milter.conf")
        self.config = self._settings(streams, settings or {}, timeout)
        write_libconfig(self.config_path, self.config)
        self.ctl = Ctl(self.build, self.config_path)
        self.milter = self.new_milter("milter")

    def make_mta(self, **options):
        return Postfix(self.directory, **options)

    def new_milter(self, name):
        return Milter(self.build, self.directory, self.config_path, self.postfix.socket_path,
                      name=name)

    def _settings(self, streams, settings, timeout):
        keys = os.path.join(self.directory, "keys")
        return {
            "store": {"url": self.store_url, "timeout": timeout} | settings.pop("store", {}),
            "keys": keys,
            "milter": {"socket": f"unix:{self.postfix.socket_path}", "mode": "0660",
                       "group": "postfix"},
            "control": {"socket": os.path.join(self.directory, "control.sock"), "mode": "0600"},
            "contact": {"officer": "privacy@acme.example",
                        "url": "https://mail.acme.example/privacy"},
            "outgoing": {"auth": ["*"], "local": True},
            "unmatched": {"bulk": "refuse"},
            "streams": tuple(streams or (news_stream(), receipts_stream())),
        } | settings

    def reconfigure(self, **settings):
        """Change top-level settings; the milter reads them when it starts."""
        self.config |= settings
        write_libconfig(self.config_path, self.config)

    def start(self, *, milter=True):
        self.redis.start()
        self.sink.start()
        self.prepare_store()
        if milter:
            self.milter.start()
        self.postfix.start()
        return self

    def prepare_store(self, ctl=None):
        """A store with a sender, two purposes and their first statements."""
        ctl = ctl or self.ctl
        ctl.run("init")
        ctl.run("sender", "add", "acme", "--title", "Acme Ltd")
        for purpose in (NEWS_PURPOSE, OFFERS_PURPOSE):
            ctl.run("purpose", "add", purpose, "--title", f"Mail of {purpose}")
            path = os.path.join(self.directory, purpose.replace("/", "-") + ".txt")
            with open(path, "w", encoding="utf-8") as stream_:
                stream_.write(STATEMENT)
            ctl.run("statement", "publish", purpose, path)

    def grant(self, *addresses, purpose=NEWS_PURPOSE, ctl=None):
        for address in addresses:
            (ctl or self.ctl).run("grant", address, purpose, "--source", "web_form",
                                  "--statement", "1", "--evidence", EVIDENCE)

    def withdraw(self, address, scope=NEWS_PURPOSE):
        self.ctl.run("withdraw", address, scope)

    def explain(self, identifier):
        """What consentctl says about a refusal; it is kept within a second or two."""

        def ask():
            result = self.ctl.run("explain", identifier, ok=None)
            return result.stdout if result.returncode == 0 else None

        return wait_for(ask, f"an explanation of {identifier}", 10, 0.2)

    def session(self, port="relay", *, login=LOGIN, **xclient):
        """An SMTP session past EHLO, logged in unless `login` is None."""
        smtp = Smtp(self.postfix.ports[port])
        smtp.ehlo()
        if login:
            xclient["login"] = login
        if xclient:
            reply = smtp.xclient(**xclient)
            assert reply.code == 220, f"XCLIENT: {reply}"
        return smtp

    def rcpt(self, recipient, *, sender=NEWS, **session):
        """The answer to one RCPT in a session of its own."""
        with self.session(**session) as smtp:
            reply = smtp.mail(sender)
            if reply.code != 250:
                return reply
            return smtp.rcpt(recipient)

    def send(self, recipients, *, sender=NEWS, headers=(), **session):
        """A whole message. Returns the answers to each RCPT and to the end.

        The last one is the answer to the final dot, or to DATA when no
        recipient was taken.
        """
        with self.session(**session) as smtp:
            smtp.mail(sender)
            answers = [smtp.rcpt(recipient) for recipient in recipients]
            final = smtp.data(compose(sender, recipients[0], headers=headers))
            return answers, final

    def delivered(self, recipient):
        """True when the far end has the recipient, waiting for the queue."""
        self.postfix.settle()
        return recipient in self.sink.recipients()

    def until_rcpt(self, code, recipient, seconds=20, **options):
        """Repeat one RCPT until it is answered with `code`; return the reply."""
        last = []

        def check():
            reply = self.rcpt(recipient, **options)
            last[:] = [reply]
            return reply if reply.code == code else None

        try:
            return wait_for(check, f"{code} to RCPT {recipient}", seconds, 0.1)
        except proc.WaitTimeout as error:
            raise proc.WaitTimeout(f"{error}; the last answer was {last}") from None

    def report(self):
        """The ends of all logs, for a failed test."""
        parts = []
        for name, text in (("milter", self.milter.log()), ("postfix", self.postfix.log())):
            parts.append(f"--- {name} log, last lines ---")
            parts += text.splitlines()[-25:]
        return "\n".join(parts)

    def stop(self):
        """End everything; returns complaints about how the milter ended."""
        complaints = []
        self.postfix.stop()
        if self.milter.process is not None:
            if not self.milter.process.running():
                complaints.append("the milter died during the test")
            code = self.milter.stop()
            if code != 0:
                complaints.append(f"the milter ended with exit code {code}")
        report = self.milter.sanitizer_report()
        if report:
            complaints.append(f"sanitizer: {report}")
        self.redis.stop()
        self.sink.stop()
        if complaints:
            complaints.append(self.report())
        if OPTIONS.keep:
            print(f"kept: {self.directory}", file=sys.stderr)
        else:
            remove_directory(self.directory)
        return complaints


class WorldCase(unittest.TestCase):
    """A test class with one world for all its tests.

    Persons are never shared between tests: each grants to addresses that it
    alone uses. A class overrides `make_world` for another configuration.
    """

    world = None
    maxDiff = None

    @classmethod
    def make_world(cls):
        return World()

    @classmethod
    def setUpClass(cls):
        cls.world = cls.make_world()
        try:
            cls.world.start()
        except BaseException:
            print(cls.world.report(), file=sys.stderr)
            raise

    @classmethod
    def tearDownClass(cls):
        complaints = cls.world.stop()
        if complaints:
            raise AssertionError("\n".join(complaints))

    def setUp(self):
        # A milter that died in one test must not spoil the next ones.
        milter = self.world.milter
        if milter.process is not None and not milter.process.running():
            milter.process = None
            milter.start()

    def assert_accepted(self, reply):
        self.assertEqual(250, reply.code, str(reply))

    def assert_refused(self, reply, recipient=None):
        """550 5.7.1, one line of ASCII with a decision id; returns the id."""
        return self.assert_reply(reply, 550, "5.7.1", recipient)

    def assert_deferred(self, reply, recipient=None):
        """451 4.3.0 in our own words; returns the decision id."""
        return self.assert_reply(reply, 451, "4.3.0", recipient)

    def assert_reply(self, reply, code, enhanced, recipient=None):
        self.assertEqual((code, enhanced), (reply.code, reply.enhanced), str(reply))
        self.assertEqual(1, len(reply.lines), str(reply))
        self.assertTrue(reply.lines[0].isascii(), str(reply))
        self.assertLessEqual(len(reply.lines[0]), 410, str(reply))
        identifier = decision_id(reply.text)
        self.assertIsNotNone(identifier, f"no decision id in: {reply}")
        if recipient is not None:
            self.assertIn(recipient, reply.text)
        return identifier

    def assert_delivered(self, *recipients):
        self.world.postfix.settle()
        got = self.world.sink.recipients()
        for recipient in recipients:
            self.assertIn(recipient, got)

    def assert_never_delivered(self, *recipients):
        self.world.postfix.settle()
        got = self.world.sink.recipients()
        for recipient in recipients:
            self.assertNotIn(recipient, got)

    def assert_logged(self, identifier, **expected):
        """The log line of a decision, with all its keys; returns it."""
        line = self.world.milter.decision(identifier)
        for key in ("session", "id", "verdict", "reason", "stream", "purpose", "subject",
                    "client", "auth"):
            self.assertIn(key, line.values, line.text)
        for key, value in expected.items():
            self.assertEqual(value, line[key], line.text)
        return line


class _Result(unittest.TextTestResult):
    """Prints the logs of the servers with each failure."""

    def _explain(self, test):
        world = getattr(test, "world", None)
        if world is not None:
            self.stream.writeln("\n" + world.report())

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._explain(test)

    def addError(self, test, err):
        super().addError(test, err)
        self._explain(test)


def sanitized():
    return is_sanitized(Milter(OPTIONS.build, "/", "", "").path)


def _raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    """Run the tests of the calling file; exits."""
    parser = argparse.ArgumentParser(description="system tests of consent-milter")
    parser.add_argument("--build", required=True, help="the build directory")
    parser.add_argument("--keep", action="store_true", help="keep the directories")
    arguments, rest = parser.parse_known_args()
    OPTIONS.build = os.path.abspath(arguments.build)
    OPTIONS.keep = arguments.keep

    def run():
        _raise_file_limit()
        runner = unittest.TextTestRunner(resultclass=_Result, verbosity=2)
        program = unittest.main(
            module="__main__", argv=[sys.argv[0], *rest], testRunner=runner, exit=False
        )
        return 0 if program.result.wasSuccessful() else 1

    sys.exit(run_isolated(run))
