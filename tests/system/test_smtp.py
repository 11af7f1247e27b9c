"""What SMTP clients do besides one command at a time."""

import harness
from harness import (
    LIST_ID, NEWS, SHOP, World, WorldCase, compose, decision_id, news_stream, receipts_stream,
    stream,
)


def message(recipient):
    return compose(NEWS, recipient, headers=[LIST_ID])


class SmtpTest(WorldCase):
    def test_one_of_three_is_refused(self):
        self.world.grant("one@smtp.test", "three@smtp.test")
        answers, final = self.world.send(["one@smtp.test", "two@smtp.test", "three@smtp.test"])
        self.assert_accepted(answers[0])
        identifier = self.assert_refused(answers[1], "two@smtp.test")
        self.assert_accepted(answers[2])
        self.assert_accepted(final)
        self.assert_delivered("one@smtp.test", "three@smtp.test")
        self.assert_never_delivered("two@smtp.test")
        # By then Postfix has told the queue id.
        line = self.assert_logged(identifier)
        self.assertRegex(line.queue_id, r"^[0-9A-Za-z]{6,}$")
        self.assertNotEqual("NOQUEUE", line.queue_id)
        self.assertIn(line.queue_id, self.world.postfix.log())

    def test_pipelining(self):
        self.world.grant("pipe1@smtp.test", "pipe2@smtp.test")
        with self.world.session() as smtp:
            replies = smtp.pipeline(
                f"MAIL FROM:<{NEWS}>", "RCPT TO:<pipe1@smtp.test>", "RCPT TO:<pipe-no@smtp.test>",
                "RCPT TO:<pipe2@smtp.test>", "DATA",
            )
            self.assertEqual([250, 250, 550, 250, 354], [reply.code for reply in replies])
            self.assert_refused(replies[2], "pipe-no@smtp.test")
            self.assert_accepted(smtp.content(message("pipe1@smtp.test")))
        self.assert_delivered("pipe1@smtp.test", "pipe2@smtp.test")
        self.assert_never_delivered("pipe-no@smtp.test")

    def test_pipelined_message_after_message(self):
        self.world.grant("row@smtp.test")
        with self.world.session() as smtp:
            replies = smtp.pipeline(
                f"MAIL FROM:<{NEWS}>", "RCPT TO:<row-no@smtp.test>", "RSET",
                f"MAIL FROM:<{NEWS}>", "RCPT TO:<row@smtp.test>", "RSET",
                f"MAIL FROM:<{SHOP}>", "RCPT TO:<row-no@smtp.test>", "RSET",
                f"MAIL FROM:<{NEWS}>", "RCPT TO:<row-no@smtp.test>",
            )
        self.assertEqual([250, 550, 250, 250, 250, 250, 250, 250, 250, 250, 550],
                         [reply.code for reply in replies])

    def test_bdat(self):
        self.world.grant("chunk@smtp.test")
        with self.world.session() as smtp:
            self.assertIn("CHUNKING", smtp.extensions)
            smtp.mail(NEWS)
            self.assert_refused(smtp.rcpt("chunk-no@smtp.test"))
            self.assert_accepted(smtp.rcpt("chunk@smtp.test"))
            content = message("chunk@smtp.test")
            self.assert_accepted(smtp.bdat(content[:20], content[20:50], content[50:]))
            # A second message of the session, all of it refused.
            smtp.mail(NEWS)
            self.assert_refused(smtp.rcpt("chunk-no@smtp.test"))
            self.assertEqual(554, smtp.bdat(content).code)
        self.assert_delivered("chunk@smtp.test")
        self.assert_never_delivered("chunk-no@smtp.test")

    def test_smtputf8_recipients(self):
        self.world.grant("j\u00fcrgen@smtp.test", "anna@m\u00fcnchen.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS, "SMTPUTF8")
            self.assert_accepted(smtp.rcpt("j\u00fcrgen@smtp.test"))
            self.assert_accepted(smtp.rcpt("anna@M\u00dcNCHEN.test"))
            self.assert_refused(smtp.rcpt("j\u00f6rgen@smtp.test"))
            self.assert_refused(smtp.rcpt("otto@m\u00fcnchen.test"))
            self.assert_accepted(smtp.data(message("j\u00fcrgen@smtp.test")))
        self.assert_delivered("j\u00fcrgen@smtp.test")
        self.assertIn("anna@m\u00fcnchen.test",
                      [recipient.lower() for recipient in self.world.sink.recipients()])

    def test_null_sender_does_not_release_a_claim(self):
        self.world.grant("null@smtp.test")
        for recipient in ("null@smtp.test", "null-no@smtp.test"):
            answers, _ = self.world.send([recipient], sender="")
            self.assert_refused(answers[0], recipient)
            self.assertIn("purpose unknown", answers[0].text)
        self.assert_never_delivered("null@smtp.test", "null-no@smtp.test")

    def test_many_messages_on_one_connection(self):
        self.world.grant("many@smtp.test")
        with self.world.session() as smtp:
            for number in range(40):
                smtp.mail(NEWS)
                self.assert_refused(smtp.rcpt(f"many-no{number}@smtp.test"))
                self.assert_accepted(smtp.rcpt("many@smtp.test"))
                self.assert_accepted(smtp.data(message("many@smtp.test")))
        self.world.postfix.settle()
        got = self.world.sink.recipients()
        self.assertEqual(40, got.count("many@smtp.test"))
        self.assertFalse([recipient for recipient in got if recipient.startswith("many-no")])

    def test_rset_forgets_the_message(self):
        self.world.grant("reset@smtp.test")
        with self.world.session() as smtp:
            smtp.mail(SHOP)
            self.assert_accepted(smtp.rcpt("reset-no@smtp.test"))
            smtp.rset()
            # Neither the service stream nor its recipient lives on.
            smtp.mail(NEWS)
            self.assert_refused(smtp.rcpt("reset-no@smtp.test"))
            smtp.rset()
            smtp.ehlo()
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("reset@smtp.test"))
            self.assert_accepted(smtp.data(message("reset@smtp.test")))
        self.assert_delivered("reset@smtp.test")
        self.assert_never_delivered("reset-no@smtp.test")

    def test_reply_text_is_never_somebody_elses(self):
        self.world.grant("mine@smtp.test")
        self.world.withdraw("gone@smtp.test")
        seen = set()
        with self.world.session() as smtp:
            for number in range(12):
                smtp.mail(NEWS)
                name = f"text{number}@smtp.test"
                plain = smtp.rcpt(name)
                self.assert_refused(plain, name)
                self.assertNotIn("gone@", plain.text)
                gone = smtp.rcpt("gone@smtp.test")
                self.assert_refused(gone, "gone@smtp.test")
                self.assertNotIn(name, gone.text)
                taken = smtp.rcpt("mine@smtp.test")
                self.assertEqual("250 2.1.5 Ok", str(taken))
                seen |= {decision_id(plain.text), decision_id(gone.text)}
                smtp.rset()
        self.assertEqual(24, len(seen))

    def test_duplicate_recipient(self):
        self.world.grant("twice@smtp.test")
        answers, final = self.world.send(["twice@smtp.test", "twice@smtp.test"])
        self.assertEqual([250, 250, 250], [r.code for r in (*answers, final)])

    def test_hundred_recipients(self):
        self.world.grant("hundred@smtp.test")
        with self.world.session() as smtp:
            lines = [f"RCPT TO:<h{number}@smtp.test>" for number in range(99)]
            replies = smtp.pipeline(f"MAIL FROM:<{NEWS}>", *lines, "RCPT TO:<hundred@smtp.test>")
            self.assertEqual([250] + [550] * 99 + [250], [reply.code for reply in replies])
            for number, reply in enumerate(replies[1:-1]):
                self.assert_refused(reply, f"h{number}@smtp.test")

    def test_client_that_breaks_off(self):
        self.world.grant("break@smtp.test")
        for _ in range(5):
            with self.world.session() as smtp:
                smtp.mail(NEWS)
                self.assert_accepted(smtp.rcpt("break@smtp.test"))
                smtp.command("DATA")
                smtp.socket.sendall(b"Subject: half\r\n")
        self.assert_accepted(self.world.rcpt("break@smtp.test"))

    def test_many_sessions_in_turn(self):
        self.world.grant("turn@smtp.test")
        for _ in range(25):
            self.assert_accepted(self.world.rcpt("turn@smtp.test"))
            self.assert_refused(self.world.rcpt("turn-no@smtp.test"))

    def test_many_sessions_at_once(self):
        self.world.grant("together@smtp.test")
        sessions = [self.world.session() for _ in range(20)]
        try:
            for smtp in sessions:
                smtp.send(f"MAIL FROM:<{NEWS}>")
            self.assertEqual({250}, {smtp.read().code for smtp in sessions})
            for round_ in range(5):
                for number, smtp in enumerate(sessions):
                    smtp.send(f"RCPT TO:<at-once{number}-{round_}@smtp.test>")
                for number, smtp in enumerate(sessions):
                    self.assert_refused(smtp.read(), f"at-once{number}-{round_}@smtp.test")
                for smtp in sessions:
                    smtp.send("RCPT TO:<together@smtp.test>")
                self.assertEqual({250}, {smtp.read().code for smtp in sessions})
        finally:
            for smtp in sessions:
                smtp.close()

    def test_long_recipient_keeps_the_reply_short(self):
        local, domain = "l" * 64, ".".join(["d" * 60] * 3) + ".test"
        reply = self.world.rcpt(f"{local}@{domain}")
        self.assert_refused(reply)

    def test_percent_in_the_recipient_survives_the_reply(self):
        reply = self.world.rcpt("100%s%n%%d@smtp.test")
        self.assert_refused(reply, "100%s%n%%d@smtp.test")


class MilterDiesTest(WorldCase):
    """The filter fails closed: what it has not seen is not taken."""

    def restart(self):
        self.world.milter.start()

    def test_killed_between_recipients(self):
        self.world.grant("die1@smtp.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("die1@smtp.test"))
            self.world.milter.kill()
            try:
                self.assertEqual(451, smtp.rcpt("die1-b@smtp.test").code)
                self.assertEqual(451, smtp.data(message("die1@smtp.test")).code)
            finally:
                self.restart()
        self.assert_never_delivered("die1@smtp.test", "die1-b@smtp.test")
        answers, final = self.world.send(["die1@smtp.test"])
        self.assertEqual([250, 250], [answers[0].code, final.code])

    def test_killed_before_the_final_dot(self):
        self.world.grant("die2@smtp.test")
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            self.assert_accepted(smtp.rcpt("die2@smtp.test"))
            self.assertEqual(354, smtp.command("DATA").code)
            self.world.milter.kill()
            try:
                reply = smtp.content(message("die2@smtp.test"))
            finally:
                self.restart()
            # The milter may not ask for anything after RCPT; then there is
            # nothing left that its death could change.
            self.assertIn(reply.code, (250, 451))
        if reply.code == 451:
            self.assert_never_delivered("die2@smtp.test")

    def test_away_at_connect(self):
        self.world.milter.stop()
        try:
            with self.world.session() as smtp:
                self.assertEqual(451, smtp.mail(NEWS).code)
        finally:
            self.restart()
        self.assert_refused(self.world.rcpt("die3@smtp.test"))


class RelayTest(WorldCase):
    """A plain relay: streams chosen by client network and by listener."""

    @classmethod
    def make_world(cls):
        by_client = stream("by-client", match={"client": ["192.0.2.0/24", "2001:db8::/32"]})
        by_daemon = stream("by-daemon", purpose="offers", match={"daemon": ["ORIGINATING"]})
        return World(streams=[by_client, by_daemon, news_stream(), receipts_stream()],
                     settings={"outgoing": {"client": ["198.51.100.0/24"]}},
                     postfix={"inet_protocols": "all"})

    def test_client_network(self):
        self.world.grant("net@smtp.test")
        for address in ("192.0.2.1", "192.0.2.255", "IPV6:2001:db8::5"):
            inside = {"login": None, "addr": address}
            self.assert_accepted(self.world.rcpt("net@smtp.test", **inside))
            reply = self.world.rcpt("net-no@smtp.test", **inside)
            identifier = self.assert_refused(reply, "net-no@smtp.test")
            line = self.assert_logged(identifier, stream="by-client")
            self.assertIn(address.removeprefix("IPV6:"), line["client"])

    def test_client_outside_is_not_ours(self):
        for address in ("192.0.3.1", "203.0.113.9", "IPV6:2001:db9::5"):
            reply = self.world.rcpt("net-no@smtp.test", login=None, addr=address)
            self.assert_accepted(reply)

    def test_listener(self):
        self.world.grant("port@smtp.test", purpose=harness.OFFERS_PURPOSE)
        self.assert_accepted(self.world.rcpt("port@smtp.test", port="submission", login=None))
        reply = self.world.rcpt("port-no@smtp.test", port="submission", login=None)
        self.assert_logged(self.assert_refused(reply), stream="by-daemon", purpose="acme/offers")
        self.assert_accepted(self.world.rcpt("port-no@smtp.test", login=None))

    def test_reply_to_a_stranger_does_not_tell_who_withdrew(self):
        self.world.withdraw("silent@smtp.test")
        texts = []
        for name in ("silent@smtp.test", "silent-no@smtp.test"):
            reply = self.world.rcpt(name, login=None, addr="192.0.2.7")
            identifier = self.assert_refused(reply, name)
            texts.append(reply.text.replace(identifier, "ID").replace(name, "NAME"))
        self.assertEqual(texts[0], texts[1])


if __name__ == "__main__":
    harness.main()
