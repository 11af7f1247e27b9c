"""consentctl explain: a kept refusal, an acceptance derived again, a message tried offline, and how long ids live."""

import json
import re

import harness
from harness import LIST_ID, LOGIN, NEWS, NEWS_PURPOSE, news_stream, receipts_stream, stream
from rig.milter import decision_id
from rig.proc import wait_for

NEVER = "never@explain.test"


class Explain(harness.WorldCase):
    @classmethod
    def make_world(cls):
        return harness.World(settings={"explain_days": "2d"},
                             streams=(news_stream(), receipts_stream(),
                                      stream("acme-declared", match={"auth": ["second"]},
                                             purpose="newsletter", mode="observe")))

    @property
    def ctl(self):
        return self.world.ctl

    def accepted(self, recipient):
        """One RCPT that passes; the id of its decision."""
        since = self.world.milter.mark()
        self.assert_accepted(self.world.rcpt(recipient))
        line, = wait_for(lambda: self.world.milter.decisions(since), "a decision", 10, 0.1)
        return line

    def test_a_kept_refusal_tells_all_it_went_by(self):
        identifier = self.assert_refused(self.world.rcpt(NEVER))
        text = self.world.explain(identifier)
        for word in ("no_consent", 'auth meets "acme-mailer", mail_from meets "*@news.acme.example"', "law 8:",
                     "generation: 1", "is the same since", "stream: acme-news", f"auth: {LOGIN}"):
            self.assertIn(word, text)
        self.assertNotIn(NEVER, text)
        with open(self.world.config_path, "a", encoding="utf-8") as config:
            config.write("# changed\n")
        self.assertIn("is another one since", self.world.explain(identifier))

    def test_a_kept_refusal_tells_the_events_that_were_seen(self):
        person = "seen@explain.test"
        self.world.grant(person)
        self.world.withdraw(person)
        identifier = self.assert_refused(self.world.rcpt(person))
        self.world.grant(person)
        text = self.world.explain(identifier)
        self.assertRegex(text, r"(?m)^  \d{4}-\d\d-\d\dT\S+ grant: acme/newsletter grant given, applied, statement 1$")
        self.assertRegex(text, r"(?m)^  \d{4}-\d\d-\d\dT\S+ withdraw: acme/newsletter stop withdrawn, applied")
        self.assertIn("\n  2, and 1 since\n", text)
        self.assertEqual(2, self.ctl.json("explain", identifier)["events"])

    def test_an_acceptance_is_derived_again_after_a_withdrawal(self):
        for recipient in ("past@explain.test", "past+tag@gmail.com"):
            self.world.grant(recipient)
            line = self.accepted(recipient)
            self.world.withdraw(recipient)
            identifier = line["id"]
            unkept = self.ctl.run("explain", identifier, ok=(65,)).stderr
            self.assertIn("kept for 2 days", unkept)
            row = self.ctl.json("explain", identifier, "--rcpt", recipient, "--stream", "acme-news")
            self.assertEqual(("accept", "express", 8, 1, 1, True),
                             tuple(row[key] for key in ("verdict", "reason", "law", "events", "later", "derived")))
            text = self.ctl.run("explain", identifier, "--rcpt", recipient, "--purpose", NEWS_PURPOSE).stdout
            self.assertIn("Derived again from the ledger", text)
            other = self.ctl.run("explain", identifier, "--rcpt", "else@explain.test", "--purpose", NEWS_PURPOSE, ok=(65,))
            self.assertIn("was not about this address", other.stderr)

    def test_the_family_of_the_log_is_whole(self):
        self.world.grant("a.b.c@gmail.com")
        line = self.accepted("a.b.c@gmail.com")
        self.assertRegex(line["family"], "^[0-9a-f]{16}$")
        self.assertEqual("1", line["pepper"])

    def test_a_message_tried_is_answered_as_it_would_be(self):
        self.world.grant("tried@explain.test")
        since = self.world.milter.mark()
        before = len(self.world.milter.decisions(since))
        for recipient in ("tried@explain.test", NEVER, "not an address"):
            rows = self.rows("--from", NEWS, "--auth", LOGIN, "--rcpt", recipient)
            tried, = [row["reply"] for row in rows if row["stage"] == f"RCPT <{recipient}>"]
            self.assertEqual(before, len(self.world.milter.decisions(since)))
            if recipient == "tried@explain.test":
                self.assertIsNone(tried)
            elif "@" in recipient:
                real = self.world.rcpt(recipient)
                self.assertEqual(self.without_id(real.lines[0]), self.without_id(tried))
                before += 1
            else:
                self.assertTrue(tried.startswith("550 5.1.3"), tried)

    def test_headers_and_the_end(self):
        text = self.ctl.run("explain", "--from", NEWS, "--auth", "third", "--rcpt", NEVER, "--header",
                            ": ".join(LIST_ID), "--header", "Subject: x").stdout
        self.assertIn("undeclared_bulk", text)
        self.assertIn("end: 550 5.7.1", text)
        text = self.ctl.run("explain", "--from", NEWS, "--auth", "third", "--rcpt", NEVER).stdout
        self.assertIn("end: passes", text)
        self.assertIn("no stream takes this session", text)
        self.assertIn("it may belong to stream -", text)
        self.ctl.run("explain", "--from", NEWS, "--rcpt", NEVER, "--header", "nothing", ok=(64,))

    def test_old_refusals_are_forgotten(self):
        identifier = self.assert_refused(self.world.rcpt(NEVER))
        self.world.explain(identifier)
        command = self.world.redis.command
        key = command("KEYS", "r:{*}")[0]
        kept = len(command("XRANGE", key, "-", "+"))
        other = "old:" + key.decode()
        command("RENAME", key, other)
        seconds = int(command("TIME")[0])
        command("XADD", key, str((seconds - 3 * 86400) * 1000), "id", "old", "d", "{}")
        command("XADD", key, str((seconds - 86400) * 1000), "id", "young", "d", "{}")
        self.world.milter.stop()
        self.world.milter.start()
        wait_for(lambda: len(command("XRANGE", key, "-", "+")) == 1, "the old one to go", 20, 0.2)
        self.assertEqual(b"young", command("XRANGE", key, "-", "+")[0][1][1])
        self.assertGreater(kept, 0)

    def rows(self, *arguments):
        return [json.loads(line) for line in self.ctl.run("--json", "explain", *arguments).stdout.splitlines()]

    @staticmethod
    def without_id(reply):
        identifier = decision_id(reply)
        assert identifier, reply
        return re.sub(r"^550.5\.7\.1 (<\S*>: Recipient address rejected: )?", "", reply.replace(identifier, "ID"))


if __name__ == "__main__":
    harness.main()
