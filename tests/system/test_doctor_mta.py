"""consentctl doctor --postfix and --sendmail: each way around the filter is found in a real configuration."""

import json
import os
import shutil
import unittest

import harness
from rig import proc
from rig.milter import Ctl, write_libconfig
from rig.mta import MilterSession
from rig.postfix import Postfix

SAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "config")
OURS = "unix:consent-milter/consent-milter.sock"

# What is written (file, text), the finding, its health, where, and a part of the line to add.
WAYS = (
    ("main.cf", "milter_default_action = accept", "default-action", "bad", "main.cf: milter_default_action",
     "milter_default_action = tempfail"),
    ("main.cf", f"smtpd_milters = {{ {OURS}, default_action=accept }}\nnon_smtpd_milters = {OURS}", "default-action",
     "bad", "main.cf: smtpd_milters", "default_action=tempfail"),
    ("main.cf", f"smtpd_milters =\nnon_smtpd_milters = {OURS}", "smtpd_milters", "bad", "main.cf: smtpd_milters",
     f"smtpd_milters = {{ {OURS},"),
    ("main.cf", "non_smtpd_milters =", "non_smtpd_milters", "bad", "main.cf: non_smtpd_milters", "non_smtpd_milters = {"),
    ("master.cf", "2626 inet n - y - - smtpd\n  -o smtpd_milters=$nobody", "smtpd_milters", "bad",
     "master.cf: 2626/inet: -o smtpd_milters", "  -o { smtpd_milters = {"),
    ("master.cf", "2626 inet n - y - - smtpd\n  -o receive_override_options=no_milters", "no-milters", "bad",
     "master.cf: 2626/inet: -o receive_override_options", "receive_override_options ="),
    ("main.cf", "smtpd_milter_maps = cidr:{directory}/exempt.cidr", "milter-maps", "bad", "exempt.cidr:2", ""),
    ("main.cf", "smtpd_milter_maps = inline:{ {192.0.2.1 = DISABLE} }", "milter-maps", "bad",
     "main.cf: smtpd_milter_maps", ""),
    ("main.cf", "always_bcc = archive@mta.test", "added-recipients", "warn", "main.cf: always_bcc",
     "-o receive_override_options=no_address_mappings"),
    ("main.cf", "content_filter = smtp:[127.0.0.1]:10024", "content-filter", "warn", "main.cf: content_filter", ""),
    ("main.cf", f"smtpd_milters = inet:localhost:11332 {OURS}\nnon_smtpd_milters = {OURS}", "signer-order", "warn",
     "main.cf: smtpd_milters", ""),
    ("main.cf", "smtpd_milters = unix:{socket}\nnon_smtpd_milters = %s" % OURS, "chroot", "bad",
     "main.cf: smtpd_milters", "milter: { socket ="),
    ("main.cf", "milter_content_timeout = 4s", "content-timeout", "bad", "main.cf: milter_content_timeout", "= 60s"),
    ("main.cf", "soft_bounce = yes", "soft-bounce", "warn", "main.cf: soft_bounce", "soft_bounce = no"),
)

CF = """\
V10/Berkeley
O InputMailFilters=consent-milter
Xconsent-milter, S=local:{socket}, F=T, T=C:10s;S:15s;R:15s;E:2m
"""
SUBMIT = "O DontInitGroups=True\nD{MTAHost}[127.0.0.1]\n"


class DoctorMtaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = proc.make_directory("consent-doctor-mta-")
        cls.postfix = Postfix(cls.directory, sink_port=2525)
        cls.socket = cls.postfix.socket_path
        # Nobody listens there; what the doctor looks at is the file, its owner and its mode.
        with open(cls.socket, "w", encoding="utf-8"):
            pass
        shutil.chown(cls.socket, 0, "postfix")
        os.chmod(cls.socket, 0o660)
        os.chmod(cls.directory, 0o755)
        cls.config = os.path.join(cls.directory, "consent-milter.conf")
        write_libconfig(cls.config, {
            "store": {"url": "redis://127.0.0.1:1"}, "keys": os.path.join(cls.directory, "no-keys"),
            "milter": {"socket": f"unix:{cls.socket}", "mode": "0660", "group": "postfix"},
            "control": {"socket": os.path.join(cls.directory, "control.sock")},
            "streams": (harness.news_stream(),),
        })
        cls.ctl = Ctl(harness.OPTIONS.build, cls.config)

    @classmethod
    def tearDownClass(cls):
        proc.remove_directory(cls.directory)

    def setUp(self):
        self.postfix.write_config()

    def append(self, file, text):
        with open(os.path.join(self.postfix.config, file), "a", encoding="utf-8") as stream:
            stream.write(text + "\n")

    def findings(self, *arguments, code):
        """All rows but that of the daemon, which does not run here."""
        result = self.ctl.run("--json", "doctor", *arguments, ok=(code,))
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        for row in rows:
            self.assertEqual({"finding", "health", "where", "found", "advice", "line"}, set(row))
        daemon = [row for row in rows if row["finding"] == "daemon"]
        self.assertEqual(["warn"], [row["health"] for row in daemon], rows)
        return [row for row in rows if row["finding"] != "daemon"]

    def of_postfix(self, code):
        return self.findings("--postfix", "--postfix-config", self.postfix.config, code=code)

    def only(self, rows, finding, health, where, line):
        self.assertEqual([(finding, health)], [(row["finding"], row["health"]) for row in rows], rows)
        self.assertTrue(rows[0]["where"].endswith(where), rows)
        self.assertIn(line, rows[0]["line"])

    def test_a_good_postfix(self):
        self.only(self.of_postfix(0), "mail-server", "good", "", "")
        shown = self.ctl.run("doctor", "--postfix", "--postfix-config", self.postfix.config).stdout
        self.assertIn("no way around consent-milter was found", shown)
        self.assertIn("no daemon tells", shown)
        self.assertEqual("", self.ctl.run("doctor", "--quiet", "--postfix", "--postfix-config",
                                          self.postfix.config).stdout)

    def test_the_sample_is_good(self):
        with open(os.path.join(SAMPLES, "postfix-main.cf.sample"), encoding="utf-8") as stream:
            self.append("main.cf", stream.read())
        self.append("main.cf", "milter_default_action = accept")  # the sample has its own
        self.only(self.of_postfix(0), "mail-server", "good", "", "")

    def test_each_way_around(self):
        with open(os.path.join(self.directory, "exempt.cidr"), "w", encoding="utf-8") as stream:
            stream.write("# the office\n10.0.0.0/8 DISABLE\n")
        for file, text, finding, health, where, line in WAYS:
            with self.subTest(text):
                self.postfix.write_config()
                text = text.replace("{directory}", self.directory).replace("{socket}", self.socket)
                self.append(file, text)
                self.only(self.of_postfix(1 if health == "bad" else 0), finding, health, where, line)

    def test_the_socket_must_be_open_to_postfix(self):
        self.addCleanup(os.chmod, self.socket, 0o660)
        os.chmod(self.socket, 0o600)
        self.only(self.of_postfix(1), "socket-permission", "bad", self.socket, 'group = "postfix"')
        os.chmod(self.socket, 0o660)
        directory = os.path.dirname(self.socket)
        self.addCleanup(os.chmod, directory, 0o2770)
        os.chmod(directory, 0o700)
        self.assertIn(directory, self.of_postfix(1)[0]["found"])

    def test_a_postfix_that_does_not_answer(self):
        rows = self.findings("--postfix", "--postfix-config", "/nonexistent", code=75)
        self.only(rows, "postconf", "unknown", "postconf", "")

    def test_sendmail(self):
        directory = os.path.join(self.directory, "mail")
        os.makedirs(directory, exist_ok=True)
        file = os.path.join(directory, "sendmail.cf")
        arguments = ("--sendmail", "--sendmail-config", file)
        self.only(self.findings(*arguments, code=75), "sendmail.cf", "unknown", file, "")
        cf = CF.replace("{socket}", self.socket)
        for text, submit, code, *expected in (
                (cf, SUBMIT, 0, "mail-server", "good", "", ""),
                (cf.replace(" F=T,", ""), SUBMIT, 1, "default-action", "bad", "Xconsent-milter", "F=T, T=C:10s"),
                (cf.replace("R:15s", "R:5s"), SUBMIT, 1, "content-timeout", "bad", "Xconsent-milter", "R:15s"),
                (cf.replace("Filters=consent-milter", "Filters="), SUBMIT, 1, "smtpd_milters", "bad",
                 "O InputMailFilters", "InputMailFilters=consent-milter"),
                (cf, "", 1, "non_smtpd_milters", "bad", "submit.cf", "FEATURE(`msp'")):
            with self.subTest(expected):
                for name, content in (("sendmail.cf", text), ("submit.cf", submit)):
                    with open(os.path.join(directory, name), "w", encoding="utf-8") as stream:
                        stream.write(content)
                self.only(self.findings(*arguments, code=code), *expected)


class RunningTest(harness.WorldCase):
    """What the doctor learns from a filter that runs."""

    def findings(self, code):
        result = self.world.ctl.run("--json", "doctor", "--postfix", "--postfix-config", self.world.postfix.config,
                                    ok=(code,))
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_macros_that_came_and_that_did_not(self):
        self.world.grant("ann@doctor.test")
        self.assertEqual(250, self.world.send(["ann@doctor.test"])[1].code)
        rows = self.findings(0)
        self.assertEqual([], [row for row in rows if row["finding"] in ("daemon", "macro")], rows)
        # Another run of the filter, and a mail server that sends no macros.
        self.world.milter.stop()
        self.world.milter.start()
        with MilterSession(self.world.milter.socket_path).negotiate() as mta:
            mta.connect()
            mta.mail("<letter@news.acme.example>")
            mta.rcpt("<ann@doctor.test>")
            mta.message()
        rows = [row for row in self.findings(0) if row["finding"] == "macro"]
        self.assertEqual({"{auth_authen} at mail", "{mail_addr} at mail", "{rcpt_addr} at rcpt"},
                         {row["where"].split(": ")[1] for row in rows})
        self.assertEqual({"warn"}, {row["health"] for row in rows})

    def test_a_postfix_that_was_told_to_send_fewer(self):
        """Its own lists take no macro away: the filter asks for each by name, and Postfix heeds that at any version."""
        self.world.grant("ben@doctor.test")
        self.addCleanup(self.restart, "")
        for version in (6, 2):
            with self.subTest(version):
                self.restart("milter_mail_macros =\nmilter_rcpt_macros =\nmilter_end_of_data_macros =\n"
                             f"milter_protocol = {version}\n")
                self.assertEqual(250, self.world.send(["ben@doctor.test"])[1].code)
                rows = self.findings(0)
                self.assertEqual([], [row for row in rows if row["finding"] in ("daemon", "macro")], rows)

    def restart(self, text):
        """Both: the filter counts anew, and Postfix reads what was added to its configuration."""
        self.world.postfix.stop()
        self.world.milter.stop()
        self.world.postfix.write_config()
        with open(os.path.join(self.world.postfix.config, "main.cf"), "a", encoding="utf-8") as stream:
            stream.write(text)
        self.world.milter.start()
        self.world.postfix.start()


if __name__ == "__main__":
    harness.main()
