"""Messages that some recipients may have and others may not: rejected, removed from, or held.

Postfix removes a recipient only by the very text that it holds, and says nothing
if it finds none. So what counts here is who got the mail.
"""

import harness
from harness import LIST_ID, LIST_ID_CONDITION, LOGIN, NEWS, NEWS_PURPOSE, OFFERS_PURPOSE, World, WorldCase, compose, \
    stream, wait_for
from rig.mta import ALL_ACTIONS, CHANGE_HEADER, DELETE_RECIPIENT, MilterSession
from test_recipients import FORMS, STRANGE, UTF8_FORMS


def streams(mixed):
    """Whoever may have offers waits for the end; List-Id then makes the message news."""
    match = {"auth": [LOGIN], "mail_from": ["*@news.acme.example"]}
    return [
        stream("news", mixed=mixed, match=match | {"headers": LIST_ID_CONDITION}),
        stream("offers", purpose="offers", match=match),
        stream("local", mixed=mixed, match={"local": True}),
    ]


class MixedCase(WorldCase):
    mixed = "reject"

    @classmethod
    def make_world(cls):
        return World(streams=streams(cls.mixed))

    def people(self, name):
        """Two who may have news and one who may have only offers."""
        yes = [f"{name}1@mixed.test", f"{name}2@mixed.test"]
        no = f"{name}-no@mixed.test"
        self.world.grant(*yes)
        self.world.grant(no, purpose=OFFERS_PURPOSE)
        return yes, no

    def send_news(self, *recipients):
        answers, final = self.world.send(recipients, headers=[LIST_ID])
        self.assertEqual([250] * len(recipients), [reply.code for reply in answers])
        return final

    def assert_nothing_on_store_trouble(self, name):
        yes, no = self.people(name)
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            for recipient in (yes[0], no, yes[1]):
                self.assert_accepted(smtp.rcpt(recipient))
            self.world.redis.stop()
            try:
                final = smtp.data(compose(NEWS, yes[0], headers=[LIST_ID]))
            finally:
                self.world.redis.start()
        self.assert_deferred(final)
        self.world.until_rcpt(550, f"{name}-back@mixed.test")
        self.assert_never_delivered(*yes, no)

    def assert_none_left(self, name):
        names = [f"{name}{i}@mixed.test" for i in range(3)]
        self.world.grant(*names, purpose=OFFERS_PURPOSE)
        self.assert_refused(self.send_news(*names), names[0])
        self.assert_never_delivered(*names)


class RejectTest(MixedCase):
    def test_one_refusal_refuses_all(self):
        yes, no = self.people("ann")
        self.assert_refused(self.send_news(yes[0], no, yes[1]), no)
        self.assert_never_delivered(*yes, no)


class RemoveTest(MixedCase):
    mixed = "remove"

    def test_the_others_get_it(self):
        yes, no = self.people("bob")
        mark = self.world.milter.mark()
        self.assert_accepted(self.send_news(yes[0], no, yes[1]))
        self.assert_delivered(*yes)
        self.assert_never_delivered(no)
        lines = [line for line in self.world.milter.decisions(mark) if line["stream"] == "news"]
        self.assertEqual([("accept", None), ("refuse", "removed"), ("accept", None)],
                         [(line["verdict"], line.get("action")) for line in lines])
        self.assertIn(f"{lines[1]['id']}", self.world.explain(lines[1]["id"]))

    def test_none_left_is_refused(self):
        self.assert_none_left("carl")

    def test_nothing_is_removed_while_the_store_is_away(self):
        self.assert_nothing_on_store_trouble("dora")

    def at_the_end(self, recipients, actions=ALL_ACTIONS, wait=True):
        """The mail server's side of a message with a forged status: the answer, and what was changed."""
        with MilterSession(self.world.milter.socket_path).negotiate(actions) as mta:
            mta.connect()
            mta.mail(f"<{NEWS}>", auth_authen=LOGIN, mail_addr=NEWS)
            for recipient in recipients:
                self.assertEqual(250, mta.rcpt(f"<{recipient}>", rcpt_addr=recipient).code)
            return mta.message([LIST_ID, ("X-Consent-Status", "forged")], wait=wait), mta.changes

    def test_a_mail_server_that_offers_less(self):
        yes, no = self.people("kim")
        for actions, code, changes in ((ALL_ACTIONS, 250, "-m"), (ALL_ACTIONS & ~CHANGE_HEADER, 250, "-"),
                                       (ALL_ACTIONS & ~DELETE_RECIPIENT, 550, "")):
            with self.subTest(actions):
                answer, changed = self.at_the_end([yes[0], no], actions)
                self.assertEqual((code, changes), (answer.code, changed))
        self.world.milter.wait_log("the mail server does not let us remove recipients; mixed = \"reject\" is done")

    def test_a_mail_server_that_goes_at_the_end(self):
        yes, no = self.people("lea")

        def went():
            self.at_the_end([yes[0], no], wait=False)
            return "did not take a change of a message; it is deferred" in self.world.milter.log()

        wait_for(went, "a removal that nobody took", 20, 0.1)
        self.assertEqual("-m", self.at_the_end([yes[0], no])[1])

    def raw_message(self, arguments, port="relay"):
        """Raw RCPT arguments; those that are not taken are left out. The answer to the end."""
        with self.world.session(port) as smtp:
            smtp.command(f"MAIL FROM:<{NEWS}> SMTPUTF8")
            for argument in arguments:
                smtp.command(f"RCPT TO:{argument}".encode())
            return smtp.data(compose(NEWS, "x@odd.test", headers=[LIST_ID]))

    def got(self):
        self.world.postfix.settle()
        return [recipient.lower() for recipient in self.world.sink.recipients()]

    def test_every_form_of_a_recipient_is_removed(self):
        for number, (form, (argument, address)) in enumerate((FORMS | UTF8_FORMS).items()):
            with self.subTest(form):
                user, yes = f"rm{number}", f"ok{number}@odd.test"
                self.world.grant(yes)
                self.world.grant(address.format(u=user), purpose=OFFERS_PURPOSE)
                final = self.raw_message([f"<{yes}>", argument.format(u=user, U=user.upper())])
                self.assert_accepted(final)
                got = self.got()
                self.assertIn(yes, got)
                self.assertEqual([], [recipient for recipient in got if user in recipient])

    def test_strange_forms_reach_nobody(self):
        for number, argument in enumerate(STRANGE):
            user, yes = f"odd{number}x", f"fine{number}@odd.test"
            self.world.grant(yes)
            for address in (f"{user}@odd.test", f"{user}@mx.consent.test"):
                self.world.grant(address, purpose=OFFERS_PURPOSE)
            with self.subTest(argument):
                final = self.raw_message([f"<{yes}>", argument.format(u=user)])
                self.assertIn(final.code, (250, 550, 554))
                self.assertEqual([], [recipient for recipient in self.got() if user in recipient])

    def test_pickup_removes_nobody(self):
        # Postfix compares what the sender typed, shows something else, and says nothing when it finds none.
        names = ["erin@mixed.test", "emil@mixed.test"]
        self.world.grant(*names)
        for refused in ("eva@mixed.test", "@a.test:elsa@mixed.test"):
            self.world.postfix.sendmail(NEWS, [names[0], refused, names[1]],
                                        compose(NEWS, names[0], headers=[LIST_ID]))
            address = refused.split(":")[-1].encode()
            wait_for(lambda: any(m.sender == "" and address in m.content for m in self.world.sink.taken()), "a bounce")
        self.assert_never_delivered(*names, "eva@mixed.test", "elsa@mixed.test")

    def test_pickup_with_none_left_is_bounced(self):
        self.world.postfix.sendmail(NEWS, ["flo@mixed.test", "fay@mixed.test"],
                                    compose(NEWS, "flo@mixed.test", headers=[LIST_ID]))
        wait_for(lambda: any(m.sender == "" and b"flo@mixed.test" in m.content for m in self.world.sink.taken()),
                 "a bounce")
        self.assert_never_delivered("flo@mixed.test", "fay@mixed.test")


class QuarantineTest(MixedCase):
    mixed = "quarantine"

    def test_the_message_is_held(self):
        yes, no = self.people("gina")
        mark = self.world.milter.mark()
        self.assert_accepted(self.send_news(yes[0], no, yes[1]))
        self.world.postfix.wait_log("milter-hold: END-OF-MESSAGE")
        self.assertTrue(self.world.postfix.queue_files("hold"))
        self.assertEqual([], [r for r in self.world.sink.recipients() if r in (*yes, no)])
        lines = [line for line in self.world.milter.decisions(mark) if line["stream"] == "news"]
        self.assertEqual(["quarantined"] * 3, [line.get("action") for line in lines])

    def test_none_left_is_refused(self):
        self.assert_none_left("hans")

    def test_nothing_is_held_while_the_store_is_away(self):
        self.assert_nothing_on_store_trouble("ida")


class CeilingTest(WorldCase):
    @classmethod
    def make_world(cls):
        return World(streams=[stream("news", max_recipients=2,
                                     match={"auth": [LOGIN], "mail_from": ["*@news.acme.example"]})])

    def test_more_recipients_than_allowed(self):
        names = [f"jo{i}@mixed.test" for i in range(3)]
        self.world.grant(*names)
        answers, final = self.world.send([names[0], "nobody@mixed.test", names[1], names[2]])
        self.assertEqual([250, 550, 250, 550], [reply.code for reply in answers])
        self.assert_logged(self.assert_refused(answers[3], names[2]), reason="too_many_recipients")
        self.assert_accepted(final)
        self.assert_delivered(*names[:2])
        self.assert_never_delivered(names[2])


if __name__ == "__main__":
    harness.main()
