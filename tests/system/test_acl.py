"""The shipped users of Redis: what each can do is what it needs, and all else is refused."""

import hashlib
import os
import struct
import unittest

import harness
from harness import EVIDENCE, NEWS_PURPOSE
from rig import proc
from rig.milter import Ctl, write_libconfig
from rig.redis import RespClient, RespError
from shipped_redis import USERS, ShippedRedis, shipped_users
from store_world import StoreWorld, head

# One place that nobody else uses, and the key of each room there.
C, L, N, M = "c:{p00b}:0001", "l:{p00b}", "n:{p00b}", "m:{p00b}"
FIRST_L, FIRST_N, FIRST_M = "l:{p000}", "n:{p000}", "m:{p000}"
A, D, R, U = "a:{p00b}", "d:{p00b}:20260101", "r:{p00b}", "u:{p00b}"
G = "g:{p000}:senders"

SUBJECT = ("subject_confirm", "subject_withdraw")
OFFICER = tuple(f"officer_{act}" for act in ("grant", "withdraw", "restrict", "suspend", "end", "erase"))
ADMIN = tuple(f"admin_{act}" for act in ("grant", "withdraw", "request", "restrict", "suspend", "end", "erase", "bounce"))
SENDER = tuple(f"sender_{act}" for act in ("grant", "withdraw", "request"))
SYSTEM = ("system_withdraw", "system_bounce")
ACTS = SUBJECT + OFFICER + ADMIN + SENDER + SYSTEM
REGISTRY = ("admin_sender_add", "admin_purpose_add", "admin_purpose_retire", "admin_purpose_dormancy", "admin_registry_halt",
            "admin_statement_publish")

# Function: its keys. Arguments are left out, so that whoever may call it gets the function's own refusal.
OTHER_FUNCTIONS = {
    "system_note": (FIRST_L, FIRST_N, FIRST_M),
    "admin_note": (FIRST_L, FIRST_N, FIRST_M),
    "system_forward": (C, L, N, "c:{p00b}:0002", L, N, M),
    "system_use": (C, M),
    "keeper_beat": (FIRST_M, N),
    "admin_accept": (FIRST_M, FIRST_L, FIRST_N),
    "admin_forget_mark": (N,),
    "admin_registry_announce": (M,),
} | {name: ("g:{p000}:counter", FIRST_L, FIRST_N, G) for name in REGISTRY}
FUNCTIONS = {name: (C, L, N, M) for name in ACTS} | OTHER_FUNCTIONS

MAY_CALL = {
    "milter": {"system_note"},
    "keeper": set(ACTS) | {"admin_note", "system_note", "system_forward", "system_use", "keeper_beat"},
    "admin": set(ADMIN) | set(REGISTRY) | {"admin_note", "admin_accept", "admin_forget_mark", "admin_registry_announce",
                                           "system_forward"},
    "officer": set(OFFICER) | {"system_forward"},
    "sender": set(SENDER),
    "api": set(), "archiver": set(), "doctor": set(), "deploy": set(),
}

NOBODY_MAY = (
    ("FLUSHALL",), ("FLUSHDB",), ("SHUTDOWN", "NOSAVE"), ("DEBUG", "SLEEP", "0"), ("SAVE",), ("BGSAVE",), ("BGREWRITEAOF",),
    ("CONFIG", "SET", "appendfsync", "no"), ("CONFIG", "REWRITE"), ("CONFIG", "RESETSTAT"), ("REPLICAOF", "NO", "ONE"),
    ("FUNCTION", "FLUSH"), ("FUNCTION", "DELETE", "consent"), ("FUNCTION", "DUMP"), ("EVAL", "return 1", "0"),
    ("SCRIPT", "FLUSH"), ("ACL", "LIST"), ("ACL", "SETUSER", "milter", "+@all"), ("ACL", "LOAD"), ("ACL", "GETUSER", "doctor"),
    ("KEYS", "*"), ("SCAN", "0"), ("DBSIZE",), ("RANDOMKEY",), ("MONITOR",), ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "LIST"), ("PUBLISH", "x", "y"), ("SUBSCRIBE", "x"), ("SWAPDB", "0", "1"), ("SELECT", "1"), ("MULTI",),
    ("DEL", C), ("UNLINK", L), ("RENAME", C, "c:{p00b}:0002"), ("COPY", C, "c:{p00b}:0002"), ("DUMP", C), ("TYPE", C),
    ("EXPIRE", C, "1"), ("PERSIST", C), ("HDEL", C, "f"), ("HSCAN", C, "0"), ("OBJECT", "ENCODING", C),
    ("XDEL", L, "0-1"), ("XSETID", L, "9999999999999-0"), ("XGROUP", "CREATE", L, "g", "0"), ("XLEN", L), ("XREAD", "STREAMS", L, "0"),
    ("DEL", G), ("DEL", M), ("HDEL", G, "acme"), ("HDEL", M, "store"), ("SET", "stray", "1"), ("GET", "stray"),
    ("HSET", "stray", "f", "v"), ("XADD", "stray", "*", "f", "v"),
)

# What somebody may, and who. The rest of the users must be refused.
SOME_MAY = (
    (("ROLE",), USERS), (("INFO", "server"), USERS), (("TIME",), USERS),
    (("CONFIG", "GET", "appendfsync"), ("doctor", "deploy")),
    (("ACL", "WHOAMI"), ("doctor", "deploy", "keeper")),
    (("FUNCTION", "LIST", "LIBRARYNAME", "consent"), ("doctor", "deploy", "keeper")),
    (("FUNCTION", "LOAD", "REPLACE", "#!lua name=other\nredis.register_function('x', function() return 1 end)"), ("deploy",)),
    (("HMGET", C, "f"), ("milter", "keeper", "admin", "officer", "sender", "api")),
    (("HGETALL", G), ("milter", "keeper", "admin", "officer", "sender", "api")),
    (("HMGET", M, "store"), USERS),
    (("HSET", C, "f", "v"), ("keeper", "admin", "officer", "sender")),  # see redis.conf: Redis cannot say "in a function only"
    (("HINCRBY", C, "f", "1"), ("keeper", "admin", "officer", "sender")),
    (("XADD", L, "*", "e", "x"), ("keeper", "admin", "officer", "sender")),
    (("XADD", FIRST_L, "*", "e", "x"), ("keeper", "admin", "officer", "sender", "milter")),
    (("XRANGE", FIRST_L, "-", "+", "COUNT", "1"), ("keeper", "admin", "officer", "sender", "milter", "archiver")),
    (("XRANGE", L, "-", "+", "COUNT", "1"), ("keeper", "admin", "officer", "sender", "archiver")),
    (("XINFO", "STREAM", FIRST_L), ("archiver", "doctor", "admin", "officer")),
    (("XTRIM", L, "MAXLEN", "1000000"), ("archiver",)),
    (("HSET", A, "cursor", "0-0"), ("archiver",)), (("HMGET", A, "cursor"), ("archiver", "admin", "officer")),
    (("HINCRBY", N, "events", "0"), ("keeper", "admin", "officer", "sender")),
    (("HGETALL", N), ("admin", "officer")), (("HDEL", N, "mark:mx9"), ("admin",)),
    (("HINCRBY", D, "x", "1"), ("milter",)), (("EXPIRE", D, "1000"), ("milter",)), (("HGETALL", D), ("admin", "officer")),
    (("XADD", R, "MAXLEN", "~", "10", "*", "id", "x"), ("milter",)), (("XRANGE", R, "-", "+"), ("admin", "officer")),
    (("XADD", U, "*", "u", "x"), ("milter",)), (("XRANGE", U, "-", "+"), ("keeper", "admin", "officer")),
    (("HSET", FIRST_M, "doctor", "x"), ("doctor", "deploy", "keeper", "admin")),
    (("HSET", M, "spare", "x"), ("deploy", "admin")),
    (("HINCRBY", FIRST_M, "spare", "1"), ("admin",)), (("HDEL", FIRST_M, "beat:mx9"), ("admin",)),
    (("HSET", G, "spare", "{}"), ("admin",)),
)


def is_refusal(error):
    return error.startswith("NOPERM") or "user executing the script can't" in error or "DEBUG command not allowed" in error


class AclCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = proc.make_directory("consent-acl-")
        cls.redis = ShippedRedis(cls.directory).start()
        cls.world = StoreWorld(redis=cls.redis)
        cls.ctls = {user: cls.world.new_ctl(f"{user}.conf", cls.redis.store_settings(user)) for user in USERS}
        cls.ctls["deploy"].run("init")
        cls.world.ctl = cls.ctls["admin"]
        cls.world.start(init=False).prepare()

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()
        cls.redis.stop()
        proc.remove_directory(cls.directory)

    def attempt(self, client, *command):
        """None if Redis let it through, else the refusal; the command's own errors are no refusals."""
        try:
            client(*command)
        except RespError as error:
            return str(error) if is_refusal(str(error)) else None
        return None


class ShippedTest(AclCase):
    def test_nobody_can_log_in_before_passwords_are_set(self):
        """As shipped: the default user is off, and who has no password has no way in."""
        self.assertEqual({"default", *USERS}, set(shipped_users()))
        self.assertEqual("user default off", shipped_users()["default"])
        shipped = ShippedRedis(self.directory, "as-shipped")
        with open(shipped.acl_path, "w", encoding="ascii") as file:
            file.write("\n".join(shipped_users().values()) + "\n")
        shipped.start()
        self.addCleanup(shipped.stop)
        for user in ("default", *USERS):
            for password in ("", user, "CHANGE-ME"):
                with self.subTest(user), RespClient(shipped.socket_path) as client:
                    self.assertIn("WRONGPASS", self.world.error_of(client, "AUTH", user, password))
                    self.assertIn("NOAUTH", self.world.error_of(client, "PING"))


class RightsTest(AclCase):
    def test_what_nobody_may(self):
        for user in USERS:
            with self.redis.client(user) as client:
                for command in NOBODY_MAY:
                    with self.subTest(user=user, command=command):
                        self.assertIsNotNone(self.attempt(client, *command), "it was let through")

    def test_what_some_may(self):
        for command, users in SOME_MAY:
            for user in USERS:
                with self.subTest(user=user, command=command), self.redis.client(user) as client:
                    refusal = self.attempt(client, *command)
                    self.assertEqual(user in users, refusal is None, refusal)
        self.world.raw("FUNCTION", "DELETE", "other")
        self.world.raw("HDEL", FIRST_M, "doctor", "spare")
        self.world.raw("HDEL", G, "spare")

    def test_functions_of_each_rank(self):
        """LAW-6"""
        for function, keys in FUNCTIONS.items():
            for user in USERS:
                with self.subTest(user=user, function=function), self.redis.client(user) as client:
                    refusal = self.attempt(client, "FCALL", function, len(keys), *keys)
                    self.assertEqual(function in MAY_CALL[user], refusal is None, refusal)

    def test_all_functions_are_known_here(self):
        """A new function must be given to somebody, or to nobody, on purpose."""
        with self.redis.client("deploy") as client:
            library, = client("FUNCTION", "LIST", "LIBRARYNAME", "consent")
        names = {function[1].decode() for function in library[library.index(b"functions") + 1]}
        self.assertEqual(set(FUNCTIONS), names)

    def test_the_milter_notes_in_the_first_partition_only(self):
        with self.redis.client("milter") as client:
            for partition in ("001", "00b", "3ff"):
                keys = [f"{room}:{{p{partition}}}" for room in "lnm"]
                self.assertIsNotNone(self.attempt(client, "FCALL", "system_note", 3, *keys))
            self.assertIsNotNone(self.attempt(client, "FCALL", "system_note", 3, C, FIRST_N, FIRST_M))


class WorkTest(AclCase):
    """What each program really sends goes through."""

    def write(self, client, function, kind, *, field=b"somebody", document=b"", related=b"", mark="", **record):
        """One call as store/write.c makes it."""
        seal = struct.pack(">I", 1) + b"0123456789abcdef" if document else b""
        sha = hashlib.sha256(document).digest() if document else b""
        return client("FCALL", function, 4, C, L, N, M, self.world.store_id, os.urandom(8), field, struct.pack(">H", 1),
                      head(kind, scope=2, **record), seal, sha, document, "", mark, related)[0]

    def all_acts(self, user, rank):
        with self.redis.client(user) as client:
            field = os.urandom(8)
            calls = [("grant", 1, {"source": 1, "statement": 1, "document": b"x"}), ("withdraw", 6, {"state": 2}),
                     ("request", 5, {"source": 1, "statement": 1}), ("bounce", 7, {}), ("restrict", 8, {"state": 2}),
                     ("end", 8, {"state": 2, "flags": 4}), ("suspend", 9, {}), ("erase", 10, {})]
            for act, kind, options in calls:
                if f"{rank}_{act}" in MAY_CALL[user]:
                    with self.subTest(user=user, act=act):
                        options = {"mark": "mx1:7"} | options if user == "keeper" else options
                        self.assertIn(self.write(client, f"{rank}_{act}", kind, field=field, **options), (b"applied", b"stale"))

    def test_acts(self):
        for user, rank in (("keeper", "subject"), ("keeper", "officer"), ("keeper", "admin"), ("keeper", "sender"),
                           ("keeper", "system"), ("admin", "admin"), ("officer", "officer"), ("sender", "sender")):
            self.all_acts(user, rank)

    def test_notes_and_beats(self):
        document = b'{"note":"x"}'
        arguments = (self.world.store_id, os.urandom(8), document, hashlib.sha256(document).digest())
        for user, function in (("milter", "system_note"), ("keeper", "admin_note"), ("admin", "admin_note")):
            for expected in (b"applied", b"applied"):  # a repetition is harmless
                with self.subTest(user=user), self.redis.client(user) as client:
                    self.assertEqual(expected, client("FCALL", function, 3, FIRST_L, FIRST_N, FIRST_M, *arguments)[0])
        with self.redis.client("keeper") as client:
            beat = client("FCALL", "keeper_beat", 2, FIRST_M, N, self.world.store_id, "mx1", "on", "a" * 40, "b" * 40,
                          9999999999999, 0, 0)
            self.assertEqual(b"beat", beat[0])
        self.world.raw("HDEL", FIRST_M, "beat:mx1")

    def test_consentctl_of_an_admin(self):
        ctl = self.ctls["admin"]
        self.world.grant("work@acl.test")
        for command in (("check", "work@acl.test", NEWS_PURPOSE), ("show", "work@acl.test"), ("history", "work@acl.test"),
                        ("withdraw", "work@acl.test", "acme"), ("stats",), ("purpose", "list"), ("statement", "show", NEWS_PURPOSE),
                        ("explain", "--rcpt", "work@acl.test", "--stream", "acme-news")):
            with self.subTest(command):
                ctl.run(*command)
        self.assertIn(EVIDENCE.partition(":")[0].strip('{"'), ctl.run("history", "work@acl.test").stdout)
        ctl.run("check", "work@acl.test", NEWS_PURPOSE, ok=(1,))

    def test_who_may_only_ask(self):
        self.world.grant("ask@acl.test")
        for user in ("api", "milter", "officer", "sender", "keeper"):
            with self.subTest(user):
                self.ctls[user].run("check", "ask@acl.test", NEWS_PURPOSE)
        for user in ("api", "milter", "archiver", "doctor", "deploy"):
            with self.subTest(user):
                self.assertIn("store_no_permission",
                              self.ctls[user].run("withdraw", "ask@acl.test", NEWS_PURPOSE, ok=(77,)).stderr)
        self.ctls["api"].run("check", "ask@acl.test", NEWS_PURPOSE)

    def test_init_may_be_repeated_by_deploy_alone(self):
        self.assertFalse(self.ctls["deploy"].json("init")["made"])
        for user in set(USERS) - {"deploy"}:
            with self.subTest(user):
                self.assertNotEqual(0, self.ctls[user].run("init", ok=None).returncode)


class AclWorld(harness.World):
    """Postfix and the filter, which is the user `milter`; the store is made by `deploy` and filled by `admin`."""

    def __init__(self):
        super().__init__()
        self.redis = ShippedRedis(self.directory)
        self.ctls = {user: self._configure(user) for user in ("deploy", "admin")}
        self._configure("milter")
        self.ctl = self

    def _configure(self, user):
        path = self.config_path if user == "milter" else os.path.join(self.directory, f"{user}.conf")
        store = self.config["store"] | self.redis.store_settings(user)["store"]
        write_libconfig(path, self.config | {"store": store})
        return Ctl(self.build, path)

    def run(self, command, *arguments, **options):
        """As consentctl of whoever may."""
        return self.ctls["deploy" if command == "init" else "admin"].run(command, *arguments, **options)


class FilterTest(harness.WorldCase):
    @classmethod
    def make_world(cls):
        return AclWorld()

    def test_mail_under_the_shipped_rights(self):
        self.world.grant("yes@acl.test")
        self.assert_accepted(self.world.rcpt("yes@acl.test"))
        identifier = self.assert_refused(self.world.rcpt("no@acl.test"))
        self.assertIn("no_consent", self.world.explain(identifier).replace("no consent", "no_consent"))
        self.assertNotIn("trouble=", self.world.milter.log())
        with self.world.redis.client() as client:
            refused = [entry for entry in client("ACL", "LOG") if entry[entry.index(b"username") + 1] == b"milter"]
            self.assertEqual([], refused)


if __name__ == "__main__":
    harness.main()
