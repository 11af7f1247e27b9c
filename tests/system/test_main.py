"""The main job in one short file: accept, refuse, withdraw, store away and back."""

import harness
from harness import LIST_ID, NEWS, SHOP, WorldCase, compose, decision_id


class MainTest(WorldCase):
    def test_consent_is_accepted_and_delivered(self):
        self.world.grant("ann@main.test")
        answers, final = self.world.send(["ann@main.test"], headers=[LIST_ID])
        self.assert_accepted(answers[0])
        self.assert_accepted(final)
        self.assert_delivered("ann@main.test")

    def test_no_consent_is_refused_with_an_id(self):
        answers, final = self.world.send(["bob@main.test"])
        identifier = self.assert_refused(answers[0], "bob@main.test")
        self.assertIn("acme/newsletter", answers[0].text)
        self.assertEqual(554, final.code, str(final))
        line = self.assert_logged(identifier, verdict="refuse", reason="no_consent",
                                  stream="acme-news", purpose="acme/newsletter",
                                  auth=harness.LOGIN)
        self.assertEqual("NOQUEUE", line.queue_id)
        self.assertRegex(line["subject"], r"^[0-9a-f]{21}$")
        self.assertNotIn("bob", line.text)
        self.assert_never_delivered("bob@main.test")

    def test_grant_for_another_purpose_is_no_consent(self):
        self.world.grant("other@main.test", purpose=harness.OFFERS_PURPOSE)
        self.assert_refused(self.world.rcpt("other@main.test"))

    def test_withdrawal_counts_on_the_very_next_rcpt(self):
        self.world.grant("carol@main.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("carol@main.test"))
            self.world.withdraw("carol@main.test")
            # The same session and the same message: nothing may be cached.
            reply = smtp.rcpt("carol@main.test")
        identifier = self.assert_refused(reply, "carol@main.test")
        self.assertIn("in the suppression list", reply.text)
        self.assert_logged(identifier, verdict="refuse", reason="withdrawn")

    def test_withdrawal_from_the_sender_stops_each_of_its_purposes(self):
        self.world.grant("dora@main.test")
        self.assert_accepted(self.world.rcpt("dora@main.test"))
        self.world.withdraw("dora@main.test", "acme")
        self.assert_refused(self.world.rcpt("dora@main.test"))

    def test_receipt_reaches_who_has_withdrawn(self):
        self.world.withdraw("erin@main.test", "acme")
        answers, final = self.world.send(["erin@main.test"], sender=SHOP)
        self.assert_accepted(answers[0])
        self.assert_accepted(final)
        self.assert_delivered("erin@main.test")

    def test_refusal_can_be_explained(self):
        reply = self.world.rcpt("frank@main.test")
        identifier = self.assert_refused(reply)
        explained = self.world.explain(identifier)
        self.assertIn(identifier, explained)
        self.assertIn("acme/newsletter", explained)
        self.assertIn("no_consent", explained)

    def test_check_answers_as_the_filter_does(self):
        self.world.grant("gina@main.test")
        ctl = self.world.ctl
        ctl.run("check", "gina@main.test", "acme/newsletter", ok=(0,))
        ctl.run("check", "nobody@main.test", "acme/newsletter", ok=(1,))
        self.world.withdraw("gina@main.test")
        ctl.run("check", "gina@main.test", "acme/newsletter", ok=(1,))

    def test_store_down_defers_and_recovers_by_itself(self):
        self.world.grant("hugo@main.test")
        self.assert_accepted(self.world.rcpt("hugo@main.test"))
        self.world.redis.stop()
        try:
            reply = self.world.rcpt("hugo@main.test")
            identifier = self.assert_deferred(reply, "hugo@main.test")
            self.assertNotIn("no consent", reply.text)
            self.assert_logged(identifier, verdict="defer")
            # Who has no consent is deferred just the same: we do not know.
            self.assert_deferred(self.world.rcpt("bob@main.test"))
            self.world.ctl.run("check", "hugo@main.test", "acme/newsletter", ok=(75,))
            answers, final = self.world.send(["hugo@main.test"], sender=SHOP)
            self.assertEqual([250, 250], [answers[0].code, final.code], f"{answers} {final}")
        finally:
            self.world.redis.start()
        self.world.until_rcpt(250, "hugo@main.test")
        self.assert_refused(self.world.until_rcpt(550, "bob@main.test"))

    def test_ids_are_never_the_same(self):
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            ids = [decision_id(smtp.rcpt(f"same{n}@main.test").text) for n in range(20)]
        self.assertEqual(20, len(set(ids)), ids)

    def test_mail_of_others_passes_untouched(self):
        with self.world.session(login=None) as smtp:
            smtp.mail("someone@far.test")
            self.assert_accepted(smtp.rcpt("inbound@main.test"))
            message = compose("someone@far.test", "inbound@main.test", headers=[LIST_ID])
            self.assert_accepted(smtp.data(message))
        self.assert_delivered("inbound@main.test")


if __name__ == "__main__":
    harness.main()
