"""consentctl: every command, what it prints, and how it ends."""

import json
import subprocess
import unittest

import harness
from harness import EVIDENCE, NEWS_PURPOSE, OFFERS_PURPOSE, STATEMENT
from store_world import SOFT_OPTIN_EVIDENCE, Place, StoreWorld

EVIDENCE_MAX = 4096
STATEMENT_MAX = 65536
UNKNOWN_ID = "a" * 26
ACT_KEYS = {"act", "scope", "status", "kind", "at", "ledger"}
PURPOSE_KEYS = {"purpose", "title", "id", "retired", "halted", "dormancy", "months", "statements"}

HOSTILE_TEXTS = ("Grüße aus Łódź", '"quoted" \\ back', "a/b;c|d&e$(f)`g`", "%s%n%x", "{\"json\": true}", "tab\tand\nline",
                 "\x1b[31mred", "' OR 1=1 --", "x" * 2000)
HOSTILE_ADDRESSES = ('"quo ted"@x.test', '"a\\"b"@x.test', "o'brien@x.test", "jürgen@x.test", "user@bücher.test",
                     "a+b=c@x.test", "%s%n@x.test", "$(id)@x.test", "user@[192.0.2.1]", "{1}@x.test")
BAD_ADDRESSES = ("", "@", "a@", "a b@x.test", "no-domain-dot@-x", "x" * 400 + "@x.test")


class CtlCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = StoreWorld().start().prepare()
        cls.ctl = cls.world.ctl

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()

    def run_raw(self, *arguments, stdin=b""):
        """Exit code, output and complaints as bytes."""
        result = subprocess.run([self.ctl.path, "-c", self.ctl.config, *arguments], input=stdin, capture_output=True,
                                timeout=60, check=False)
        return result.returncode, result.stdout, result.stderr

    def objects(self, *arguments, code=0, **options):
        """With --json each line is one object; anything else fails."""
        result = self.ctl.run("--json", *arguments, ok=(code,), **options)
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        for row in rows:
            self.assertIsInstance(row, dict)
        return rows

    def complains(self, code, *words, of):
        """Ends with this code, says all words on standard error and nothing on standard output."""
        result = self.ctl.run(*of, ok=(code,))
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertRegex(result.stderr, "^consentctl: |^usage: |\\nusage: ")
        self.assertEqual("", result.stdout)
        return result


class CommandsTest(CtlCase):
    """Each command once in its usual form: for people, with --json and with --quiet."""

    def test_every_command(self):
        text = self.world.write("usual.txt", STATEMENT)
        people = self.world.write("people.txt", "usual@ctl.test\n")
        proof = ("--source", "web_form", "--statement", "1", "--evidence", EVIDENCE)
        commands = (
            (("init",), {"store", "made", "pepper_fingerprint"}),
            (("sender", "add", "usual", "--title", "Usual Ltd"), {"sender", "changed"}),
            (("sender", "list"), {"sender", "title", "id", "halted"}),
            (("sender", "show", "usual"), {"sender", "title", "id", "halted"}),
            (("purpose", "add", "usual/news", "--title", "News"), {"purpose", "changed"}),
            (("purpose", "list"), PURPOSE_KEYS),
            (("purpose", "show", "usual/news"), PURPOSE_KEYS),
            (("statement", "publish", "usual/news", text), {"statement", "changed"}),
            (("statement", "show", "usual/news"), {"purpose", "version", "language", "text"}),
            (("grant", "usual@ctl.test", "usual/news", *proof), ACT_KEYS),
            (("check", "usual@ctl.test", "usual/news"), {"address", "verdict", "reason", "dormant"}),
            (("check", "--list", people, "usual/news"), {"address", "verdict", "reason", "dormant"}),
            (("show", "usual@ctl.test"), {"scope", "kind", "state", "ended", "rank", "guardian", "source", "statement",
                                          "at", "expires", "last_use", "ledger"}),
            (("history", "usual@ctl.test"), {"ledger", "recorded", "act", "scope", "kind", "state", "outcome", "rank",
                                             "guardian", "source", "statement", "at", "actor", "language", "evidence_is",
                                             "evidence", "evidence_lost"}),
            (("explain", "--rcpt", "usual@ctl.test", "--stream", "acme-news"), {"subject", "stream", "purpose",
                                                                                 "verdict", "reason"}),
            (("stats",), None),
            (("withdraw", "usual@ctl.test", "usual"), ACT_KEYS),
            (("restrict", "usual@ctl.test", "usual", "--reason", "minor"), ACT_KEYS),
            (("restrict", "usual@ctl.test", "usual", "--reason", "minor", "--end"), ACT_KEYS),
            (("erase", "usual@ctl.test", "usual"), ACT_KEYS),
            (("purpose", "dormancy", "usual/news", "12:warn"), {"purpose", "changed"}),
            (("store", "accept", "gone", "--retire", "--reason", "test"), {"keeper", "accepted"}),
            (("store", "status"), None),
            (("purpose", "retire", "usual/news"), {"purpose", "changed"}),
        )
        for command, keys in commands:
            with self.subTest(" ".join(command[:2])):
                rows = self.objects(*command)
                self.assertTrue(rows)
                for row in rows:
                    self.assertTrue(keys is None or keys == set(row), row)
                self.assertNotEqual("", self.ctl.run(*command, ok=(0, 1)).stdout)
                quiet = self.ctl.run("--quiet", *command, ok=(0, 1))
                self.assertEqual("", quiet.stdout)

    def test_help_and_version(self):
        usage = self.ctl.run("--help").stdout
        for word in ("init", "sender add", "statement publish", "grant", "withdraw", "check", "history", "explain",
                     "stats"):
            self.assertIn(f"consentctl {word}", usage)
        self.assertRegex(self.ctl.run("-V").stdout, r"^consentctl \d+\.\d+\.\d+\n$")
        one = self.ctl.run("grant", "--help").stdout
        self.assertIn("--source", one)
        self.assertNotIn("consentctl withdraw", one)

    def test_what_is_no_command_is_usage(self):
        for of in ((), ("nothing",), ("sender",), ("sender", "drop", "x"), ("--nonsense",), ("grant", "--nonsense"),
                   ("check", "a@b.test"), ("check", "a@b.test", "p/q", "r"), ("sender", "add"), ("show",),
                   ("show", "a", "b"), ("init", "x"), ("stats", "x"), ("history",), ("explain",),
                   ("explain", "x", "--rcpt", "y"), ("explain", "--rcpt", "a@b.test"),
                   ("check", "--list", "f", "a@b.test", "p/q"), ("show", *"abcdefgh")):
            with self.subTest(of):
                self.complains(64, of=of)

    def test_options_belong_to_their_commands(self):
        for of in (("init", "--title", "x"), ("sender", "list", "--at", "2026-01-01"),
                   ("withdraw", "a@b.test", "acme", "--guardian"), ("check", "a@b.test", "p/q", "--source", "api"),
                   ("grant", "a@b.test", "p/q", "--material"), ("show", "a@b.test", "--list", "x")):
            with self.subTest(of):
                self.complains(64, "takes no --", of=of)

    def test_a_full_device_is_told(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([self.ctl.path, "-c", self.ctl.config, "purpose", "list"], stdout=full,
                                    stderr=subprocess.PIPE, check=False)
        self.assertEqual(74, result.returncode, result.stderr)


class TroubleTest(CtlCase):
    def test_a_configuration_that_cannot_be_read(self):
        result = subprocess.run([self.ctl.path, "-c", "/nonexistent.conf", "stats"], capture_output=True, text=True,
                                check=False)
        self.assertEqual(78, result.returncode)
        self.assertIn("/nonexistent.conf", result.stderr)

    def test_the_environment_names_the_file(self):
        result = subprocess.run([self.ctl.path, "sender", "list"], capture_output=True, text=True, check=False,
                                env={"CONSENT_CONF": self.ctl.config})
        self.assertEqual((0, ""), (result.returncode, result.stderr))

    def test_keys_that_cannot_be_read(self):
        ctl = self.world.new_ctl("other.conf", {})
        with open(ctl.config, encoding="utf-8") as file:
            text = file.read().replace(self.world.keys, self.world.keys + "-none")
        self.world.write("other.conf", text)
        self.assertIn("consentctl init", ctl.run("sender", "list", ok=(78,)).stderr)

    def test_an_unreachable_store(self):
        other = StoreWorld(redis=self.world.redis, settings={"store": {"url": "unix:/nonexistent/redis.sock"}})
        self.addCleanup(other.stop)
        other.keys = self.world.keys
        ctl = other.new_ctl("away.conf", {"store": {"url": "unix:/nonexistent/redis.sock"}})
        for of in (("sender", "list"), ("show", "a@b.test"), ("history", "a@b.test"), ("stats",), ("init",),
                   ("explain", UNKNOWN_ID), ("withdraw", "a@b.test", "acme")):
            with self.subTest(of):
                result = ctl.run(*of, ok=(69,))
                self.assertIn("/nonexistent/redis.sock", result.stderr)
                self.assertEqual("", result.stdout)
        self.assertIn("don't know", ctl.run("check", "a@b.test", "x/y", ok=(75,)).stdout)
        self.assertEqual(75, ctl.run("check", "--list", "-", "x/y", ok=None, stdin="a@b.test\n").returncode)

    def test_a_wrong_password(self):
        path = self.world.write("password", "wrong")
        ctl = self.world.new_ctl("password.conf", {"store": {"user": "nobody", "password_file": path}})
        result = ctl.run("sender", "list", ok=(77,))
        self.assertIn("store_authentication", result.stderr)
        self.assertNotIn("wrong\n", result.stderr)


class GrantTest(CtlCase):
    def test_incomplete_express_is_asserted_and_says_so(self):
        for missing in ("--source", "--statement", "--evidence"):
            options = {"--source": "paper", "--statement": "1", "--evidence": EVIDENCE}
            del options[missing]
            result = self.ctl.run("--json", "grant", f"{missing[2:]}@ctl.test", NEWS_PURPOSE,
                                  *(word for pair in options.items() for word in pair))
            self.assertIn("recorded as asserted", result.stderr)
            self.assertEqual("asserted", json.loads(result.stdout)["kind"])
            self.ctl.run("check", f"{missing[2:]}@ctl.test", NEWS_PURPOSE, ok=(1,))

    def test_the_bases(self):
        for basis, kind in (("soft_optin", "soft_optin"), ("asserted", "asserted"), ("implied:purchase", "implied"),
                            ("implied:inquiry", "implied")):
            row, = self.objects("grant", "bases@ctl.test", NEWS_PURPOSE, "--basis", basis, "--anchor", "2026-01-31",
                                "--evidence", SOFT_OPTIN_EVIDENCE)
            self.assertEqual(kind, row["kind"])
        expires = {row["kind"]: row["expires"] for row in self.objects("show", "bases@ctl.test")}
        self.assertEqual("never", expires["soft_optin"])
        self.assertTrue(expires["implied"].startswith("2026-07-31T23:59:59"), expires)
        for bad in ("implied", "implied:gift", "expres", "", "express:x", "implied:purchase:x"):
            self.complains(64, "--basis", of=("grant", "a@b.test", NEWS_PURPOSE, "--basis", bad))
        self.complains(65, "anchor", of=("grant", "a@b.test", NEWS_PURPOSE, "--basis", "implied:purchase"))

    def test_bad_options_are_named(self):
        base = ("grant", "a@ctl.test", NEWS_PURPOSE)
        for option, value, code in (
                ("--source", "gossip", 64), ("--statement", "0", 64), ("--statement", "one", 64),
                ("--statement", "65536", 64), ("--statement", "-1", 64), ("--at", "yesterday", 64),
                ("--at", "2026-02-30", 64), ("--anchor", "2026-13-01", 64), ("--ref", "x" * 33, 64)):
            with self.subTest(f"{option} {value[:10]}"):
                self.complains(code, option, of=(*base, option, value))
        self.complains(65, "no statement version 9", of=(*base, "--statement", "9"))
        self.complains(65, "FUTURE", of=(*base, "--at", "2199-01-01"))
        self.complains(65, "not registered", "purpose list", of=("grant", "a@ctl.test", "acme/none"))
        for address in BAD_ADDRESSES:
            self.complains(65, "is not an address", of=("grant", address, NEWS_PURPOSE))

    def test_the_beginning_of_time_is_a_date(self):
        row, = self.objects("grant", "epoch@ctl.test", NEWS_PURPOSE, "--basis", "asserted", "--at", "1970-01-01")
        self.assertTrue(row["at"].startswith("1970-01-01"), row)

    def test_evidence_is_an_object_of_limited_size(self):
        for bad in ("[1]", "1", "null", "{", "{}x", '{"a":1,"a":2}', "text"):
            self.complains(65, "JSON object", of=("grant", "a@ctl.test", NEWS_PURPOSE, "--evidence", bad))
        wrapper = len(json.dumps({"actor": "root (consentctl)", "evidence": {"e": ""}}, separators=(",", ":")))
        options = ("--source", "phone", "--statement", "1", "--evidence")
        for more, code in ((0, 0), (1, 65)):
            text = json.dumps({"e": "x" * (EVIDENCE_MAX - wrapper + more)}, separators=(",", ":"))
            result = self.ctl.run("grant", "large@ctl.test", NEWS_PURPOSE, *options, text, ok=(code,))
        self.assertIn("4096", result.stderr)
        row, = self.objects("history", "large@ctl.test")
        self.assertEqual(EVIDENCE_MAX - wrapper, len(row["evidence"]["evidence"]["e"]))

    def test_hostile_texts_come_back_as_they_went_in(self):
        for number, text in enumerate(HOSTILE_TEXTS):
            with self.subTest(text[:20]):
                address = f"hostile{number}@ctl.test"
                self.ctl.run("grant", address, NEWS_PURPOSE, "--source", "paper", "--statement", "1", "--evidence",
                             json.dumps({"said": text}), "--ref", text.encode()[:20].decode(errors="ignore"))
                row, = self.objects("history", address)
                self.assertEqual(text, row["evidence"]["evidence"]["said"])
                self.assertEqual(text.encode()[:20].decode(errors="ignore"), row["evidence"]["ref"])

    def test_hostile_addresses_are_kept_apart(self):
        for address in HOSTILE_ADDRESSES:
            with self.subTest(address):
                self.world.grant(address)
                self.assertEqual("accept", self.objects("check", address, NEWS_PURPOSE)[0]["verdict"])
        self.ctl.run("check", '"other"@x.test', NEWS_PURPOSE, ok=(1,))

    def test_text_that_is_not_utf_8_is_refused(self):
        code, _, complaint = self.run_raw("grant", "utf8@ctl.test", NEWS_PURPOSE, "--ref", b"\xff")
        self.assertEqual(65, code, complaint)
        self.assertIn(b"UTF-8", complaint)
        self.assertEqual(65, self.run_raw("grant", b"\xff@ctl.test", NEWS_PURPOSE)[0])

    def test_a_grant_that_a_stop_covers_says_so(self):
        self.ctl.run("withdraw", "stopped@ctl.test", "acme")
        self.assertIn("nothing may be sent yet", self.world.grant("stopped@ctl.test").stderr)
        self.assertEqual("", self.world.grant("free@ctl.test").stderr)


class WithdrawTest(CtlCase):
    def test_the_scopes(self):
        for scope in (NEWS_PURPOSE, "acme", "everybody"):
            address = f"{scope.replace('/', '-')}@ctl.test"
            self.world.grant(address)
            self.assertEqual(scope, self.objects("withdraw", address, scope)[0]["scope"])
            self.ctl.run("check", address, NEWS_PURPOSE, ok=(1,))
            self.assertEqual({scope}, {r["scope"] for r in self.objects("show", address) if r["kind"] == "stop"})

    def test_the_reasons(self):
        for reason in ("withdrawn", "objected", "complained", "refused"):
            address = f"{reason}@ctl.test"
            self.ctl.run("withdraw", address, NEWS_PURPOSE, "--reason", reason, "--source", "mail")
            self.assertEqual([(reason, "mail")], [(r["state"], r["source"]) for r in self.objects("show", address)])
            self.assertEqual(reason, self.objects("check", address, NEWS_PURPOSE, code=1)[0]["reason"])
        self.complains(64, "--reason", "withdrawn", of=("withdraw", "a@b.test", "acme", "--reason", "bored"))

    def test_an_older_one_is_stale_and_kept(self):
        self.ctl.run("withdraw", "stale@ctl.test", NEWS_PURPOSE)
        row, = self.objects("withdraw", "stale@ctl.test", NEWS_PURPOSE, "--at", "2020-01-01")
        self.assertEqual("stale", row["status"])
        self.assertEqual(["applied", "stale"], [r["outcome"] for r in self.objects("history", "stale@ctl.test")])

    def test_what_is_not_registered_is_named(self):
        self.complains(65, "sender list", of=("withdraw", "a@b.test", "nobody"))
        self.complains(65, "purpose list", of=("withdraw", "a@b.test", "acme/none"))
        self.complains(65, "not an address", of=("withdraw", "a@", "acme"))

    def test_a_mailbox_family_is_stopped_as_a_whole(self):
        """LAW-8"""
        self.world.grant("fa.mily+x@gmail.com")
        self.ctl.run("withdraw", "family@googlemail.com", NEWS_PURPOSE)
        self.ctl.run("check", "fa.mily+x@gmail.com", NEWS_PURPOSE, ok=(1,))
        kinds = [row["kind"] for row in self.objects("show", "fa.mily+x@gmail.com")]
        self.assertEqual(["grant", "stop"], kinds)
        self.assertEqual(2, len(self.objects("history", "fa.mily+x@gmail.com")))


class CheckTest(CtlCase):
    def setUp(self):
        self.world.grant("yes@ctl.test")

    def test_lists_from_a_file_and_from_standard_input(self):
        text = "yes@ctl.test\n\n  no@ctl.test \r\nnot an address\nyes@ctl.test"
        want = [("yes@ctl.test", "accept"), ("no@ctl.test", "refuse"), ("not an address", "refuse"),
                ("yes@ctl.test", "accept")]
        for source, stdin in ((self.world.write("list", text), None), ("-", text)):
            rows = self.objects("check", "--list", source, NEWS_PURPOSE, code=1, stdin=stdin)
            self.assertEqual(want, [(row["address"], row["verdict"]) for row in rows])
        self.assertEqual([], self.objects("check", "--list", "-", NEWS_PURPOSE, stdin=""))
        self.ctl.run("check", "--list", "-", NEWS_PURPOSE, stdin="yes@ctl.test\n")
        self.complains(66, "nonexistent", of=("check", "--list", "/nonexistent", NEWS_PURPOSE))

    def test_a_long_line_is_one_address(self):
        """Its end must not be taken for somebody who may be written to."""
        line = "x" * (1023 - len("yes@ctl.test")) + " " * len("yes@ctl.test") + "yes@ctl.test\n"
        rows = self.objects("check", "--list", "-", NEWS_PURPOSE, code=1, stdin=line)
        self.assertEqual(["refuse"], [row["verdict"] for row in rows])

    def test_a_line_that_is_not_utf_8_is_one_object_too(self):
        code, out, _ = self.run_raw("--json", "check", "--list", "-", NEWS_PURPOSE,
                                    stdin=b"caf\xe9@ctl.test\nyes@ctl.test\n")
        self.assertEqual(1, code)
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(["refuse", "accept"], [row["verdict"] for row in rows])

    def test_a_nul_does_not_hide_the_rest_of_a_line(self):
        code, out, _ = self.run_raw("--json", "check", "--list", "-", NEWS_PURPOSE, stdin=b"yes@ctl.test\0@evil.test\n")
        self.assertEqual(1, code, out)

    def test_an_unknown_purpose_is_not_permitted(self):
        self.assertEqual("purpose_unknown", self.objects("check", "yes@ctl.test", "acme/none", code=1)[0]["reason"])

    def test_only_the_future_can_be_asked_for(self):
        self.complains(64, "history", of=("check", "yes@ctl.test", NEWS_PURPOSE, "--at", "2020-01-01"))
        self.ctl.run("check", "yes@ctl.test", NEWS_PURPOSE, "--at", "2099-01-01")
        self.complains(64, "--at", of=("check", "yes@ctl.test", NEWS_PURPOSE, "--at", "soon"))


class ReadingTest(CtlCase):
    def test_history_prints_evidence(self):
        self.world.grant("story@ctl.test", NEWS_PURPOSE, "--ref", "crm-17")
        self.ctl.run("withdraw", "story@ctl.test", "acme", "--reason", "complained")
        shown = self.ctl.run("history", "story@ctl.test").stdout
        for word in ("grant", "https://acme.example/signup", "ticked", "crm-17", "(consentctl)", "complained",
                     "by admin"):
            self.assertIn(word, shown)
        first, second = self.objects("history", "story@ctl.test")
        self.assertEqual(("grant", "withdraw"), (first["act"], second["act"]))
        self.assertEqual(json.loads(EVIDENCE), first["evidence"]["evidence"])
        self.assertEqual(("shown", False), (first["evidence_is"], first["evidence_lost"]))

    def test_who_is_unknown_has_no_records_and_no_events(self):
        self.assertIn("no records", self.ctl.run("show", "unknown@ctl.test").stdout)
        self.assertIn("no events", self.ctl.run("history", "unknown@ctl.test").stdout)
        self.assertEqual([], self.objects("show", "unknown@ctl.test"))
        self.assertEqual([], self.objects("history", "unknown@ctl.test"))

    def test_history_of_a_crowded_partition(self):
        """More than one page of the ledger, all of others but the first and the last."""
        address = "crowd@ctl.test"
        self.world.grant(address)
        place = Place.of_address(self.world, address)
        event = self.world.raw("XRANGE", place.ledger_key, "-", "+")[0][1][1]
        other = event[:13] + b"somebody" + event[21:]
        for _ in range(2100):
            self.world.raw("XADD", place.ledger_key, "*", "e", other, "x", b"")
        self.ctl.run("withdraw", address, NEWS_PURPOSE)
        self.assertEqual(["grant", "withdraw"], [row["act"] for row in self.objects("history", address)])

    def test_explain_of_an_unknown_id(self):
        result = self.complains(65, UNKNOWN_ID, "no refusal", of=("explain", UNKNOWN_ID))
        self.assertIn("in the log only", result.stderr)
        for bad in ("", "x", "A" * 26, "1" * 26, "a" * 25, "a" * 27):
            self.complains(65, "is not a decision id", of=("explain", bad))

    def test_explain_of_a_stream(self):
        self.complains(65, "there is no stream", of=("explain", "--rcpt", "a@b.test", "--stream", "none"))
        declared = self.ctl.run("explain", "--rcpt", "a@b.test", "--stream", "acme-declared", ok=(65,))
        self.assertIn("from each message", declared.stderr)
        self.assertEqual("service", self.objects("explain", "--rcpt", "a@b.test", "--stream", "acme-receipts")[0]["reason"])
        shown = self.ctl.run("explain", "--rcpt", "a@b.test", "--stream", "acme-news").stdout
        self.assertIn("verdict refuse", shown)
        row, = self.objects("explain", "--rcpt", "a@b.test", "--stream", "unregistered")
        self.assertEqual(("defer", "configuration"), (row["verdict"], row["reason"]))

    def test_stats_count_records(self):
        self.world.grant("counted@ctl.test", OFFERS_PURPOSE)
        rows = self.objects("stats")
        records = next(row["records"] for row in rows if "records" in row)
        self.assertEqual(1, records["acme/offers:grant:given"])
        self.assertNotIn("newest_grant", records)

    def test_statements_have_a_ceiling_and_a_text(self):
        path = self.world.write("long", "x" * STATEMENT_MAX)
        self.ctl.run("purpose", "add", "acme/long")
        self.ctl.run("statement", "publish", "acme/long", path)
        self.assertEqual("x" * STATEMENT_MAX, self.objects("statement", "show", "acme/long")[0]["text"])
        path = self.world.write("long", "x" * (STATEMENT_MAX + 1))
        self.ctl.run("statement", "publish", "acme/long", path, ok=(65, 66))
        self.complains(65, "empty", of=("statement", "publish", "acme/long", self.world.write("empty", "")))
        self.complains(66, "nonexistent", of=("statement", "publish", "acme/long", "/nonexistent"))
        self.complains(65, "no statement version 7", of=("statement", "show", "acme/long", "--version", "7"))
        self.complains(65, "language xx", of=("statement", "show", "acme/long", "--lang", "xx"))
        for bad in ("0", "-1", "x", "65536"):
            self.complains(64, "--version", of=("statement", "publish", "acme/long", path, "--version", bad))

    def test_a_statement_that_is_not_utf_8_is_refused(self):
        """`statement show --json` could not print it."""
        self.ctl.run("purpose", "add", "acme/latin")
        code, _, complaint = self.run_raw("statement", "publish", "acme/latin", self.world.write("latin", b"caf\xe9"))
        self.assertEqual(65, code, complaint)

    def test_hostile_titles(self):
        for number, title in enumerate(HOSTILE_TEXTS):
            with self.subTest(title[:20]):
                self.ctl.run("sender", "add", f"h{number}", "--title", title)
                self.assertEqual(title, self.objects("sender", "show", f"h{number}")[0]["title"])
        plain = self.ctl.run("sender", "list").stdout
        self.assertNotIn("\x1b", plain, "a title must not speak to the terminal")
        self.assertEqual(len(HOSTILE_TEXTS) + 1, len([line for line in plain.splitlines() if line]))

    def test_names_have_few_letters(self):
        for name in ("", "Acme", "a b", "a/b", "ä", "a\nb", "x" * 129, "a%", "a:b", "{a}"):
            self.complains(65, "sender", of=("sender", "add", name))
        for name in ("acme", "acme/", "/x", "acme//x", "acme/X", "acme/a b", "acme/" + "x" * 129):
            self.complains(65, "purpose", of=("purpose", "add", name))


if __name__ == "__main__":
    harness.main()
