"""Dormancy and uses of consent, and the note of the configuration at a filter's start (LAW-16)."""

import json
import os
import time

import harness
from harness import NEWS_PURPOSE, OFFERS_PURPOSE, World, WorldCase, news_stream, stream
from keeper_world import keeper_settings
from rig.keeper import Keeper
from rig.proc import wait_for
from store_world import Place

PLAIN_PURPOSE = "acme/plain"
OFFERS, PLAIN = "deal@offers.acme.example", "hello@plain.acme.example"
MONTH_S = 2629800


def months_ago(months):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - months * MONTH_S))


def this_month():
    return time.strftime("%Y-%m", time.gmtime())


def own_stream(name):
    return stream(f"acme-{name}", purpose=name,
                  match={"auth": [harness.LOGIN], "mail_from": [f"*@{name}.acme.example"]})


class NotedWorld(World):
    """Tells the notes of its store, newest first."""

    def notes(self, kind):
        rows = [json.loads(line) for line in self.ctl.run("--json", "store", "status").stdout.splitlines()]
        return [row["note"] for row in rows if "note" in row and row["note"]["note"] == kind]


class DormancyWorld(NotedWorld):
    """A purpose that warns, one that refuses and one that does not care."""

    def __init__(self):
        super().__init__(streams=(news_stream(), own_stream("offers"), own_stream("plain")))
        self.reconfigure(**keeper_settings(self.directory))
        self.keeper = Keeper(self.build, self.directory, self.config_path, self.config["keeper"]["socket"])

    def prepare_store(self, ctl=None):
        super().prepare_store(ctl)
        self.ctl.run("purpose", "add", PLAIN_PURPOSE, "--title", "Plain")
        path = f"{self.directory}/plain.txt"
        with open(path, "w", encoding="utf-8") as stream_:
            stream_.write(harness.STATEMENT)
        self.ctl.run("statement", "publish", PLAIN_PURPOSE, path)
        self.ctl.run("purpose", "dormancy", NEWS_PURPOSE, "36:warn")
        self.ctl.run("purpose", "dormancy", OFFERS_PURPOSE, "1:refuse")
        os.makedirs(self.config["state"])
        self.keeper.start_beating()

    def grant_then(self, address, purpose, months):
        """Consent that was given so many months ago."""
        self.ctl.run("grant", address, purpose, "--source", "web_form", "--statement", "1", "--evidence",
                     harness.EVIDENCE, "--at", months_ago(months))

    def last_use(self, address):
        rows = [json.loads(line) for line in self.ctl.run("--json", "show", address).stdout.splitlines()]
        return [row["last_use"] for row in rows if row.get("kind") == "grant"]

    def uses_of(self, address):
        """What filters left for this person, marked or not."""
        place = Place.of_address(StorePeppers(self), address)
        entries = self.redis.command("XRANGE", f"u:{{p{place.partition:03x}}}", "-", "+")
        return [use for _, (_, use) in entries if use[2:10] == place.field]

    def stop(self):
        report = self.keeper.sanitizer_report()
        code = self.keeper.stop()
        complaints = super().stop()
        if report or code not in (None, 0):
            complaints.append(f"the keeper ended with {code}: {report}")
        return complaints


class StorePeppers:
    """As much of a store as a place must know."""

    def __init__(self, world):
        self.raw = world.redis.command
        with open(f"{world.config['keys']}/pepper.1", "rb") as file:
            self.pepper = file.read()


class DormancyTest(WorldCase):
    @classmethod
    def make_world(cls):
        return DormancyWorld()

    def decide(self, address, sender):
        """The verdict of one RCPT with its line of the log."""
        mark = self.world.milter.mark()
        reply = self.world.rcpt(address, sender=sender)
        line = wait_for(lambda: self.world.milter.decisions(mark), "a decision in the log")[0]
        return reply, line

    def assert_decision(self, address, sender, reason, dormant=None):
        reply, line = self.decide(address, sender)
        if reason == "express":
            self.assert_accepted(reply)
        else:
            self.assert_refused(reply, address)
        self.assertEqual((reason, dormant), (line["reason"], line.get("dormant")), line.text)

    def test_warned_then_used_then_awake(self):
        self.world.grant_then("old@warn.test", NEWS_PURPOSE, 40)
        self.assertEqual(["never"], self.world.last_use("old@warn.test"))
        self.assert_decision("old@warn.test", harness.NEWS, "express", "yes")
        wait_for(lambda: self.world.last_use("old@warn.test") == [this_month()], "the keeper marks the use", 40, 0.3)
        uses = self.world.uses_of("old@warn.test")
        self.assert_decision("old@warn.test", harness.NEWS, "express")
        self.world.ctl.run("ledger", "verify")  # neither the mark nor the keeper's cursor is a contradiction
        time.sleep(2.2)  # two rounds of the writing thread: told once a month is enough
        self.assertEqual(uses, self.world.uses_of("old@warn.test"))

    def test_young_consent_is_not_dormant(self):
        self.world.grant_then("young@warn.test", NEWS_PURPOSE, 30)
        self.assert_decision("young@warn.test", harness.NEWS, "express")

    def test_refused(self):
        self.world.grant_then("old@refuse.test", OFFERS_PURPOSE, 3)
        self.world.grant("new@refuse.test", purpose=OFFERS_PURPOSE)
        self.assert_decision("old@refuse.test", OFFERS, "dormant")
        self.assert_decision("new@refuse.test", OFFERS, "express")
        wait_for(lambda: len(self.world.uses_of("new@refuse.test")) == 1, "a use is left")
        self.assertEqual([], self.world.uses_of("old@refuse.test"))

    def test_without_dormancy_no_use_is_left(self):
        self.world.grant_then("old@plain.test", PLAIN_PURPOSE, 60)
        self.assert_decision("old@plain.test", PLAIN, "express")
        self.world.grant("beside@plain.test")
        self.assert_decision("beside@plain.test", harness.NEWS, "express")
        wait_for(lambda: self.world.uses_of("beside@plain.test"), "a later use is left")
        self.assertEqual([], self.world.uses_of("old@plain.test"))
        self.assertEqual(["never"], self.world.last_use("old@plain.test"))

    def test_a_change_counts_at_once_and_leaves_a_note(self):
        self.world.grant_then("old@changing.test", PLAIN_PURPOSE, 10)
        for words, reason, dormant in (("6:refuse", "dormant", None), ("6:warn", "express", "yes"),
                                       ("11:refuse", "express", None), ("off", "express", None)):
            with self.subTest(words):
                self.world.ctl.run("purpose", "dormancy", PLAIN_PURPOSE, words)
                self.assert_decision("old@changing.test", PLAIN, reason, dormant)
                note = self.world.notes("purpose_dormancy")[0]
                months, _, act = words.partition(":")
                self.assertEqual((PLAIN_PURPOSE, act or "off"), (note["purpose"], note["dormancy"]))
                if act:
                    self.assertEqual(int(months), note["months"])


class DeclarationTest(WorldCase):
    """Each test counts the notes of the starts that it makes itself."""

    @classmethod
    def make_world(cls):
        return NotedWorld()

    def wait_notes(self, count):
        return wait_for(lambda: (found := self.world.notes("configuration"))[count - 1:] and found,
                        f"{count} notes of the configuration", 15, 0.3)

    def restart(self):
        self.assertEqual(0, self.world.milter.stop())
        self.world.milter.start()

    def test_one_note_for_each_start(self):
        before = len(self.wait_notes(1))
        self.restart()
        notes = self.wait_notes(before + 1)
        time.sleep(2.5)  # the thread that writes it comes by every second
        self.assertEqual(notes, self.world.notes("configuration"))
        self.assertEqual(before + 1, len(notes))
        self.assertEqual((self.world.config_path, "enforce"), (notes[0]["file"], notes[0]["mode"]))
        self.assertRegex(notes[0]["actor"], "^consent-milter on ")
        self.assertRegex(notes[0]["sha256"], "^[0-9a-f]{64}$")
        self.assertIn("acme-news marketing enforce acme/newsletter express", notes[0]["streams"])

    def test_a_store_that_comes_later(self):
        before = len(self.wait_notes(1))
        self.world.redis.stop()
        try:
            mark = self.world.milter.mark()
            self.restart()
            self.world.milter.wait_log("the declaration of the configuration cannot be kept", since=mark)
            time.sleep(2.5)  # several tries
            log = self.world.milter.log()[mark:]
            self.assertLessEqual(log.count("the declaration of the configuration cannot be kept"), 2)
        finally:
            self.world.redis.start()
        notes = self.wait_notes(before + 1)
        time.sleep(2.5)
        self.assertEqual(before + 1, len(self.world.notes("configuration")))
        self.assertEqual(self.world.config_path, notes[0]["file"])


if __name__ == "__main__":
    harness.main()
