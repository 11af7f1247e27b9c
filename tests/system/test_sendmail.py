"""The main job at a real Sendmail 8.17: accept, refuse, withdraw, defer; and what only Sendmail does."""

import sendmail_world
from harness import LIST_ID, NEWS, SHOP, compose, decision_id
from sendmail_world import SendmailCase


class SendmailTest(SendmailCase):
    def test_consent_is_accepted_and_delivered_and_no_consent_refused(self):
        self.world.grant("ann@main.test")
        answers, final = self.world.send(["ann@main.test", "bob@main.test"], headers=[LIST_ID])
        self.assert_accepted(answers[0])
        identifier = self.assert_refused(answers[1], "bob@main.test")
        self.assertIn("<bob@main.test>... ", answers[1].text)
        self.assert_accepted(final)
        self.assert_delivered("ann@main.test")
        self.assert_never_delivered("bob@main.test")
        line = self.assert_logged(identifier, verdict="refuse", reason="no_consent", stream="acme-news")
        # Sendmail names the message at MAIL already.
        self.assertNotEqual("NOQUEUE", line.queue_id)
        self.assertIn(f"{line.queue_id}:", self.world.postfix.log())

    def test_all_refused_leaves_nothing_to_send(self):
        answers, final = self.world.send(["n1@main.test", "n2@main.test"])
        self.assertEqual([550, 550], [answer.code for answer in answers])
        self.assertEqual(503, final.code, str(final))
        self.assert_never_delivered("n1@main.test", "n2@main.test")

    def test_withdrawal_counts_on_the_very_next_rcpt(self):
        self.world.grant("carol@main.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("carol@main.test"))
            self.world.withdraw("carol@main.test")
            self.assert_refused(smtp.rcpt("carol@main.test"), "carol@main.test")

    def test_percent_signs_reach_the_client(self):
        # A single one would make Sendmail drop the whole text.
        self.assert_refused(self.world.rcpt("50%off@main.test"), "50%off@main.test")

    def test_messages_of_one_connection_have_answers_of_their_own(self):
        self.world.grant("dave@main.test")
        with self.world.session() as smtp:
            seen = set()
            for number in range(3):
                smtp.mail(NEWS)
                self.assert_accepted(smtp.rcpt("dave@main.test"))
                refused = smtp.rcpt(f"no{number}@main.test")
                seen.add(self.assert_refused(refused, f"no{number}@main.test"))
                self.assert_accepted(smtp.data(compose(NEWS, "dave@main.test")))
            self.assertEqual(3, len(seen))
            smtp.mail(NEWS)
            self.assert_refused(smtp.rcpt("reset@main.test"))
            self.assertEqual(250, smtp.rset().code)
            smtp.mail(SHOP)
            self.assert_accepted(smtp.rcpt("reset@main.test"))
            self.assert_accepted(smtp.data(compose(SHOP, "reset@main.test")))
        self.assert_delivered("reset@main.test")

    def test_inbound_mail_passes_untouched(self):
        with self.world.session("relay") as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("inbound@main.test"))
            self.assert_accepted(smtp.data(compose(NEWS, "inbound@main.test", headers=[LIST_ID])))
        self.assert_delivered("inbound@main.test")

    def test_store_down_defers_and_recovers_by_itself(self):
        self.world.grant("hugo@main.test")
        self.world.redis.stop()
        try:
            reply = self.world.rcpt("hugo@main.test")
            self.assertEqual(451, reply.code, str(reply))
            self.assertIsNotNone(decision_id(reply.text), str(reply))
            self.assertNotIn("no consent", reply.text)
            answers, final = self.world.send(["hugo@main.test"], sender=SHOP)
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        finally:
            self.world.redis.start()
        self.world.until_rcpt(250, "hugo@main.test")

    def test_dsn_options_change_nothing(self):
        self.world.grant("dsn@main.test")
        options = " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;dsn@main.test"
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt_raw("<dsn@main.test>" + options))
            self.assert_refused(smtp.rcpt_raw("<dsn2@main.test>" + options), "dsn2@main.test")

    def test_sendmail_command_is_filtered_as_smtp(self):
        self.world.grant("cmd@main.test")
        for name, is_sent in (("cmd", True), ("nocmd", False)):
            recipient = f"{name}@main.test"
            self.world.postfix.sendmail(NEWS, [recipient], compose(NEWS, recipient), check=is_sent)
            self.world.postfix.settle()
            self.assertEqual(is_sent, recipient in self.world.sink.recipients(), recipient)


class FilterDownTest(SendmailCase):
    def test_filter_down_defers_and_a_restart_serves_the_next_session(self):
        self.world.grant("tina@main.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("tina@main.test"))
            self.assert_accepted(smtp.data(compose(NEWS, "tina@main.test")))
            self.assertEqual(0, self.world.milter.stop())
            # F=T in the shipped line: without the filter nothing passes.
            self.assertEqual(451, self.world.rcpt("tina@main.test").code)
            self.world.milter.start()
            # The session that lost its filter stays deferred; nothing of it is unfiltered.
            self.assertEqual(451, smtp.mail(NEWS).code)
        self.assert_accepted(self.world.rcpt("tina@main.test"))
        self.assert_refused(self.world.rcpt("notina@main.test"))


if __name__ == "__main__":
    sendmail_world.main()
