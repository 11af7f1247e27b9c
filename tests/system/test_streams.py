"""Streams: who is claimed, what opens nothing, what is not ours, observe mode."""

import re

import harness
from harness import (
    LIST_ID, LIST_ID_CONDITION, LOGIN, NEWS, OFFERS_PURPOSE, SHOP, World, WorldCase, compose,
    news_stream, receipts_stream, stream, wait_for,
)

OFFERS_LIST_ID = ("List-Id", "<acme.offers.acme.example>")
STRANGER = "mallory"


class HeaderStreamTest(WorldCase):
    """Two newsletters of one login, told apart by List-Id only."""

    @classmethod
    def make_world(cls):
        offers = stream(
            "acme-offers", purpose="offers",
            match={"auth": [LOGIN], "mail_from": ["*@news.acme.example"],
                   "headers": ({"name": "List-Id", "value": "*<acme.offers.acme.example>*"},)},
        )
        return World(streams=[news_stream(headers=LIST_ID_CONDITION), offers, receipts_stream()])

    def send(self, recipients, *headers, **options):
        return self.world.send(recipients, headers=headers, **options)

    def test_declared_and_consented(self):
        self.world.grant("decl@streams.test")
        answers, final = self.send(["decl@streams.test"], LIST_ID)
        self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        self.assert_delivered("decl@streams.test")

    def test_no_consent_for_anything_is_refused_at_rcpt(self):
        answers, _ = self.send(["none@streams.test"], LIST_ID)
        self.assert_refused(answers[0], "none@streams.test")

    def test_left_out_list_id_is_refused(self):
        self.world.grant("left@streams.test")
        self.world.grant("left@streams.test", purpose=OFFERS_PURPOSE)
        answers, final = self.send(["left@streams.test"])
        self.assert_accepted(answers[0])
        self.assert_refused(final)
        self.assertIn("purpose unknown", final.text)
        self.assert_never_delivered("left@streams.test")

    def test_wrong_list_id_is_refused(self):
        self.world.grant("wrong@streams.test")
        for value in ("<other.acme.example>", "acme.news.acme.example", "",
                      "<acme.news.acme.example.evil.test>"):
            _, final = self.send(["wrong@streams.test"], ("List-Id", value))
            self.assert_refused(final)
        self.assert_never_delivered("wrong@streams.test")

    def test_list_id_below_the_header_counts_for_nothing(self):
        self.world.grant("below@streams.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("below@streams.test"))
            body = "List-Id: <acme.news.acme.example>\r\n\r\nHello\r\n"
            self.assert_refused(smtp.data(compose(NEWS, "below@streams.test", body=body)))
        self.assert_never_delivered("below@streams.test")

    def test_ways_to_write_the_header(self):
        self.world.grant("ways@streams.test")
        for header in (b"LIST-ID: <acme.news.acme.example>", b"List-Id:<acme.news.acme.example>",
                       b"list-id: Acme\r\n <acme.news.acme.example>",
                       b"List-Id:\r\n\t<acme.news.acme.example>  ",
                       b"List-Id: <x.test>\r\nList-Id: <acme.news.acme.example>"):
            answers, final = self.send(["ways@streams.test"], header)
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{header} {final}")

    def test_headers_of_the_message_before_are_forgotten(self):
        self.world.grant("again@streams.test")
        with self.world.session() as smtp:
            for headers, code in (([LIST_ID], 250), ([], 550), ([LIST_ID], 250), ([], 550)):
                smtp.mail(NEWS)
                self.assert_accepted(smtp.rcpt("again@streams.test"))
                message = compose(NEWS, "again@streams.test", headers=headers)
                self.assertEqual(code, smtp.data(message).code)
            # Nor do they live on when the message ends before its end.
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("again@streams.test"))
            smtp.rset()
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("again@streams.test"))
            self.assert_refused(smtp.data(compose(NEWS, "again@streams.test")))

    def test_the_header_chooses_the_purpose(self):
        self.world.grant("choose@streams.test", purpose=OFFERS_PURPOSE)
        answers, final = self.send(["choose@streams.test"], OFFERS_LIST_ID)
        self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        answers, final = self.send(["choose@streams.test"], LIST_ID)
        self.assert_accepted(answers[0])
        identifier = self.assert_refused(final, "choose@streams.test")
        self.assert_logged(identifier, stream="acme-news", purpose="acme/newsletter")

    def test_verdicts_that_differ_at_the_end_refuse_all(self):
        self.world.grant("mixed1@streams.test")
        self.world.grant("mixed2@streams.test", purpose=OFFERS_PURPOSE)
        answers, final = self.send(["mixed1@streams.test", "mixed2@streams.test"], LIST_ID)
        self.assertEqual([250, 250], [answer.code for answer in answers])
        self.assert_refused(final, "mixed2@streams.test")
        self.assertNotIn("mixed1@", final.text)
        self.assert_never_delivered("mixed1@streams.test", "mixed2@streams.test")

    def test_reply_names_three_and_counts_the_rest(self):
        names = [f"more{number}@streams.test" for number in range(6)]
        self.world.grant(*names, purpose=OFFERS_PURPOSE)
        _, final = self.send(names, LIST_ID)
        self.assert_refused(final)
        self.assertEqual(3, sum(name in final.text for name in names), final.text)
        self.assertRegex(final.text, r"\b3 more\b")

    def test_withdrawal_between_rcpt_and_the_final_dot(self):
        self.world.grant("late@streams.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("late@streams.test"))
            self.assertEqual(354, smtp.command("DATA").code)
            self.world.withdraw("late@streams.test")
            reply = smtp.content(compose(NEWS, "late@streams.test", headers=[LIST_ID]))
        # Asked at RCPT and standing then, or asked again at the end: a
        # withdrawal counts for RCPTs received later. Never a defer.
        self.assertIn(reply.code, (250, 550), str(reply))

    def test_store_down_defers_undecided_recipients(self):
        self.world.grant("down@streams.test")
        self.world.redis.stop()
        try:
            answers, final = self.send(["down@streams.test"], LIST_ID)
            last = final if answers[0].code == 250 else answers[0]
            self.assert_deferred(last)
        finally:
            self.world.redis.start()
        self.world.postfix.settle()
        self.assertNotIn("down@streams.test", self.world.sink.recipients())
        self.world.until_rcpt(550, "nobody@streams.test")
        answers, final = self.send(["down@streams.test"], LIST_ID)
        self.assertEqual([250, 250], [answers[0].code, final.code])

    def test_store_dies_between_rcpt_and_the_final_dot(self):
        self.world.grant("dies@streams.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("dies@streams.test"))
            self.world.redis.kill()
            try:
                reply = smtp.data(compose(NEWS, "dies@streams.test", headers=[LIST_ID]))
            finally:
                self.world.redis.start()
        self.assert_deferred(reply)
        self.assert_never_delivered("dies@streams.test")
        self.world.until_rcpt(550, "nobody@streams.test")

    def test_service_mail_of_the_same_login(self):
        answers, final = self.send(["receipt@streams.test"], sender=SHOP)
        self.assertEqual([250, 250], [answers[0].code, final.code])
        self.assert_delivered("receipt@streams.test")


class ClaimTest(WorldCase):
    """A claimed session never falls through; a stranger claims nothing."""

    def test_other_mail_from_is_refused(self):
        self.world.grant("claim@streams.test")
        for sender in ("", "x@acme.example", "letter@news.acme.example.evil.test",
                       "letter@xnews.acme.example", "letter", "a@b@shop.acme.example.test"):
            with self.subTest(sender=sender):
                reply = self.world.rcpt("claim@streams.test", sender=sender)
                if reply.code != 501:  # Postfix itself refuses some
                    self.assert_refused(reply)
                    self.assertIn("purpose unknown", reply.text)

    def test_ways_to_write_the_sender(self):
        self.world.grant("writ@streams.test")
        for sender in ("Letter@NEWS.Acme.Example", "@a.test:letter@news.acme.example",
                       "letter@news.acme.example."):
            with self.subTest(sender=sender):
                self.assert_accepted(self.world.rcpt("writ@streams.test", sender=sender))
                self.assert_refused(self.world.rcpt("writ-no@streams.test", sender=sender))

    def test_case_of_the_login(self):
        # Another login is another login; it claims nothing and opens nothing.
        self.assert_accepted(self.world.rcpt("login@streams.test", login=STRANGER))

    def test_stranger_with_bulk_mail_is_refused_at_the_end(self):
        bulk = [LIST_ID, ("List-Unsubscribe", "<https://x.test/u>"), ("Feedback-ID", "1:2:3:x"),
                ("Precedence", "bulk"), ("precedence", "LIST"), ("Precedence", "junk"),
                b"LIST-ID:\r\n <folded.test>"]
        for header in bulk:
            with self.subTest(header=header):
                answers, final = self.world.send(["bulk@streams.test"], sender=NEWS,
                                                 login=STRANGER, headers=[header])
                self.assert_accepted(answers[0])
                identifier = self.assert_refused(final)
                self.assertIn("undeclared bulk", final.text)
                self.assert_logged(identifier, reason="undeclared_bulk", auth=STRANGER)
        self.assert_never_delivered("bulk@streams.test")

    def test_stranger_with_personal_mail_passes(self):
        for header in (("Precedence", "first-class"), ("X-List-Id", "x"), ("Subject", "List-Id:")):
            answers, final = self.world.send(["personal@streams.test"], sender="m@far.test",
                                             login=STRANGER, headers=[header])
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{header} {final}")
        self.assert_delivered("personal@streams.test")

    def test_personal_mail_needs_no_store(self):
        self.world.redis.stop()
        try:
            answers, final = self.world.send(["nostore@streams.test"], sender="m@far.test",
                                             login=STRANGER)
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
            answers, final = self.world.send(["nostore@streams.test"], sender=SHOP)
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        finally:
            self.world.redis.start()
        self.world.until_rcpt(550, "nobody@streams.test")

    def test_a_new_login_in_the_session_is_a_new_session(self):
        with self.world.session(login=STRANGER) as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("switch@streams.test"))
            smtp.rset()
            self.assertEqual(220, smtp.xclient(login=LOGIN).code)
            smtp.mail(NEWS)
            self.assert_refused(smtp.rcpt("switch@streams.test"))

    def look_ups(self):
        """How many HMGETs Redis has served so far; each look-up has some."""
        stats = self.world.redis.command("INFO", "commandstats").decode()
        found = re.search(r"cmdstat_hmget:calls=(\d+)", stats)
        return int(found.group(1)) if found else 0

    def test_service_stream_asks_the_store_nothing(self):
        self.world.rcpt("quiet@streams.test")
        before = self.look_ups()
        self.assertGreater(before, 0)
        for _ in range(10):
            _, final = self.world.send(["quiet@streams.test"], sender=SHOP)
            self.assert_accepted(final)
        self.assertEqual(before, self.look_ups())


class DeclaredPurposeTest(WorldCase):
    """The purpose out of the sender's address or out of a header."""

    @classmethod
    def make_world(cls):
        by_sender = {"name": "by-sender", "sender": "acme", "class": "marketing",
                     "purpose_from": "mail_from", "mode": "enforce",
                     "match": {"auth": [LOGIN], "mail_from": ["{purpose}@mail.acme.example"]}}
        by_header = {"name": "by-header", "sender": "acme", "class": "marketing",
                     "purpose_from": "header:X-Consent-Purpose", "mode": "enforce",
                     "match": {"auth": [LOGIN], "mail_from": ["*@bulk.acme.example"]}}
        return World(streams=[by_sender, by_header])

    def test_purpose_of_the_sender_address(self):
        self.world.grant("purp@streams.test", purpose=OFFERS_PURPOSE)
        send = self.world.rcpt
        self.assert_accepted(send("purp@streams.test", sender="offers@mail.acme.example"))
        self.assert_refused(send("purp@streams.test", sender="newsletter@mail.acme.example"))

    def test_purpose_nobody_registered(self):
        self.world.grant("unreg@streams.test")
        reply = self.world.rcpt("unreg@streams.test", sender="nonsense@mail.acme.example")
        self.assert_refused(reply)

    def test_purpose_of_a_header(self):
        self.world.grant("head@streams.test", purpose=OFFERS_PURPOSE)

        def send(*headers):
            return self.world.send(["head@streams.test"], sender="x@bulk.acme.example",
                                   headers=headers)

        answers, final = send(("X-Consent-Purpose", "offers"))
        self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        for headers in ([("X-Consent-Purpose", "newsletter")], [], [("X-Consent-Purpose", "")],
                        [("X-Consent-Purpose", "offers"), ("X-Consent-Purpose", "newsletter")],
                        [("X-Consent-Purpose", "../offers")]):
            with self.subTest(headers=headers):
                answers, final = send(*headers)
                self.assert_refused(final if answers[0].code == 250 else answers[0])


class BasisTest(WorldCase):
    """Express is asked for unless the stream accepts more."""

    @classmethod
    def make_world(cls):
        loose = stream("loose", accept_basis=["express", "asserted"], purpose="offers",
                       match={"auth": [LOGIN], "mail_from": ["*@loose.acme.example"]})
        return World(streams=[loose, news_stream()])

    def test_asserted_consent(self):
        for purpose in (OFFERS_PURPOSE, harness.NEWS_PURPOSE):
            self.world.ctl.run("grant", "assert@streams.test", purpose, "--source", "api")
        reply = self.world.rcpt("assert@streams.test", sender="x@loose.acme.example")
        self.assert_accepted(reply)
        identifier = self.assert_refused(self.world.rcpt("assert@streams.test"))
        self.assert_logged(identifier, reason="basis_not_accepted")


class ObserveTest(WorldCase):
    """Observe mode: nothing is ever refused or deferred, all of it is logged."""

    @classmethod
    def make_world(cls):
        return World(streams=[
            stream("acme-news", mode="observe",
                   match={"auth": [LOGIN], "mail_from": ["*@news.acme.example"]}),
            receipts_stream(),
        ])

    def test_no_consent_passes_and_is_logged(self):
        mark = self.world.milter.mark()

        def observed():
            # Another test may have left the circuit to the store open for a moment.
            answers, final = self.world.send(["watch@streams.test"])
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
            lines = self.world.milter.decisions(since=mark)
            return [line for line in lines if line["reason"] == "no_consent"]

        line = wait_for(observed, "a logged refusal")[0]
        self.assertEqual(("refuse", "observe"), (line["verdict"], line["mode"]))
        self.assert_delivered("watch@streams.test")

    def test_store_down_passes(self):
        self.world.redis.stop()
        try:
            answers, final = self.world.send(["blind@streams.test"])
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        finally:
            self.world.redis.start()
        self.assert_delivered("blind@streams.test")

    def test_hanging_store_passes(self):
        self.world.redis.freeze()
        try:
            answers, final = self.world.send(["stuck@streams.test"])
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        finally:
            self.world.redis.thaw()

    def test_withdrawn_passes(self):
        self.world.withdraw("ended@streams.test")
        self.assert_accepted(self.world.rcpt("ended@streams.test"))

    def test_claimed_mail_without_a_stream_passes(self):
        answers, final = self.world.send(["nostream@streams.test"], sender="x@acme.example",
                                         headers=[LIST_ID])
        self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")


if __name__ == "__main__":
    harness.main()
