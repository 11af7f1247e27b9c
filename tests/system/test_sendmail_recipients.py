"""Odd ways to write a recipient at a real Sendmail: refused, or judged as the mailbox that the far end receives."""

import sendmail_world
from harness import LIST_ID, LIST_ID_CONDITION, NEWS, OFFERS_PURPOSE, compose, decision_id, stream
from sendmail_world import SendmailCase, SendmailWorld, sendmail_streams

# Raw argument of RCPT with {u} for the name, and the mailbox that a consent is asked of.
FORMS = {
    "plain": ("<{u}@odd.test>", "{u}@odd.test"),
    "upper case": ("<{U}@ODD.Test>", "{u}@odd.test"),
    "quoted blank": ('<"{u} b"@odd.test>', '"{u} b"@odd.test'),
    "needless quotes": ('<"{u}"@odd.test>', "{u}@odd.test"),
    "blank": ("<{u} b@odd.test>", "{u}.b@odd.test"),
    "source route": ("<@a.test:{u}@odd.test>", "{u}@odd.test"),
    "long source route": ("<@a.test,@b.test:{u}@odd.test>", "{u}@odd.test"),
    "trailing dot": ("<{u}@odd.test.>", "{u}@odd.test"),
    "no domain": ("<{u}>", "{u}@mx.consent.test"),
    "tag": ("<{u}+tag@odd.test>", "{u}+tag@odd.test"),
    "no brackets": ("{u}@odd.test", "{u}@odd.test"),
    "comment behind": ("<{u}@odd.test (comment)>", "{u}@odd.test"),
    "comments everywhere": ("<(c1){u}(c2)@(c3)odd.test>", "{u}@odd.test"),
    "display name": ("<Foo <{u}@odd.test>>", "{u}@odd.test"),
    "double brackets": ("<<{u}@odd.test>>", "{u}@odd.test"),
    "group": ("<grp:{u}@odd.test;>", "{u}@odd.test"),
    "escaped letter": ("<\\{u}@odd.test>", "{u}@odd.test"),
    "blanks around the at sign": ("<{u} @ odd.test>", "{u}@odd.test"),
    "percent": ("<{u}%far.test@odd.test>", "{u}%far.test@odd.test"),
    "bang": ("<far.test!{u}@odd.test>", "far.test!{u}@odd.test"),
    "bang alone": ("<odd.test!{u}>", "{u}@odd.test"),
    "two at signs": ("<{u}@far.test@odd.test>", '"{u}@far.test"@odd.test'),
    "address literal": ("<{u}@[192.0.2.7]>", "{u}@[192.0.2.7]"),
    "glued parameters": ("<{u}@odd.test>NOTIFY=NEVER", "{u}@odd.test"),
    "typed and delivered differ": ("<typed@odd.test <{u}@odd.test>>", "{u}@odd.test"),
    "route of another": ("<@typed.odd.test:{u}@odd.test>", "{u}@odd.test"),
    "comment of another": ("<(typed@odd.test){u}@odd.test>", "{u}@odd.test"),
    "group of another": ("<typed@odd.test:{u}@odd.test;>", "{u}@odd.test"),
}


def mailbox_of(address):
    """Quotes and backslashes, which Sendmail passes on as they were written, are no part of a mailbox (RFC 5321 4.1.2).

    The hub for local users (rig/sendmail.py) puts its own name in the place of ours.
    """
    return address.lower().replace("@[127.0.0.1]", "@mx.consent.test").replace('"', "").replace("\\", "")


class RecipientsTest(SendmailCase):
    def send_raw(self, argument):
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            answer = smtp.rcpt_raw(argument)
            if answer.code == 250:
                self.assert_accepted(smtp.data(compose(NEWS, "someone@odd.test")))
            return answer

    def delivered_with(self, name):
        self.world.postfix.settle()
        return [r for r in self.world.sink.recipients() if name in r.lower()]

    def test_each_form_is_refused_or_judged_as_what_is_delivered(self):
        # With consent everybody may get mail, so what the far end received is whom Sendmail means. Only the mailbox
        # that had the consent may be there.
        self.world.grant("typed@odd.test")
        for number, (form, (template, mailbox)) in enumerate(FORMS.items()):
            with self.subTest(form=form):
                none, some = f"none{number:02}x", f"some{number:02}x"
                answer = self.send_raw(template.format(u=none, U=none.upper()))
                self.assertNotEqual(250, answer.code, str(answer))
                self.assertEqual([], self.delivered_with(none))
                expected = mailbox.format(u=some)
                self.world.grant(expected)
                answer = self.send_raw(template.format(u=some, U=some.upper()))
                got = self.delivered_with(some)
                self.assertEqual(answer.code == 250, bool(got), f"{answer} {got}")
                self.assertLessEqual({mailbox_of(r) for r in got}, {mailbox_of(expected)}, str(answer))


class HeaderTest(SendmailCase):
    @classmethod
    def make_world(cls):
        news, receipts = sendmail_streams(headers=LIST_ID_CONDITION)
        offers = stream("acme-offers", purpose="offers", match={"daemon": ["submission"]})
        return SendmailWorld(streams=(news, offers, receipts))

    def test_stream_decided_by_a_header_is_refused_at_the_end(self):
        self.world.grant("end@odd.test", purpose=OFFERS_PURPOSE)
        answers, final = self.world.send(["end@odd.test"], headers=[LIST_ID])
        self.assertEqual([250, 550], [answers[0].code, final.code], f"{answers} {final}")
        self.assertEqual("5.7.1", final.enhanced)
        self.assertIsNotNone(decision_id(final.text), str(final))
        self.assert_never_delivered("end@odd.test")
        answers, final = self.world.send(["end@odd.test"])
        self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")


if __name__ == "__main__":
    sendmail_world.main()
