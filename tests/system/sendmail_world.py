"""The world of the other tests with a real Sendmail in the place of Postfix."""

import harness
from harness import World, WorldCase, stream
from rig.milter import decision_id
from rig.sendmail import Sendmail


def sendmail_streams(**match):
    """Outgoing is what comes over the submission listener."""
    outgoing = {"daemon": ["submission"]}
    return (
        stream("acme-news", match=outgoing | {"mail_from": ["*@news.acme.example"]} | match),
        stream("acme-receipts", class_="service", match=outgoing | {"mail_from": ["*@shop.acme.example"]}),
    )


class SendmailWorld(World):
    """`world.postfix` is a Sendmail: what the tests use of either is the same."""

    def __init__(self, *, streams=None, settings=None, **options):
        super().__init__(streams=streams or sendmail_streams(),
                         settings={"outgoing": {"daemon": ["submission"]}} | (settings or {}), **options)

    def make_mta(self, **options):
        return Sendmail(self.directory, **options)

    def session(self, port="submission", *, login=None, **xclient):
        return super().session(port, login=login, **xclient)


class SendmailCase(WorldCase):
    @classmethod
    def make_world(cls):
        return SendmailWorld()

    def assert_reply(self, reply, code, enhanced, recipient=None):
        """Sendmail writes `<address>... ` before the text of a 5xx."""
        self.assertEqual((code, enhanced), (reply.code, reply.enhanced), str(reply))
        self.assertEqual(1, len(reply.lines), str(reply))
        self.assertTrue(reply.lines[0].isascii(), str(reply))
        self.assertNotIn("Command rejected", reply.text)
        identifier = decision_id(reply.text)
        self.assertIsNotNone(identifier, f"no decision id in: {reply}")
        if recipient is not None:
            self.assertIn(recipient, reply.text)
        return identifier


main = harness.main
