"""Mail of the sendmail command: no RCPT answer can be given, so none is tried.

A refusal at RCPT would wedge the message in maildrop for ever, silently.
"""

import harness
from harness import (
    LIST_ID, LIST_ID_CONDITION, NEWS, SHOP, World, WorldCase, compose, stream, wait_for,
)


def local_streams():
    news = stream("local-news", match={"local": True, "mail_from": ["*@news.acme.example"]})
    shop = stream("local-shop", class_="service",
                  match={"local": True, "mail_from": ["*@shop.acme.example"]})
    return [news, shop]


class PickupCase(WorldCase):
    def submit(self, *recipients, sender=NEWS, headers=(LIST_ID,)):
        message = compose(sender, recipients[0], headers=headers)
        self.world.postfix.sendmail(sender, recipients, message)

    def bounces(self):
        return [m for m in self.world.sink.taken() if m.sender == "" and m.recipients == [NEWS]]

    def assert_never_wedged(self):
        log = self.world.postfix.log()
        self.assertNotIn("can't reject recipient in non-smtpd", log)
        self.world.postfix.settle()


class PickupTest(PickupCase):
    @classmethod
    def make_world(cls):
        return World(streams=local_streams())

    def test_consent_is_delivered(self):
        self.world.grant("ann@pickup.test")
        self.submit("ann@pickup.test")
        self.assert_delivered("ann@pickup.test")
        self.assert_never_wedged()

    def test_no_consent_is_bounced(self):
        self.submit("bob@pickup.test")
        wait_for(lambda: any(b"bob@pickup.test" in m.content for m in self.bounces()), "a bounce")
        self.assert_never_wedged()
        self.assert_never_delivered("bob@pickup.test")
        bounce = next(m for m in self.bounces() if b"bob@pickup.test" in m.content)
        identifier = harness.decision_id(bounce.content.decode("utf-8", "replace")
                                         .replace("\r\n    ", " "))
        self.assertIsNotNone(identifier, bounce.content)
        line = self.assert_logged(identifier, verdict="refuse", stream="local-news")
        self.assertIn(line.queue_id, self.world.postfix.log())

    def test_one_without_consent_bounces_the_whole_message(self):
        self.world.grant("carl@pickup.test", "cora@pickup.test")
        self.submit("carl@pickup.test", "dave@pickup.test", "cora@pickup.test")
        wait_for(lambda: any(b"dave@pickup.test" in m.content for m in self.bounces()), "a bounce")
        self.assert_never_wedged()
        self.assert_never_delivered("carl@pickup.test", "dave@pickup.test", "cora@pickup.test")

    def test_service_mail_is_delivered(self):
        self.submit("erin@pickup.test", sender=SHOP, headers=())
        self.assert_delivered("erin@pickup.test")

    def test_claimed_local_mail_of_no_stream_is_bounced(self):
        self.submit("faye@pickup.test", sender="cron@acme.example", headers=())
        wait_for(lambda: any(m.recipients == ["cron@acme.example"]
                             for m in self.world.sink.taken()), "a bounce to cron")
        self.assert_never_wedged()
        self.assert_never_delivered("faye@pickup.test")

    def test_withdrawal(self):
        self.world.grant("gwen@pickup.test")
        self.submit("gwen@pickup.test")
        self.assert_delivered("gwen@pickup.test")
        before = self.world.sink.recipients().count("gwen@pickup.test")
        self.world.withdraw("gwen@pickup.test")
        self.submit("gwen@pickup.test")
        wait_for(lambda: any(b"gwen@pickup.test" in m.content for m in self.bounces()), "a bounce")
        self.world.postfix.settle()
        self.assertEqual(before, self.world.sink.recipients().count("gwen@pickup.test"))

    def test_store_down_keeps_the_message_until_it_is_back(self):
        self.world.grant("hugo@pickup.test")
        self.world.redis.stop()
        mark = len(self.world.postfix.log())
        try:
            self.submit("hugo@pickup.test")
            self.world.postfix.wait_log("4.3.0 hugo@pickup.test consent cannot be checked", since=mark)
            self.assertTrue(self.world.postfix.queue_files("maildrop"))
            self.submit("ines@pickup.test", sender=SHOP, headers=())
        finally:
            self.world.redis.start()
        self.assert_delivered("hugo@pickup.test", "ines@pickup.test")
        self.assertEqual(1, self.world.sink.recipients().count("hugo@pickup.test"))
        self.assert_never_wedged()

    def test_smtp_of_the_same_host_is_not_pickup(self):
        # `local` means the sendmail command; a session from 127.0.0.1 does not meet it.
        self.assert_accepted(self.world.rcpt("jack@pickup.test", login=None))

    def test_odd_recipient_forms(self):
        self.world.grant("kate@pickup.test")
        self.submit("Kate@Pickup.Test")
        self.submit("kate@pickup.test (comment)")
        self.submit("@a.test:kate@pickup.test")
        self.world.postfix.settle()
        got = [r for r in self.world.sink.recipients() if r.lower() == "kate@pickup.test"]
        self.assertEqual(3, len(got))
        self.submit("Lena <lena@pickup.test>")
        wait_for(lambda: any(b"lena@pickup.test" in m.content for m in self.bounces()), "a bounce")
        self.assert_never_delivered("lena@pickup.test")


class PickupBulkTest(PickupCase):
    """No local stream at all: only undeclared bulk mail of our own users is refused."""

    @classmethod
    def make_world(cls):
        return World(settings={"outgoing": {"local": True}})

    def test_personal_mail_passes(self):
        self.submit("mia@pickup.test", headers=())
        self.assert_delivered("mia@pickup.test")

    def test_bulk_mail_is_bounced(self):
        self.submit("nora@pickup.test")
        wait_for(lambda: any(b"nora@pickup.test" in m.content for m in self.bounces()), "a bounce")
        self.assert_never_wedged()
        self.assert_never_delivered("nora@pickup.test")


class PickupHeaderTest(PickupCase):
    """A local stream with a header condition."""

    @classmethod
    def make_world(cls):
        news = stream("local-news", match={"local": True, "mail_from": ["*@news.acme.example"],
                                           "headers": LIST_ID_CONDITION})
        return World(streams=[news])

    def test_declared_and_left_out(self):
        self.world.grant("olga@pickup.test")
        self.submit("olga@pickup.test")
        self.assert_delivered("olga@pickup.test")
        self.submit("olga@pickup.test", headers=())
        wait_for(lambda: any(b"olga@pickup.test" in m.content for m in self.bounces()), "a bounce")
        self.assert_never_wedged()
        self.assertEqual(1, self.world.sink.recipients().count("olga@pickup.test"))


if __name__ == "__main__":
    harness.main()
