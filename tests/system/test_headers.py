"""Hostile headers: bounded memory, no crash, the right verdict."""

import harness
from harness import LIST_ID_CONDITION, NEWS, World, WorldCase, compose, news_stream, sanitized
from rig.proc import status_number

GOOD = b"List-Id: <acme.news.acme.example>"
PERSON = "ann@headers.test"


class HeaderTest(WorldCase):
    @classmethod
    def make_world(cls):
        return World(streams=[news_stream(headers=LIST_ID_CONDITION)])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.grant(PERSON)

    def send(self, *headers, raw=None, recipient=PERSON):
        with self.world.session() as smtp:
            smtp.mail(NEWS)
            answer = smtp.rcpt(recipient)
            if answer.code != 250:
                return answer
            return smtp.data(raw or compose(NEWS, recipient, headers=headers))

    def test_header_of_60000_bytes(self):
        big = b"X-Big: " + b"a" * 60000
        self.assert_accepted(self.send(big, GOOD))
        self.assert_accepted(self.send(GOOD, big))
        self.assert_refused(self.send(big))

    def test_list_id_of_60000_bytes(self):
        # The end of it may be cut; the verdict is one of the two, not a crash.
        for value in (b"<acme.news.acme.example> " + b"a" * 59000,
                      b"a" * 59000 + b" <acme.news.acme.example>",
                      b"<" * 30000 + b"acme.news.acme.example" + b">" * 29000,
                      b"*" * 59000):
            reply = self.send(b"List-Id: " + value)
            self.assertIn(reply.code, (250, 550), str(reply))
        self.assert_refused(self.send(b"List-Id: " + b"a" * 59000))

    def test_3000_headers(self):
        many = [b"X-Many-%d: value" % number for number in range(3000)]
        self.assert_accepted(self.send(*many, GOOD))
        self.assert_refused(self.send(*many))

    def test_3000_list_ids(self):
        many = [b"List-Id: <wrong%d.test>" % number for number in range(3000)]
        # Either all are looked at, or a ceiling is reached and told as such;
        # what was not looked at never makes a consent.
        self.assertIn(self.send(*many).code, (452, 550))
        self.assertIn(self.send(*many, GOOD).code, (250, 452))

    def test_nul_in_the_value(self):
        self.assert_refused(self.send(b"List-Id: a\0<acme.news.acme.example>"))
        self.assert_accepted(self.send(b"X-Nul: a\0b\0c", GOOD))

    def test_8_bit(self):
        self.assert_accepted(self.send(b"X-8: \xff\xfe\x80", b"Subject: \xe2\x82\xac", GOOD))
        # For Postfix such a name is none: the header ends there.
        self.assert_refused(self.send(b"X-\xc3\xbc\xff: a", GOOD))
        self.assert_accepted(self.send(b"List-Id: \xff\xc3\xbc <acme.news.acme.example> \x80"))
        self.assert_refused(self.send(b"List-Id: \xff\xfe\x80"))

    def test_control_characters(self):
        self.assert_accepted(self.send(b"X-Esc: \x1b[31m\x07\x08", GOOD))
        self.assert_refused(self.send(b"List-Id: \x1b[31m\x01"))
        self.assertNotIn("\x1b", self.world.milter.log())

    def test_folding(self):
        folded = b"List-Id: a\r\n" + b" b\r\n" * 800 + b"\t<acme.news.acme.example>"
        self.assertIn(self.send(folded).code, (250, 550))
        self.assert_accepted(self.send(b"List-Id:\r\n \r\n <acme.news.acme.example>"))

    def test_no_header_at_all(self):
        self.assert_refused(self.send(raw=b"\r\nonly a body\r\n"))
        self.assert_refused(self.send(raw=b"this is no header line\r\n" + GOOD + b"\r\n\r\nx\r\n"))

    def test_empty_message(self):
        self.assert_refused(self.send(raw=b"\r\n"))

    def test_log_injection(self):
        login = 'eve"\\ id=aaaaaaaaaaaaaaaaaaaaaaaaaa verdict=accept'
        with self.world.session(login=login) as smtp:
            smtp.mail("x@far.test")
            smtp.rcpt("bob@headers.test")
            reply = smtp.data(compose("x@far.test", "bob@headers.test", headers=[GOOD]))
        identifier = self.assert_refused(reply)
        line = self.world.milter.decision(identifier)
        self.assertEqual("refuse", line["verdict"])
        self.assertTrue(line["auth"].startswith('"'), line.text)

    def test_memory_stays_bounded(self):
        big = [b"X-Big: " + b"a" * 50000] * 20 + [b"List-Id: " + b"b" * 50000] * 10 + [GOOD]
        self.send(*big)
        before = status_number(self.world.milter.pid, "VmRSS")
        for _ in range(30):
            self.assertIn(self.send(*big).code, (250, 452, 550))
        grown = status_number(self.world.milter.pid, "VmRSS") - before
        self.assertLess(grown, 60000 if sanitized() else 4000, "kB more than before")


if __name__ == "__main__":
    harness.main()
