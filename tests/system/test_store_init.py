"""Making a store, finding it again, and its registry."""

import hashlib
import json
import os
import time
import unittest

import harness
from harness import NEWS_PURPOSE, OFFERS_PURPOSE, STATEMENT
from rig.proc import wait_for
from store_world import PARTITIONS, StoreWorld


class InitTest(unittest.TestCase):
    def setUp(self):
        self.world = StoreWorld().start(init=False)
        self.addCleanup(self.world.stop)
        self.ctl = self.world.ctl

    def facts(self, partition):
        flat = self.world.raw("HGETALL", f"m:{{p{partition:03x}}}")
        return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2])}

    def no_rewrite(self):
        info = self.world.raw("INFO", "persistence")
        return b"aof_rewrite_in_progress:0" in info and b"aof_rewrite_scheduled:0" in info

    def test_it_makes_keys_and_facts(self):
        result = self.ctl.json("init")
        self.assertTrue(result["made"])
        self.assertEqual(self.world.store_id, result["store"])
        self.assertEqual(hashlib.sha256(self.world.pepper).hexdigest()[:16], result["pepper_fingerprint"])
        self.assertEqual(["archive.1", "archive.1.pub", "pepper.1", "seal.1", "store"], sorted(os.listdir(self.world.keys)))
        for name in os.listdir(self.world.keys):
            mode = 0o444 if name.endswith(".pub") else 0o400
            self.assertEqual(mode, os.stat(os.path.join(self.world.keys, name)).st_mode & 0o777, name)
        for partition in (0, 1, 511, PARTITIONS - 1):
            facts = self.facts(partition)
            self.assertEqual((self.world.store_id, "1", "1", "0"),
                             (facts["store"], facts["epoch"], facts["schema"], facts["registry"]))
        self.assertEqual(PARTITIONS, self.world.raw("DBSIZE"))

    def test_it_says_to_back_up_the_pepper(self):
        self.assertIn("BACK UP THE PEPPER", self.ctl.run("init").stdout)

    def test_twice_is_as_once(self):
        self.ctl.run("init")
        self.world.prepare().grant("twice@store.test")
        before, keys = self.world.redis.snapshot(), {n: self.world.key_file(n) for n in os.listdir(self.world.keys)}
        self.assertFalse(self.ctl.json("init")["made"])
        self.assertEqual(keys, {n: self.world.key_file(n) for n in os.listdir(self.world.keys)})
        self.assertEqual(before, self.world.redis.snapshot())
        self.ctl.run("check", "twice@store.test", NEWS_PURPOSE)

    def test_an_emptied_redis_is_a_lost_store(self):
        """LAW-12: it is told, and never papered over."""
        self.ctl.run("init")
        self.world.raw("FLUSHALL")
        result = self.ctl.run("init", ok=(69,))
        for word in ("empty", self.world.store_id, "restore"):
            self.assertIn(word, result.stderr)
        self.assertEqual(0, self.world.raw("DBSIZE"))
        self.assertEqual("", result.stdout)
        self.assertIn("store_missing", self.ctl.run("check", "a@b.test", "x/y", ok=(75,)).stderr)
        self.assertIn("no consent store", self.ctl.run("sender", "add", "acme", ok=(75,)).stderr)
        self.assertEqual(0, self.world.raw("DBSIZE"))

    def test_a_redis_that_forgets_is_refused(self):
        """LAW-11"""
        for name, bad, good in (("appendfsync", "everysec", "always"), ("appendfsync", "no", "always"),
                                ("appendonly", "no", "yes"), ("maxmemory-policy", "allkeys-lru", "noeviction"),
                                ("maxmemory-policy", "volatile-ttl", "noeviction")):
            with self.subTest(f"{name} {bad}"):
                self.world.raw("CONFIG", "SET", name, bad)
                self.assertIn(f"`{name} {good}`", self.ctl.run("init", ok=(69,)).stderr)
                self.assertEqual(0, self.world.raw("DBSIZE"))
                self.world.raw("CONFIG", "SET", name, good)
                wait_for(self.no_rewrite, "the end of writing a first AOF")  # Redis does not stop before
        self.ctl.run("init")

    def test_an_interrupted_init_goes_on_with_the_same_keys(self):
        self.ctl.run("init")
        pepper, store_id = self.world.pepper, self.world.store_id
        os.rename(f"{self.world.keys}/store", f"{self.world.keys}/store.new")
        for partition in range(600, PARTITIONS):
            self.world.raw("DEL", f"m:{{p{partition:03x}}}")
        self.assertTrue(self.ctl.json("init")["made"])
        self.assertEqual((pepper, store_id), (self.world.pepper, self.world.store_id))
        self.assertEqual(PARTITIONS, self.world.raw("DBSIZE"))

    def test_an_init_that_ended_before_the_rename_only_renames(self):
        self.ctl.run("init")
        os.rename(f"{self.world.keys}/store", f"{self.world.keys}/store.new")
        before = self.world.redis.snapshot()
        self.assertFalse(self.ctl.json("init")["made"])
        self.assertEqual(before, self.world.redis.snapshot())
        self.assertFalse(os.path.exists(f"{self.world.keys}/store.new"))

    def test_new_keys_do_not_take_over_another_store(self):
        self.ctl.run("init")
        os.rename(self.world.keys, self.world.keys + ".away")
        before = self.world.redis.snapshot()
        self.assertIn("another consent store", self.ctl.run("init", ok=(69,)).stderr)
        self.assertEqual(before, self.world.redis.snapshot())
        self.assertNotIn("store", os.listdir(self.world.keys))

    def test_new_keys_do_not_take_over_a_store_that_lost_its_first_partition(self):
        self.ctl.run("init")
        os.rename(self.world.keys, self.world.keys + ".away")
        self.world.raw("DEL", "m:{p000}")
        before = self.world.redis.snapshot()
        self.assertIn("another consent store", self.ctl.run("init", ok=(69,)).stderr)
        self.assertEqual(before, self.world.redis.snapshot())

    def test_a_missing_pepper_is_asked_for_and_never_made_anew(self):
        self.ctl.run("init")
        os.unlink(f"{self.world.keys}/pepper.1")
        result = self.ctl.run("init", ok=(73,))
        for word in ("pepper.1", "restore", "backup"):
            self.assertIn(word, result.stderr)
        self.assertFalse(os.path.exists(f"{self.world.keys}/pepper.1"))

    def test_another_pepper_is_told_from_no_consent(self):
        self.ctl.run("init")
        self.world.prepare().grant("pepper@store.test")
        path = f"{self.world.keys}/pepper.1"
        os.chmod(path, 0o600)
        with open(path, "wb") as file:
            file.write(os.urandom(32))
        self.assertIn("store_wrong_pepper", self.ctl.run("check", "pepper@store.test", NEWS_PURPOSE, ok=(75,)).stderr)
        self.ctl.run("withdraw", "pepper@store.test", NEWS_PURPOSE, ok=(75,))
        self.ctl.run("init", ok=(69,))

    def test_lost_functions_are_named_and_loaded_again(self):
        self.ctl.run("init")
        self.world.prepare()
        self.world.raw("FUNCTION", "FLUSH")
        result = self.ctl.run("withdraw", "a@store.test", NEWS_PURPOSE, ok=(75,))
        self.assertIn("store_no_function", result.stderr)
        self.assertIn("consentctl init", result.stderr)
        self.ctl.run("init")
        self.ctl.run("withdraw", "a@store.test", NEWS_PURPOSE)

    def test_another_layout_is_refused(self):
        self.ctl.run("init")
        for field in ("schema", "canon"):
            for partition in range(PARTITIONS):
                self.world.raw("HSET", f"m:{{p{partition:03x}}}", field, "2")
            self.assertIn("store_schema", self.ctl.run("check", "a@b.test", "x/y", ok=(75,)).stderr)
            self.ctl.run("init", ok=(69,))
            for partition in range(PARTITIONS):
                self.world.raw("HSET", f"m:{{p{partition:03x}}}", field, "1")

    def test_records_survive_a_crash_of_redis(self):
        """LAW-11: what was acknowledged is there."""
        self.ctl.run("init")
        self.world.prepare().grant("crash@store.test")
        self.world.raw.close()
        self.world.redis.kill()
        self.world.redis.start()
        self.world.raw = self.world.redis.client()
        self.ctl.run("check", "crash@store.test", NEWS_PURPOSE)


class RegistryTest(unittest.TestCase):
    def setUp(self):
        self.world = StoreWorld().start()
        self.addCleanup(self.world.stop)
        self.ctl = self.world.ctl

    def ids(self):
        rows = []
        for what in ("sender", "purpose"):
            lines = self.ctl.run("--json", what, "list").stdout.splitlines()
            rows += [(row[what], row["id"]) for row in map(json.loads, lines)]
        return dict(rows)

    def test_ids_come_from_one_counter_and_are_never_reused(self):
        for command in (("sender", "add", "acme"), ("purpose", "add", "acme/a"), ("sender", "add", "beta"),
                        ("purpose", "add", "beta/a"), ("purpose", "add", "acme/b")):
            self.assertTrue(self.ctl.json(*command)["changed"])
        first = self.ids()
        self.assertEqual({"acme": 1, "acme/a": 2, "beta": 3, "beta/a": 4, "acme/b": 5}, first)
        self.ctl.run("purpose", "retire", "acme/b")
        for command in (("sender", "add", "acme", "--title", "other"), ("purpose", "add", "acme/b")):
            self.assertFalse(self.ctl.json(*command)["changed"])
        self.assertEqual(first, self.ids())
        self.ctl.run("purpose", "add", "acme/c")
        self.assertEqual(6, self.ids()["acme/c"])

    def test_refused_rows_use_up_nothing_that_counts(self):
        self.ctl.run("sender", "add", "acme")
        self.ctl.run("purpose", "add", "nobody/a", ok=(65,))
        self.ctl.run("purpose", "add", "acme/no-such-parent/a", ok=(65,))
        self.ctl.run("purpose", "add", "acme/a")
        self.assertEqual({"acme": 1, "acme/a": 2}, self.ids())

    def test_a_purpose_needs_its_parent(self):
        self.ctl.run("sender", "add", "acme")
        result = self.ctl.run("purpose", "add", "acme/offers/partners", ok=(65,))
        self.assertIn("not registered", result.stderr)
        self.ctl.run("purpose", "add", "acme/offers")
        self.ctl.run("purpose", "add", "acme/offers/partners")
        # A stop of the parent goes down to the child, a grant does not. LAW-4
        self.world.publish("acme/offers/partners")
        self.world.publish("acme/offers")
        self.world.grant("child@store.test", "acme/offers/partners")
        self.ctl.run("check", "child@store.test", "acme/offers/partners")
        self.ctl.run("withdraw", "child@store.test", "acme/offers")
        self.ctl.run("check", "child@store.test", "acme/offers/partners", ok=(1,))
        self.world.grant("parent@store.test", "acme/offers")
        self.ctl.run("check", "parent@store.test", "acme/offers/partners", ok=(1,))

    def test_eight_levels_and_no_more(self):
        self.ctl.run("sender", "add", "s")
        path = "s"
        for level in range(1, 8):
            path += f"/{level}"
            self.ctl.run("purpose", "add", path)
        self.world.publish(path)
        self.world.grant("deep@store.test", path)
        self.ctl.run("check", "deep@store.test", path)
        self.ctl.run("purpose", "add", path + "/8", ok=(65,))
        self.ctl.run("check", "deep@store.test", path)

    def test_a_row_that_reached_the_registry_by_hand_is_don_t_know(self):
        """LAW-2: not "purpose unknown" and not "no consent"."""
        self.world.prepare().grant("hand@store.test")
        self.world.raw("HSET", "g:{p000}:purposes", "acme/bad", "{}")
        self.assertIn("store_registry", self.ctl.run("check", "hand@store.test", NEWS_PURPOSE, ok=(75,)).stderr)

    def test_a_retired_purpose_permits_nothing(self):
        self.world.prepare().grant("retired@store.test")
        self.assertTrue(self.ctl.json("purpose", "retire", NEWS_PURPOSE)["changed"])
        self.assertFalse(self.ctl.json("purpose", "retire", NEWS_PURPOSE)["changed"])
        self.assertIn("purpose_retired", self.ctl.run("check", "retired@store.test", NEWS_PURPOSE, ok=(1,)).stdout)
        self.ctl.run("purpose", "retire", "acme/none", ok=(65,))

    def test_every_change_raises_the_version_in_all_partitions(self):
        for number, name in enumerate(("a", "b", "c"), 1):
            self.ctl.run("sender", "add", name)
            for partition in (0, 77, PARTITIONS - 1):
                self.assertEqual(str(number).encode(), self.world.raw("HGET", f"m:{{p{partition:03x}}}", "registry"))
        self.world.raw("FCALL", "admin_registry_announce", 1, "m:{p000}", "1")
        self.assertEqual(b"3", self.world.raw("HGET", "m:{p000}", "registry"), "it only rises")

    def test_a_repeated_command_repairs_a_lost_announcement(self):
        self.ctl.run("sender", "add", "acme")
        self.world.raw("HSET", "m:{p123}", "registry", "0")
        self.ctl.run("sender", "add", "acme")
        self.assertEqual(b"1", self.world.raw("HGET", "m:{p123}", "registry"))

    def test_text_that_is_not_utf_8_is_refused_and_harms_nobody(self):
        """One row that cannot be read would defer all mail."""
        self.world.prepare().grant("utf8@store.test")
        path = self.world.write("text", STATEMENT)
        rows = {key: self.world.raw("DUMP", key) for key in self.world.raw("KEYS", "g:*")}
        for arguments in (("sender", "add", "bad", "--title", b"\xff"), ("sender", "add", "bad", "--title", b"\xed\xa0\x80"),
                          ("purpose", "add", "acme/bad", "--title", b"caf\xe9"),
                          ("statement", "publish", OFFERS_PURPOSE, path, "--lang", b"\xff")):
            with self.subTest(arguments):
                result = self.ctl.run(*arguments, ok=None)
                self.ctl.run("check", "utf8@store.test", NEWS_PURPOSE)
                self.assertIn(result.returncode, (64, 65))
            for key, row in rows.items():
                self.world.raw("RESTORE", key, 0, row, "REPLACE")


class StatementTest(unittest.TestCase):
    def setUp(self):
        self.world = StoreWorld().start()
        self.addCleanup(self.world.stop)
        self.ctl = self.world.ctl
        self.ctl.run("sender", "add", "acme")
        self.ctl.run("purpose", "add", NEWS_PURPOSE)
        self.world.publish(NEWS_PURPOSE, "one")

    def versions(self):
        return [row["version"] for row in self.ctl.json("purpose", "show", NEWS_PURPOSE)["statements"]]

    def test_a_version_is_published_once(self):
        self.world.publish(NEWS_PURPOSE, "two", "--version", "2")
        self.assertIn("present", self.world.publish(NEWS_PURPOSE, "two", "--version", "2").stdout)
        result = self.world.publish(NEWS_PURPOSE, "other", "--version", "2", ok=(65,))
        self.assertIn("another text", result.stderr)
        self.assertEqual("two\n", self.ctl.run("statement", "show", NEWS_PURPOSE, "--version", "2").stdout)
        self.assertEqual("one\n", self.ctl.run("statement", "show", NEWS_PURPOSE, "--version", "1").stdout)
        self.assertEqual([1, 2], self.versions())

    def test_only_the_next_version(self):
        for version in ("3", "100", "65535"):
            self.assertIn("next version is 2", self.world.publish(NEWS_PURPOSE, "x", "--version", version, ok=(65,)).stderr)
        self.world.publish(NEWS_PURPOSE, "two", "--version", "2")
        self.assertEqual([1, 2], self.versions())

    def test_the_same_text_without_a_number_is_no_new_version(self):
        """`publish` says to repeat the command when an announcement got lost: that must be harmless."""
        self.world.publish(NEWS_PURPOSE, "one")
        self.assertEqual([1], self.versions())

    def test_languages_are_renditions(self):
        self.world.publish(NEWS_PURPOSE, "eins", "--version", "1", "--lang", "de")
        self.assertEqual("eins\n", self.ctl.run("statement", "show", NEWS_PURPOSE, "--lang", "de").stdout)
        self.assertEqual("one\n", self.ctl.run("statement", "show", NEWS_PURPOSE).stdout)
        self.world.publish(NEWS_PURPOSE, "uno", "--version", "1", "--lang", "it", "--material", ok=(65,))
        self.world.publish(NEWS_PURPOSE, "uno", "--version", "1", "--lang", "it", "--effective", "2020-01-01", ok=(65,))
        self.assertEqual([1], self.versions())

    def test_a_statement_of_an_unregistered_purpose(self):
        self.world.publish("acme/none", "x", ok=(65,))

    def test_a_material_change_stops_older_grants_on_its_date(self):
        """LAW-9"""
        self.world.grant("old@store.test")
        year = time.gmtime().tm_year + 1
        self.world.publish(NEWS_PURPOSE, "two", "--material", "--effective", f"{year}-03-01")
        self.world.publish(NEWS_PURPOSE, "three")
        self.world.grant("new@store.test", statement="2")
        self.ctl.run("check", "old@store.test", NEWS_PURPOSE)
        self.ctl.run("check", "old@store.test", NEWS_PURPOSE, "--at", f"{year}-02-28T23:59:59.999Z")
        result = self.ctl.run("check", "old@store.test", NEWS_PURPOSE, "--at", f"{year}-03-01", ok=(1,))
        self.assertIn("older_statement", result.stdout)
        self.ctl.run("check", "new@store.test", NEWS_PURPOSE, "--at", f"{year}-03-01")

    def test_a_material_change_without_a_date_counts_now(self):
        self.world.grant("old@store.test")
        self.world.publish(NEWS_PURPOSE, "two", "--material")
        self.ctl.run("check", "old@store.test", NEWS_PURPOSE, ok=(1,))
        self.world.grant("old@store.test", statement="2")
        self.ctl.run("check", "old@store.test", NEWS_PURPOSE)

    def test_a_change_that_is_not_material_stops_nothing(self):
        self.world.grant("same@store.test")
        self.world.publish(NEWS_PURPOSE, "two")
        self.ctl.run("check", "same@store.test", NEWS_PURPOSE)


if __name__ == "__main__":
    harness.main()
