"""Canaries: one RCPT of marketing mail to an address that was planted raises the alarm."""

import os
import re
import signal

import harness
from harness import LOGIN, SHOP, SINK_PORT, World, WorldCase, news_stream, receipts_stream, stream
from rig.proc import wait_for
from test_metrics import scrape

METRICS = "127.0.0.1:9180"
OFFICER = "privacy@acme.example"
ALARMS = "consent-milter@acme.example"
SEED, GMAIL = "seed@canary.test", "other.seed@gmail.com"
RAISED = "consent_milter_canary_recipients_total"
MAILED = "consent_milter_alarm_mails_total"


class CanaryCase(WorldCase):
    mail = {"server": f"127.0.0.1:{SINK_PORT}", "from": ALARMS}

    @classmethod
    def make_world(cls):
        world = World(streams=[news_stream(), receipts_stream(),
                               stream("acme-watched", mode="observe", match={"auth": ["watched"]})])
        cls.file = os.path.join(world.directory, "canaries")
        with open(cls.file, "w", encoding="utf-8") as file:
            file.write(f"# planted in June\n{SEED}\n\n{GMAIL}\n")
        world.reconfigure(canaries=cls.file, metrics={"listen": METRICS}, service_stops=["complained"],
                          **({"mail": cls.mail} if cls.mail else {}))
        return world

    def alarms(self):
        return [message for message in self.world.sink.messages if message.recipients == [OFFICER]]

    def raised(self):
        return scrape().value(RAISED)


class MailTest(CanaryCase):
    def test_one_recipient_is_logged_counted_and_mailed_once(self):
        mark = self.world.milter.mark()
        self.assertEqual(550, self.world.rcpt(SEED).code)
        self.world.milter.wait_log(rf"warning: \w+: session=\S+ canary=2 stream=acme-news client=127.0.0.1 auth={LOGIN}\n", mark)
        self.assertEqual(1, self.raised())
        mail = wait_for(self.alarms, "a mail to the officer")[0]
        self.assertEqual(ALARMS, mail.sender)
        text = mail.content.decode("ascii")
        head, body = text.split("\r\n\r\n", 1)
        for line in (f"To: <{OFFICER}>", f"From: <{ALARMS}>", "Auto-Submitted: auto-generated",
                     "Subject: Marketing mail to a canary"):
            self.assertIn(line + "\r\n", head + "\r\n")
        self.assertRegex(head, r"(?m)^Message-ID: <\S+@\S+>\r?$")
        self.assertIn(f"line 2 of {self.file}\r\n", body)
        self.assertIn(LOGIN, body)
        self.assertEqual([], re.findall(rf"{SEED}|gmail", text + self.world.milter.log()[mark:]))
        wait_for(lambda: scrape().value(MAILED, result="sent") == 1, "the mail to be counted")
        # In every form that reaches the mailbox, and without another mail before its time.
        for number, form in enumerate((SEED.upper(), "OtherSeed@gmail.com", "other.seed+x@gmail.com"), 2):
            self.world.rcpt(form)
            wait_for(lambda n=number: self.raised() == n, form)
        self.assertEqual(1, len(self.alarms()))


class AlarmTest(CanaryCase):
    def test_observed_mail_alarms_too(self):
        before = self.raised()
        self.assertEqual(250, self.world.rcpt(SEED, login="watched").code)
        self.assertEqual(before + 1, self.raised())

    def test_others_and_service_mail_do_not(self):
        before = self.raised()
        self.world.rcpt("seeds@canary.test")
        self.world.rcpt(SEED, login=None)
        self.assertEqual(250, self.world.rcpt(SEED, sender=SHOP).code)
        self.assertEqual(before, self.raised())

    def test_a_reload_reads_the_file_anew_or_keeps_the_old(self):
        before = self.raised()
        with open(self.file, "a", encoding="utf-8") as file:
            file.write("late@canary.test\n")
        self.world.ctl.run("daemon", "reload")
        self.world.rcpt("late@canary.test")
        self.assertEqual(before + 1, self.raised())
        with open(self.file, "a", encoding="utf-8") as file:
            file.write("no address\n")
        mark = self.world.milter.mark()
        os.kill(self.world.milter.pid, signal.SIGUSR1)
        self.world.milter.wait_log(r"canaries: \S+/canaries:6: is no mail address", mark)
        self.world.rcpt(SEED)
        self.assertEqual(before + 2, self.raised())


class NoServerTest(CanaryCase):
    mail = {"server": "127.0.0.1:9", "from": ALARMS}

    def test_a_mail_server_that_is_away_is_said_and_delays_nothing(self):
        mark = self.world.milter.mark()
        self.assertEqual(550, self.world.rcpt(SEED).code)
        self.world.milter.wait_log(r"the officer was not told of a canary: 127\.0\.0\.1:9 did not take", mark, 15)
        self.assertEqual(1, scrape().value(MAILED, result="failed"))


class NoMailTest(CanaryCase):
    mail = None

    def test_without_a_mail_server_the_log_has_it(self):
        mark = self.world.milter.mark()
        self.world.rcpt(SEED)
        self.world.milter.wait_log("canary=2", mark)
        self.assertEqual([], self.alarms())


if __name__ == "__main__":
    harness.main()
