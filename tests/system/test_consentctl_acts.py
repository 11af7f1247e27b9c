"""consentctl: grants with all that they may say, restrictions, erasures; and what show and history print of them."""

import json
import os
import unittest

import harness
from harness import EVIDENCE, NEWS_PURPOSE, OFFERS_PURPOSE
from store_world import SEAL, Place, StoreWorld, head

PROOF = ("--source", "web_form", "--statement", "1", "--evidence", EVIDENCE)
SOFT_PROOFS = ("from_sale", "similar_products", "refusal_offered")


class ActsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = StoreWorld().start().prepare()
        cls.ctl = cls.world.ctl

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()

    def objects(self, *arguments, code=0):
        result = self.ctl.run("--json", *arguments, ok=(code,))
        return [json.loads(line) for line in result.stdout.splitlines()]

    def complains(self, code, *words, of):
        result = self.ctl.run(*of, ok=(code,))
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual("", result.stdout)

    def reason(self, address, purpose=NEWS_PURPOSE):
        result = self.ctl.run("--json", "check", address, purpose, ok=(0, 1))
        return json.loads(result.stdout)["reason"]


class GrantTest(ActsCase):
    def test_the_language_and_the_rank(self):
        self.ctl.run("grant", "lang@acts.test", NEWS_PURPOSE, *PROOF, "--lang", "fr-CA", "--officer")
        self.assertEqual("officer", self.objects("show", "lang@acts.test")[0]["rank"])
        row, = self.objects("history", "lang@acts.test")
        self.assertEqual(("fr-CA", "officer"), (row["language"], row["rank"]))
        self.assertRegex(row["actor"], r"^\S+ \(consentctl\)$")
        shown = self.ctl.run("history", "lang@acts.test").stdout
        self.assertIn("statement 1 in fr-CA", shown)
        self.assertIn("(consentctl); evidence: {", shown)

    def test_nothing_said_is_null(self):
        self.ctl.run("grant", "silent@acts.test", NEWS_PURPOSE, "--basis", "asserted")
        row, = self.objects("history", "silent@acts.test")
        self.assertIsNone(row["language"])

    def test_a_guardian_satisfies_a_minor(self):
        """LAW-15"""
        address = "child@acts.test"
        self.ctl.run("grant", address, NEWS_PURPOSE, *PROOF)
        self.ctl.run("restrict", address, "everybody", "--reason", "minor")
        self.assertEqual("minor", self.reason(address))
        result = self.ctl.run("grant", address, NEWS_PURPOSE, *PROOF, "--guardian")
        self.assertEqual("", result.stderr)
        self.assertEqual("express", self.reason(address))
        self.assertEqual([False, True], [row["guardian"] for row in self.objects("history", address) if row["act"] == "grant"])
        self.assertEqual([True], [row["guardian"] for row in self.objects("show", address) if row["kind"] == "grant"])
        for command in ("show", "history"):
            self.assertIn("for a guardian", self.ctl.run(command, address).stdout)

    def test_a_guardian_needs_all_proof(self):
        base = ("grant", "ward@acts.test", NEWS_PURPOSE, "--guardian")
        self.complains(65, "guardian", of=base)
        self.complains(65, "guardian", of=(*base, "--source", "paper", "--statement", "1"))
        self.complains(65, "guardian", "statement", of=(*base, "--source", "paper", "--evidence", EVIDENCE))
        self.complains(65, "guardian", "source", of=(*base, "--statement", "1", "--evidence", EVIDENCE))
        self.complains(65, "guardian", of=(*base, *PROOF, "--basis", "asserted"))
        self.assertEqual([], self.objects("show", "ward@acts.test"))

    def test_soft_optin_names_the_missing_proof(self):
        base = ("grant", "soft@acts.test", NEWS_PURPOSE, "--basis", "soft_optin")
        self.complains(65, "from_sale is not", of=base)
        for missing in SOFT_PROOFS:
            for value in (None, False, 1, "true"):
                proofs = {name: True for name in SOFT_PROOFS} | {missing: value}
                self.complains(65, f"{missing} is not", of=(*base, "--evidence", json.dumps(proofs)))
        proofs = {name: True for name in SOFT_PROOFS} | {"order": 17}
        self.ctl.run(*base, "--evidence", json.dumps(proofs))
        self.assertEqual(proofs, self.objects("history", "soft@acts.test")[0]["evidence"]["evidence"])

    def test_implied_consent_that_lasts(self):
        """LAW-7: while the contract or membership lasts; once it has ended, two years more."""
        for name in ("contract", "membership"):
            address = f"{name}@acts.test"
            self.ctl.run("grant", address, NEWS_PURPOSE, "--basis", f"implied:{name}")
            self.assertEqual([(name, "never")], [(r["state"], r["expires"]) for r in self.objects("show", address)])
            self.ctl.run("grant", address, NEWS_PURPOSE, "--basis", f"implied:{name}", "--anchor", "2024-02-29")
            self.assertEqual(["2026-02-28T23:59:59.000Z"], [r["expires"] for r in self.objects("show", address)])
        for name in ("purchase", "inquiry"):
            self.complains(65, "anchor", of=("grant", "a@b.test", NEWS_PURPOSE, "--basis", f"implied:{name}"))
            self.complains(65, "future", of=("grant", "a@b.test", NEWS_PURPOSE, "--basis", f"implied:{name}", "--anchor",
                                             "2150-01-01"))
        self.complains(65, "future", of=("grant", "a@b.test", NEWS_PURPOSE, "--basis", "implied:contract", "--anchor",
                                         "2150-01-01"))


class RestrictTest(ActsCase):
    REASONS = {"minor": ("restricted", "minor"), "legal": ("restricted", "restricted"), "deceased": ("restricted", "deceased"),
               "dispute": ("suspended", "suspended"), "case": ("suspended", "suspended")}

    def test_each_reason_and_its_end(self):
        for name, (kind, reason) in self.REASONS.items():
            for scope in (NEWS_PURPOSE, "acme", "all"):
                address = f"{name}.{scope.replace('/', '-')}@acts.test"
                self.world.grant(address)
                row, = self.objects("restrict", address, scope, "--reason", name)
                self.assertEqual(("restrict", kind, "applied"), (row["act"], row["kind"], row["status"]))
                self.assertEqual(reason, self.reason(address))
                row, = self.objects("restrict", address, scope, "--reason", name, "--end")
                self.assertEqual(("end", "applied"), (row["act"], row["status"]))
                self.assertEqual("express", self.reason(address))
                state, = [r for r in self.objects("show", address) if r["kind"] == kind]
                self.assertEqual((name, True), (state["state"], state["ended"]))
                self.assertIn(f"{name} (ended)", self.ctl.run("show", address).stdout)
                self.assertEqual(["grant", "suspend" if kind == "suspended" else "restrict", "end"],
                                 [r["act"] for r in self.objects("history", address)])

    def test_a_rank_ends_only_what_it_has_set(self):
        """LAW-5"""
        address = "ranks@acts.test"
        self.world.grant(address)
        base = ("restrict", address, "acme", "--reason", "legal")
        self.ctl.run(*base, "--officer")
        self.complains(65, "ABSENT", of=(*base, "--end"))
        self.ctl.run(*base)
        self.ctl.run(*base, "--end")
        self.assertEqual("restricted", self.reason(address))
        self.ctl.run(*base, "--end", "--officer")
        self.assertEqual("express", self.reason(address))

    def test_usage(self):
        self.complains(64, "--reason", "minor", of=("restrict", "a@b.test", "acme"))
        for bad in ("withdrawn", "", "purchase", "Minor"):
            self.complains(64, "--reason", of=("restrict", "a@b.test", "acme", "--reason", bad))
        self.complains(65, "sender list", of=("restrict", "a@b.test", "nobody", "--reason", "minor"))
        for more in (("--guardian",), ("--basis", "express"), ("--retire",)):
            self.complains(64, "takes no", of=("restrict", "a@b.test", "acme", "--reason", "minor", *more))

    def test_evidence_of_a_restriction_and_a_withdrawal(self):
        for command in (("restrict", "said@acts.test", "acme", "--reason", "dispute"), ("withdraw", "said@acts.test", "acme")):
            self.ctl.run(*command, "--source", "phone", "--evidence", '{"call":7}')
        rows = self.objects("history", "said@acts.test")
        self.assertEqual([({"call": 7}, "phone")] * 2, [(row["evidence"]["evidence"], row["source"]) for row in rows])
        self.complains(65, "JSON", of=("withdraw", "said@acts.test", "acme", "--evidence", "x"))


class EraseTest(ActsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ctl.run("sender", "add", "beta")
        cls.ctl.run("purpose", "add", "beta/news")
        cls.world.publish("beta/news")

    def fill(self, address):
        for purpose in (NEWS_PURPOSE, OFFERS_PURPOSE, "beta/news"):
            self.world.grant(address, purpose)
        self.ctl.run("withdraw", address, OFFERS_PURPOSE)
        self.ctl.run("restrict", address, "acme", "--reason", "legal")

    def kinds(self, address):
        return sorted((row["scope"], row["kind"]) for row in self.objects("show", address))

    def fates(self, address):
        return [(row["act"], row["scope"], row["evidence_is"]) for row in self.objects("history", address)]

    def test_one_sender(self):
        address = "one@acts.test"
        self.fill(address)
        row, = self.objects("erase", address, "acme")
        self.assertEqual(("erase", "erased", "applied", "acme"), (row["act"], row["kind"], row["status"], row["scope"]))
        self.assertEqual([("acme", "erased"), ("acme", "restricted"), ("beta/news", "grant")], self.kinds(address))
        self.assertEqual("express", self.reason(address, "beta/news"))
        self.assertEqual([("grant", NEWS_PURPOSE, "erased"), ("grant", OFFERS_PURPOSE, "erased"),
                          ("grant", "beta/news", "shown"), ("withdraw", OFFERS_PURPOSE, "erased"),
                          ("restrict", "acme", "erased"), ("erase", "acme", "shown")], self.fates(address))
        shown = self.ctl.run("history", address).stdout
        self.assertEqual(4, shown.count("evidence: (erased)"), shown)
        self.assertEqual(1, shown.count("signup"), shown)

    def test_all(self):
        address = "all@acts.test"
        self.fill(address)
        self.ctl.run("erase", address, "all", "--officer", "--evidence", '{"letter":"of today"}')
        self.assertEqual([("acme", "restricted"), ("everybody", "erased")], self.kinds(address))
        self.assertEqual({"erased"}, {fate for act, _, fate in self.fates(address) if act != "erase"})
        self.assertIn("of today", self.ctl.run("history", address).stdout)
        self.ctl.run("restrict", address, "acme", "--reason", "legal", "--end")
        self.assertEqual("erased", self.reason(address))

    def test_nothing_opens_what_was_erased(self):
        """Not with all that stands in Redis, nor with the seal key."""
        address = "gone@acts.test"
        self.fill(address)
        place = Place.of_address(self.world, address)
        salts = [r["salt"] for r in place.records() if r["kind"] == SEAL]
        self.assertEqual(2, len(salts))
        self.ctl.run("erase", address, "all")
        everything = b"\n".join(self.world.everything())
        for salt in salts:
            self.assertNotIn(salt, everything)

    def test_a_grant_by_others_does_not_reopen_it(self):
        """LAW-5"""
        address = "again@acts.test"
        self.world.grant(address)
        self.ctl.run("erase", address, "acme")
        self.assertIn("nothing may be sent yet", self.world.grant(address).stderr)
        self.assertEqual("erased", self.reason(address))
        row, = self.objects("grant", address, OFFERS_PURPOSE, *PROOF, "--at", "2020-01-01")
        self.assertEqual("stale", row["status"])
        self.assertNotIn((OFFERS_PURPOSE, "grant"), self.kinds(address))
        self.assertEqual(["erased", "shown", "shown"], [fate for _, _, fate in self.fates(address)][:3])

    def test_the_subject_reopens_it(self):
        address = "back@acts.test"
        self.world.grant(address)
        self.ctl.run("erase", address, "acme")
        place = Place.of_address(self.world, address)
        _, ledger, _ = place.call("sender_request", head(5, scope=2, statement=1), related=[1])
        place.call("subject_confirm", head(1, scope=2), related=ledger)
        self.assertEqual("express", self.reason(address))

    def test_a_mailbox_family_in_both_its_forms(self):
        """LAW-8: stops stand under the family, grants under the exact address; nothing may be left of either."""
        address = "fa.mily+news@gmail.com"
        self.world.grant(address)
        self.ctl.run("withdraw", "family@gmail.com", OFFERS_PURPOSE)
        self.ctl.run("erase", address, "acme")
        self.assertEqual([("acme", "erased"), ("acme", "erased")], self.kinds(address))
        self.assertEqual(["grant", "withdraw", "erase", "erase"], [act for act, _, _ in self.fates(address)])
        self.assertEqual(["erased", "erased", "shown", "shown"], [fate for _, _, fate in self.fates(address)])
        self.assertEqual("erased", self.reason("f.amily@googlemail.com"))

    def test_usage(self):
        self.complains(64, "withdrawn, not erased", of=("erase", "a@b.test", NEWS_PURPOSE))
        self.complains(65, "sender list", of=("erase", "a@b.test", "nobody"))
        for more in (("--reason", "x"), ("--at", "2026-01-01"), ("--source", "phone")):
            self.complains(64, "takes no", of=("erase", "a@b.test", "acme", *more))
        self.complains(64, of=("erase", "a@b.test"))
        self.complains(65, "JSON", of=("erase", "a@b.test", "acme", "--evidence", "x"))


class ReadingTest(ActsCase):
    def test_the_month_of_last_use(self):
        self.world.grant("used@acts.test")
        self.assertEqual("never", self.objects("show", "used@acts.test")[0]["last_use"])
        Place.of_address(self.world, "used@acts.test").use(5 * 12 + 1, 2)
        self.assertEqual("2025-02", self.objects("show", "used@acts.test")[0]["last_use"])
        self.assertIn("last used in 2025-02", self.ctl.run("show", "used@acts.test").stdout)

    def test_a_dormant_consent_is_told(self):
        self.ctl.run("purpose", "add", "acme/drowsy", "--dormancy", "3:warn")
        self.world.publish("acme/drowsy")
        self.world.grant("drowsy@acts.test", "acme/drowsy", "--at", "2025-01-01")
        row, = self.objects("check", "drowsy@acts.test", "acme/drowsy")
        self.assertTrue(row["dormant"])
        self.assertIn("permitted (express, dormant)", self.ctl.run("check", "drowsy@acts.test", "acme/drowsy").stdout)

    def test_bounces_and_requests(self):
        address = "bounce@acts.test"
        place = Place.of_address(self.world, address)
        place.call("system_bounce", head(7, scope=0, state=2))
        place.call("admin_request", head(5, scope=2, statement=1))
        self.assertEqual([("bounced", "disabled", "system"), ("request", "open", "admin")],
                         [(row["kind"], row["state"], row["rank"]) for row in self.objects("show", address)])
        self.assertEqual(["bounce", "request"], [row["act"] for row in self.objects("history", address)])
        self.assertEqual("bounced", self.reason(address))

    def test_a_move_to_another_place(self):
        """What is left here says where; the moved events say that their evidence stands elsewhere."""
        old, new = "moved@acts.test", "target@acts.test"
        self.world.grant(old)
        before, after = (Place.of_address(self.world, address) for address in (old, new))
        target = (2 << 20 | after.partition << 10 | after.bucket).to_bytes(3, "big") + after.field
        self.world.raw("FCALL", "system_forward", 7, *before.keys[:3], *after.keys[:3], before.facts_key,
                       self.world.store_id, os.urandom(8), before.field, before.bucket.to_bytes(2, "big"), after.field,
                       after.bucket.to_bytes(2, "big"), target)
        rows = self.objects("history", new)
        self.assertEqual([("forward", "grant", "moved")], [(r["act"], r["kind"], r["evidence_is"]) for r in rows])
        self.assertIn("at the old place", self.ctl.run("history", new).stdout)


if __name__ == "__main__":
    harness.main()
