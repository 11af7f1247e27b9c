"""consentctl replay: a real log of the milter and a mailbox, by the records of now and by another configuration."""

import json
import os

import harness
from harness import LOGIN, SHOP, news_stream, receipts_stream, stream
from rig.milter import write_libconfig
from rig.proc import wait_for

MBOX = """\
From letter@news.acme.example Tue Nov 24 02:00:00 2026
Return-Path: <letter@news.acme.example>
To: "Stays, and more" <stays@replay.test>,
\tNever (he says) <never@replay.test>
Subject: one

From the body, not a message
 body

From x@elsewhere.test Tue Nov 24 02:00:01 2026
Delivered-To: stays@replay.test
To: never@replay.test
Return-Path: <letter@news.acme.example>

two

From nobody Tue Nov 24 02:00:02 2026
Subject: to nobody

three
"""


class Replay(harness.WorldCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        for address in ("stays@replay.test", "leaves@replay.test", "l.eaves@gmail.com"):
            world.grant(address)
        for address in ("stays@replay.test", "leaves@replay.test", "l.eaves@gmail.com", "never@replay.test"):
            world.rcpt(address)
        world.rcpt("stays@replay.test", sender=SHOP)
        wait_for(lambda: len(world.milter.decisions()) >= 5, "five decisions", 10, 0.1)
        world.withdraw("leaves@replay.test")
        world.withdraw("leaves@gmail.com")
        cls.log = cls.file("mail.log", "".join(f"Nov 24 02:00:00 mx consent-milter[7]: {line}\n"
                                               for line in world.milter.log().splitlines()))

    @classmethod
    def file(cls, name, text):
        path = os.path.join(cls.world.directory, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def replay(self, *arguments, code):
        result = self.world.ctl.run("--json", "replay", *arguments, ok=(code,))
        *rows, total = [json.loads(line) for line in result.stdout.splitlines()]
        return rows, total, result

    def with_streams(self, *streams):
        path = os.path.join(self.world.directory, "new.conf")
        write_libconfig(path, self.world.config | {"streams": streams})
        return path

    def test_what_changed_since(self):
        rows, total, _ = self.replay("--log", self.log, code=1)
        self.assertEqual((5, 3, 0, 2, 0), tuple(total[k] for k in ("decisions", "refused", "unknown", "changed",
                                                                  "unreadable")))
        changed = [row for row in rows if row["changed"]]
        self.assertEqual({("accept", "express", "refuse", "withdrawn")},
                         {(row["was_verdict"], row["was_reason"], row["verdict"], row["reason"]) for row in changed})
        table = self.world.ctl.run("replay", "--log", self.log, ok=(1,)).stdout
        self.assertRegex(table, r"acme-news +accept express +-> refuse withdrawn +2\n")
        self.assertIn("3 would be refused, 0 are not known, 2 change", table)

    def test_another_configuration(self):
        observing = self.with_streams(news_stream() | {"mode": "observe"}, receipts_stream())
        rows, total, _ = self.replay("--log", self.log, "--config", observing, code=1)
        self.assertEqual(4, total["changed"])
        self.assertTrue(all(row["observed"] for row in rows if row["stream"] == "acme-news"))
        offers = self.with_streams(news_stream() | {"purpose": "offers"}, receipts_stream())
        _, total, _ = self.replay("--log", self.log, "--config", offers, code=1)
        self.assertEqual((4, 3), (total["refused"], total["changed"]))
        gone = self.with_streams(receipts_stream(), stream("other", match={"auth": [LOGIN]}))
        _, total, result = self.replay("--log", self.log, "--config", gone, code=75)
        self.assertEqual((0, 4), (total["refused"], total["unknown"]))
        self.assertIn("lacks a stream", result.stderr)

    def test_lines_that_cannot_be_read_are_named(self):
        with open(self.log, encoding="utf-8") as log:
            good = [line for line in log if "stream=acme-receipts" in line]
        path = self.file("cut.log", "mx postfix/smtpd[1]: connect\n" + good[0] + good[0][:-80] + "\n")
        _, total, result = self.replay("--log", path, code=75)
        self.assertEqual((1, 1), (total["decisions"], total["unreadable"]))
        self.assertIn(f"{path}:3", result.stderr)
        self.replay("--log", self.file("good.log", good[0]), code=0)

    def test_another_pepper_is_not_known(self):
        with open(self.log, encoding="utf-8") as log:
            text = log.read().replace("pepper=1", "pepper=2")
        _, total, result = self.replay("--log", self.file("pepper.log", text), code=75)
        self.assertEqual((4, 0), (total["unknown"], total["refused"]))
        self.assertIn("another pepper", result.stderr)

    def test_a_mailbox(self):
        path = self.file("sent.mbox", MBOX)
        since = len(self.world.milter.decisions())
        for session in (("--auth", LOGIN), ("--stream", "acme-news")):
            rows, total, result = self.replay("--mbox", path, *session, code=1)
            self.assertEqual([("accept", "express"), ("refuse", "no_consent"), ("accept", "express")],
                             [(row["verdict"], row["reason"]) for row in rows])
            self.assertEqual((3, 1, 0), (total["decisions"], total["unreadable"], total["changed"]))
            self.assertIn(f"{path}:17", result.stderr)
        self.assertEqual(since, len(self.world.milter.decisions()))
        offers = self.with_streams(news_stream() | {"purpose": "offers"}, receipts_stream())
        rows, _, _ = self.replay("--mbox", path, "--auth", LOGIN, "--config", offers, code=1)
        self.assertEqual({"no_consent"}, {row["reason"] for row in rows})

    def test_use(self):
        for arguments in ((), ("--log", self.log, "--mbox", self.log), ("--log", self.log, "--auth", "x"),
                          ("--mbox", self.log, "--stream", "x", "--auth", "y")):
            self.world.ctl.run("replay", *arguments, ok=(64,))
        self.world.ctl.run("replay", "--log", "/nowhere", ok=(66,))
        self.world.ctl.run("replay", "--mbox", self.log, "--stream", "none", ok=(65,))


if __name__ == "__main__":
    harness.main()
