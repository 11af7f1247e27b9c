"""Mail that says one thing and is another: bulk sent as service mail, List-Id or From of another purpose.

A service stream's recipients are taken at RCPT already, so the answer to the end
of the message is what counts.
"""

import harness
from harness import LOGIN, NEWS, SHOP, World, WorldCase, compose, stream

MARKS = [
    ("List-Unsubscribe", "<https://acme.example/leave>"),
    ("List-Id", "<acme.news.acme.example>"),
    ("Precedence", "bulk"),
    ("Feedback-ID", "1:acme:campaign"),
]


def shop_stream():
    return stream("shop", class_="service", match={"auth": [LOGIN], "mail_from": ["*@shop.acme.example"]})


class HonestyCase(WorldCase):
    honesty = "refuse"

    @classmethod
    def make_world(cls):
        return World(streams=[shop_stream()], settings={"service_honesty": cls.honesty})

    def send(self, recipient, *headers):
        answers, final = self.world.send([recipient], sender=SHOP, headers=headers)
        self.assert_accepted(answers[0])
        return final


class RefuseTest(HonestyCase):
    def test_marks_are_refused(self):
        for number, mark in enumerate(MARKS):
            with self.subTest(mark[0]):
                recipient = f"ann{number}@honesty.test"
                identifier = self.assert_refused(self.send(recipient, mark))
                self.assert_logged(identifier, reason="service_dishonest", stream="shop", verdict="refuse")
                self.assert_never_delivered(recipient)

    def test_a_receipt_passes(self):
        self.assert_accepted(self.send("bob@honesty.test", ("Auto-Submitted", "auto-generated")))
        self.assert_delivered("bob@honesty.test")

    def test_a_receipt_passes_while_the_store_is_away(self):
        self.world.redis.stop()
        try:
            self.assert_accepted(self.send("ben@honesty.test"))
        finally:
            self.world.redis.start()
        self.assert_delivered("ben@honesty.test")


class LogTest(HonestyCase):
    honesty = "log"

    def test_marks_are_told(self):
        mark = self.world.milter.mark()
        self.assert_accepted(self.send("carl@honesty.test", MARKS[0]))
        self.world.milter.wait_log("stream=shop: a service message carries the marks of bulk mail", since=mark)
        self.assert_delivered("carl@honesty.test")


class OffTest(HonestyCase):
    honesty = "off"

    def test_marks_are_nothing(self):
        mark = self.world.milter.mark()
        self.assert_accepted(self.send("dora@honesty.test", MARKS[0]))
        self.assert_delivered("dora@honesty.test")
        self.assertNotIn("the marks of bulk mail", self.world.milter.log()[mark:])


class StopsTest(WorldCase):
    @classmethod
    def make_world(cls):
        return World(streams=[shop_stream()], settings={"service_stops": ["complained"]})

    def test_only_the_stops_that_are_named(self):
        self.world.ctl.run("withdraw", "erin@honesty.test", "acme")
        self.assert_accepted(self.world.rcpt("erin@honesty.test", sender=SHOP))
        self.assert_accepted(self.world.rcpt("nobody@honesty.test", sender=SHOP))
        self.world.ctl.run("withdraw", "emil@honesty.test", "acme", "--reason", "complained")
        identifier = self.assert_refused(self.world.rcpt("emil@honesty.test", sender=SHOP), "emil@honesty.test")
        self.assert_logged(identifier, reason="complained", stream="shop", purpose="acme")
        self.world.redis.stop()
        try:
            self.assert_deferred(self.world.rcpt("ella@honesty.test", sender=SHOP))
        finally:
            self.world.redis.start()


class ContradictionTest(WorldCase):
    @classmethod
    def make_world(cls):
        return World(streams=[stream("news", match={"auth": [LOGIN], "mail_from": ["*@news.acme.example"]},
                                     list_id=["acme.news.acme.example"], **{"from": ["*@news.acme.example"]})])

    def test_the_whole_message_is_refused_though_its_recipients_were_taken(self):
        self.world.grant("fred@honesty.test")
        rows = (
            ([("List-Id", "News <acme.news.acme.example>")], NEWS, True),
            ([], NEWS, True),
            ([("List-Id", "<acme.offers.acme.example>")], NEWS, False),
            ([], "sales@offers.acme.example", False),
        )
        for headers, author, wanted in rows:
            with self.subTest(headers=headers, author=author), self.world.session() as smtp:
                smtp.mail(NEWS)
                self.assert_accepted(smtp.rcpt("fred@honesty.test"))
                final = smtp.data(compose(author, "fred@honesty.test", headers=headers))
                if wanted:
                    self.assert_accepted(final)
                else:
                    self.assert_logged(self.assert_refused(final), reason="contradicted", stream="news")
        self.world.postfix.settle()
        self.assertEqual(2, self.world.sink.recipients().count("fred@honesty.test"))


if __name__ == "__main__":
    harness.main()
