"""Observing: nothing is refused whatever fails, and the message says what would have been."""

import re

import harness
from harness import LOGIN, NEWS, SHOP, World, WorldCase, news_stream, receipts_stream, stream

STATUS = re.compile(rb"^X-Consent-Status[ \t]*:[ \t]*(.*?)\r?$", re.M | re.I)
TAG = re.compile(r"observe; verdict=(\w+); reason=(\w+); id=([a-z2-7]{26}); recipients=(\d+)\Z")

FORGED = [
    ("X-Consent-Status", "enforce; verdict=accept"),
    b"x-consent-STATUS: observe; verdict=accept",
    b"X-Consent-Status : a blank before the colon",
    b"X-Consent-Status: folded\r\n\tover two lines",
]


class ObserveCase(WorldCase):
    def delivered_to(self, recipient):
        self.assert_delivered(recipient)
        return [m for m in self.world.sink.taken() if recipient in m.recipients][-1]

    def statuses(self, recipient):
        head = self.delivered_to(recipient).content.split(b"\r\n\r\n", 1)[0]
        return [value.decode() for value in STATUS.findall(head)]

    def assert_tag(self, recipient, verdict, reason, recipients):
        statuses = self.statuses(recipient)
        self.assertEqual(1, len(statuses), statuses)
        found = TAG.match(statuses[0])
        self.assertIsNotNone(found, statuses)
        self.assertEqual((verdict, reason, str(recipients)), found.group(1, 2, 4))
        self.assert_logged(found.group(3), verdict=verdict, reason=reason, mode="observe")


class ObserveTest(ObserveCase):
    @classmethod
    def make_world(cls):
        watched = stream("watched", mode="observe",
                         match={"auth": [LOGIN], "mail_from": ["*@news.acme.example"]})
        enforced = stream("enforced", match={"auth": ["other"]})
        return World(streams=[watched, receipts_stream(), enforced])

    def test_tag(self):
        self.world.grant("ann@observe.test")
        answers, final = self.world.send(["bob@observe.test", "ann@observe.test", "ben@observe.test"])
        self.assertEqual([250] * 4, [reply.code for reply in (*answers, final)])
        self.assert_tag("ann@observe.test", "refuse", "no_consent", 2)

    def test_consent_is_not_tagged(self):
        self.world.grant("carl@observe.test")
        self.world.send(["carl@observe.test"])
        self.assertEqual([], self.statuses("carl@observe.test"))

    def test_what_is_no_address_passes_too(self):
        answers, final = self.world.send(["dora@observe.test@x.test", "dave@observe.test"])
        self.assertEqual([250, 250, 250], [reply.code for reply in (*answers, final)])
        self.assert_tag("dave@observe.test", "refuse", "no_consent", 2)

    def test_forged_copies_are_removed(self):
        self.world.send(["erin@observe.test"], headers=FORGED)
        self.assert_tag("erin@observe.test", "refuse", "no_consent", 1)

    def test_forged_copies_are_removed_where_nothing_is_observed(self):
        self.world.grant("fred@observe.test")
        for options in ({"login": "other"}, {"sender": SHOP}):
            self.world.send(["fred@observe.test"], headers=FORGED, **options)
            self.assertEqual([], self.statuses("fred@observe.test"))

    def test_mail_that_is_not_ours_is_left_alone(self):
        self.world.send(["gina@observe.test"], headers=FORGED, login=None)
        self.assertEqual(len(FORGED), len(self.statuses("gina@observe.test")))

    def test_store_down(self):
        self.world.redis.stop()
        try:
            answers, final = self.world.send(["hugo@observe.test", "hans@observe.test"])
        finally:
            self.world.redis.start()
        self.assertEqual([250, 250, 250], [reply.code for reply in (*answers, final)])
        self.assert_tag("hugo@observe.test", "defer", "trouble", 2)


class ObserveEverythingTest(ObserveCase):
    """The top-level mode: also what belongs to no stream, and undeclared bulk."""

    @classmethod
    def make_world(cls):
        return World(settings={"mode": "observe"}, streams=[news_stream(), receipts_stream()])

    def test_claimed_mail_of_no_stream(self):
        _, final = self.world.send(["ida@observe.test"], sender="cron@acme.example")
        self.assert_accepted(final)
        self.assert_tag("ida@observe.test", "refuse", "purpose_unknown", 1)

    def test_undeclared_bulk(self):
        _, final = self.world.send(["jo@observe.test", "jim@observe.test"], login="somebody",
                                   sender="s@acme.example", headers=[("Precedence", "bulk"), *FORGED])
        self.assert_accepted(final)
        self.assert_tag("jo@observe.test", "refuse", "undeclared_bulk", 2)

    def test_pickup(self):
        message = harness.compose(NEWS, "kim@observe.test", headers=FORGED)
        self.world.postfix.sendmail(NEWS, ["kim@observe.test"], message)
        self.delivered_to("kim@observe.test")


if __name__ == "__main__":
    harness.main()
