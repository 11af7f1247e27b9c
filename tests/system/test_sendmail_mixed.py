"""More of a real Sendmail: mixed recipients, honesty, observing, SMTP AUTH, and messages that RSET ends.

Sendmail hands a message to the filter only when it has all of it, removes a
recipient only by the very text that it was given, and keeps what is in
quarantine as an hf file in its queue.
"""

import base64
import os
import subprocess

import sendmail_world
from harness import LIST_ID, LIST_ID_CONDITION, NEWS, OFFERS_PURPOSE, SHOP, compose, decision_id, stream, wait_for
from sendmail_world import SendmailCase, SendmailWorld, sendmail_streams
from test_observe import FORGED, STATUS, TAG
from test_sendmail_recipients import FORMS

UNSUBSCRIBE = ("List-Unsubscribe", "<https://acme.example/leave>")


class MixedCase(SendmailCase):
    """Whoever may have offers waits for the end; List-Id then makes the message news."""

    mixed = "reject"

    @classmethod
    def make_world(cls):
        news, receipts = sendmail_streams(headers=LIST_ID_CONDITION)
        offers = stream("acme-offers", purpose="offers", match={"daemon": ["submission"]})
        return SendmailWorld(streams=(news | {"mixed": cls.mixed}, offers, receipts))

    def people(self, name):
        """One who may have news, and two who may have only offers, as they are written in RCPT and delivered to."""
        yes, upper, quoted = f"{name}@mixed.test", f"{name}-no1@mixed.test", f"{name}-no2@mixed.test"
        self.world.grant(yes)
        self.world.grant(upper, quoted, purpose=OFFERS_PURPOSE)
        return [f"<{name}-No1@MIXED.Test>", f"<{yes}>", f'<"{name}-no2"@mixed.test>'], yes

    def send_news(self, arguments):
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            for argument in arguments:
                self.assert_accepted(smtp.rcpt_raw(argument))
            return smtp.data(compose(NEWS, "list@acme.example", headers=[LIST_ID]))

    def got(self, name):
        self.world.postfix.settle()
        return [recipient for recipient in self.world.sink.recipients() if name in recipient.lower()]

    def news_lines(self, mark):
        return [line for line in self.world.milter.decisions(mark) if line["stream"] == "acme-news"]

    def assert_none_left(self, name):
        arguments, _ = self.people(name)
        self.assert_refused(self.send_news([arguments[0], arguments[2]]))
        self.assertEqual([], self.got(name))

    def assert_nothing_on_store_trouble(self, name):
        arguments, _ = self.people(name)
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            for argument in arguments:
                self.assert_accepted(smtp.rcpt_raw(argument))
            self.world.redis.stop()
            try:
                final = smtp.data(compose(NEWS, "list@acme.example", headers=[LIST_ID]))
            finally:
                self.world.redis.start()
        self.assert_deferred(final)
        self.world.until_rcpt(550, f"{name}-back@mixed.test")
        self.assertEqual([], self.got(name))


class RejectTest(MixedCase):
    def test_one_refusal_refuses_all(self):
        arguments, _ = self.people("ann")
        mark = self.world.milter.mark()
        identifier = self.assert_refused(self.send_news(arguments))
        self.assert_logged(identifier, verdict="refuse", reason="no_consent", stream="acme-news")
        self.assertEqual(3, len(self.news_lines(mark)))
        self.assertEqual([], self.got("ann"))

    def test_a_message_is_not_answered_as_the_one_before(self):
        self.world.grant("bea@mixed.test")
        self.world.grant("bert@mixed.test", purpose=OFFERS_PURPOSE)
        seen = []
        with self.world.session() as smtp:
            for number, recipient in enumerate(("bert", "bea", "bert", "bea")):
                smtp.mail(NEWS)
                self.assert_accepted(smtp.rcpt(f"{recipient}@mixed.test"))
                final = smtp.data(compose(NEWS, f"{recipient}@mixed.test", headers=[LIST_ID]))
                if number % 2 == 0:
                    seen.append(self.assert_refused(final, "bert@mixed.test"))
                else:
                    self.assert_accepted(final)
                    self.assertIsNone(decision_id(final.text), str(final))
        self.assertEqual(2, len(set(seen)))
        self.assertEqual(["bea@mixed.test"] * 2, self.got("bea") + self.got("bert"))

    def test_nothing_passes_while_the_store_is_away(self):
        self.assert_nothing_on_store_trouble("cleo")


class RemoveTest(MixedCase):
    mixed = "remove"

    def test_the_permitted_one_gets_it(self):
        arguments, yes = self.people("dora")
        mark = self.world.milter.mark()
        self.assert_accepted(self.send_news(arguments))
        self.assertEqual([yes], self.got("dora"))
        lines = self.news_lines(mark)
        self.assertEqual([("refuse", "removed"), ("accept", None), ("refuse", "removed")],
                         [(line["verdict"], line.get("action")) for line in lines])

    def test_none_left_is_refused(self):
        self.assert_none_left("emil")

    def test_nothing_is_removed_while_the_store_is_away(self):
        self.assert_nothing_on_store_trouble("eva")

    def test_every_form_of_a_recipient_is_removed(self):
        taken = 0
        for number, (form, (template, mailbox)) in enumerate(FORMS.items()):
            with self.subTest(form), self.world.session() as smtp:
                user, yes = f"rm{number:02}x", f"ok{number:02}x@odd.test"
                self.world.grant(yes)
                self.world.grant(mailbox.format(u=user), purpose=OFFERS_PURPOSE)
                smtp.mail(NEWS)
                self.assert_accepted(smtp.rcpt(yes))
                answer = smtp.rcpt_raw(template.format(u=user, U=user.upper()))
                taken += answer.code == 250
                self.assert_accepted(smtp.data(compose(NEWS, yes, headers=[LIST_ID])))
                self.assertEqual([yes], self.got(yes))
                self.assertEqual([], self.got(user))
        self.assertGreater(taken, len(FORMS) / 2)


class QuarantineTest(MixedCase):
    mixed = "quarantine"

    def test_the_message_is_held(self):
        arguments, yes = self.people("fay")
        mark = self.world.milter.mark()
        self.assert_accepted(self.send_news(arguments))
        held = wait_for(lambda: [name for name in self.world.postfix.queue_files() if name[0] == "h"], "an hf file")
        self.assertEqual(1, len(held), held)
        with open(os.path.join(self.world.postfix.queue, held[0]), encoding="latin-1") as file:
            self.assertIn(yes, file.read())
        self.assertEqual([], self.got("fay"))
        lines = self.news_lines(mark)
        self.assertEqual(["quarantined"] * 3, [line.get("action") for line in lines])
        self.assertEqual(held[0], f"hf{lines[0].queue_id}")

    def test_none_left_is_refused(self):
        self.assert_none_left("flo")

    def test_nothing_is_held_while_the_store_is_away(self):
        before = self.world.postfix.queue_files()
        self.assert_nothing_on_store_trouble("gus")
        self.assertEqual(before, self.world.postfix.queue_files())


class HonestyCase(SendmailCase):
    honesty = "refuse"

    @classmethod
    def make_world(cls):
        return SendmailWorld(settings={"service_honesty": cls.honesty})

    def send_receipt(self, recipient, *headers):
        answers, final = self.world.send([recipient], sender=SHOP, headers=headers)
        self.assert_accepted(answers[0])
        return final


class HonestyRefuseTest(HonestyCase):
    def test_a_service_message_with_the_marks_of_bulk_mail_is_refused(self):
        identifier = self.assert_refused(self.send_receipt("hans@honesty.test", UNSUBSCRIBE))
        self.assert_logged(identifier, reason="service_dishonest", stream="acme-receipts", verdict="refuse")
        self.assert_accepted(self.send_receipt("helga@honesty.test"))
        self.assert_delivered("helga@honesty.test")
        self.assert_never_delivered("hans@honesty.test")


class HonestyLogTest(HonestyCase):
    honesty = "log"

    def test_a_service_message_with_the_marks_of_bulk_mail_is_told(self):
        mark = self.world.milter.mark()
        self.assert_accepted(self.send_receipt("ida@honesty.test", UNSUBSCRIBE))
        self.world.milter.wait_log("a service message carries the marks of bulk mail", since=mark)
        self.assert_delivered("ida@honesty.test")


class ObserveTest(SendmailCase):
    @classmethod
    def make_world(cls):
        news, receipts = sendmail_streams()
        return SendmailWorld(streams=(news | {"mode": "observe"}, receipts))

    def statuses(self, recipient):
        self.assert_delivered(recipient)
        message = [m for m in self.world.sink.taken() if recipient in m.recipients][-1]
        return [value.decode() for value in STATUS.findall(message.content.split(b"\r\n\r\n", 1)[0])]

    def assert_tag(self, recipient, verdict, reason):
        statuses = self.statuses(recipient)
        self.assertEqual(1, len(statuses), statuses)
        found = TAG.match(statuses[0])
        self.assertIsNotNone(found, statuses)
        self.assertEqual((verdict, reason), found.group(1, 2))
        self.assert_logged(found.group(3), verdict=verdict, reason=reason, mode="observe")

    def test_forged_copies_are_removed_and_one_is_added(self):
        _, final = self.world.send(["jim@observe.test"], headers=FORGED)
        self.assert_accepted(final)
        self.assert_tag("jim@observe.test", "refuse", "no_consent")

    def test_forged_copies_are_removed_where_none_is_added(self):
        self.world.grant("jo@observe.test")
        for sender in (NEWS, SHOP):
            _, final = self.world.send(["jo@observe.test"], sender=sender, headers=FORGED)
            self.assert_accepted(final)
            self.assertEqual([], self.statuses("jo@observe.test"))

    def test_store_down(self):
        self.world.redis.stop()
        try:
            _, final = self.world.send(["kim@observe.test"], headers=FORGED)
        finally:
            self.world.redis.start()
        self.assert_accepted(final)
        self.assert_tag("kim@observe.test", "defer", "trouble")


class ResetTest(SendmailCase):
    """Sendmail says nothing of RSET to a filter that wants no reply to MAIL."""

    def transactions(self):
        return self.world.ctl.json("daemon", "status")["transactions"]

    def test_a_refused_message_that_was_reset_is_not_waited_for(self):
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_refused(smtp.rcpt("lea@main.test"))
            self.assertEqual(250, smtp.rset().code)
            self.assertEqual(0, self.transactions())
            self.world.ctl.run("daemon", "drain")
            self.world.ctl.run("daemon", "drain", "--end")

    def test_a_message_is_waited_for_until_its_end(self):
        self.world.grant("mia@main.test")
        with self.world.session() as smtp:
            for number in range(2):
                smtp.mail(NEWS)
                self.assertEqual(0, self.transactions())
                self.assert_accepted(smtp.rcpt("mia@main.test"))
                self.assert_refused(smtp.rcpt("max@main.test"))
                self.assertEqual(1, self.transactions())
                if number == 0:
                    self.assertEqual(250, smtp.rset().code)
            self.assert_accepted(smtp.data(compose(NEWS, "mia@main.test")))
            self.assertEqual(0, self.transactions())

    def test_a_stop_defers_what_has_no_recipient_yet_and_nothing_else(self):
        self.world.grant("mo@main.test")
        with self.world.session() as early, self.world.session() as late:
            early.mail(NEWS)
            self.assert_accepted(early.rcpt("mo@main.test"))
            late.mail(NEWS)
            mark = self.world.milter.mark()
            drain = subprocess.Popen([self.world.ctl.path, "-c", self.world.config_path, "daemon", "drain"],
                                     stdout=subprocess.DEVNULL)
            try:
                self.world.milter.wait_log("said: drain", since=mark)
                self.assertEqual(451, late.rcpt("mo@main.test").code)
                self.assert_accepted(early.rcpt("mo@main.test"))
                self.assert_accepted(early.data(compose(NEWS, "mo@main.test")))
                self.assertEqual(0, drain.wait(10))
            finally:
                drain.kill()
                drain.wait()
            self.world.ctl.run("daemon", "drain", "--end")
            self.assert_accepted(late.rcpt("mo@main.test"))


class CanaryTest(SendmailCase):
    @classmethod
    def make_world(cls):
        world = SendmailWorld()
        path = os.path.join(world.directory, "canaries")
        with open(path, "w", encoding="utf-8") as file:
            file.write("seed@canary.test\n")
        world.reconfigure(canaries=path)
        return world

    def test_a_recipient_raises_the_alarm(self):
        mark = self.world.milter.mark()
        self.assertEqual(550, self.world.rcpt("Seed@CANARY.Test").code)
        self.world.milter.wait_log(r"session=\S+ canary=1 stream=acme-news ", mark)


class AuthTest(SendmailCase):
    @classmethod
    def make_world(cls):
        return SendmailWorld(streams=(stream("acme-news", match={"auth": ["anonymous"]}),),
                             settings={"outgoing": {"auth": ["*"]}})

    def test_a_stream_is_known_by_who_logged_in(self):
        with self.world.session("relay") as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("nora@main.test"))
            self.assertEqual(250, smtp.rset().code)
            self.assertEqual(235, smtp.command(f"AUTH ANONYMOUS {base64.b64encode(b'letters').decode()}").code)
            smtp.mail(NEWS)
            identifier = self.assert_refused(smtp.rcpt("nora@main.test"))
            self.assert_logged(identifier, stream="acme-news", auth="anonymous")


if __name__ == "__main__":
    sendmail_world.main()
