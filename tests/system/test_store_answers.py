"""Whatever answers in place of Redis: defer, name the cause, recover.

A proxy stands between the milter and a real Redis and is switched from fault
to fault while everything runs.
"""

import os
import time

import harness
from harness import World, WorldCase
from rig import redis_proxy as fault
from rig.proc import make_directory, remove_directory
from rig.redis_proxy import RedisProxy

PERSON = "ann@answers.test"

# What each command is answered with, and the words that may name the cause.
WRONG_ANSWERS = {
    "binary garbage": (fault.answer(b"\x16\x03\x01\x02\x00\x01\xff\xfe\r\n"), "store_protocol"),
    "a web server": (fault.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "store_protocol"),
    "an SMTP server": (fault.answer(b"220 mx ESMTP\r\n"), "store_protocol"),
    "endless text": (fault.answer(b"x" * 200000), "store_protocol|store_malformed|store_timeout"),
    "status": (fault.answer(b"+OK\r\n"), "store_malformed|store_protocol|store_missing"),
    "number": (fault.answer(b":1\r\n"), "store_malformed|store_protocol"),
    "nil": (fault.answer(b"$-1\r\n"), "store_malformed|store_missing|store_protocol"),
    "text": (fault.answer(b"$3\r\nabc\r\n"), "store_malformed|store_protocol"),
    "nil array": (fault.answer(b"*-1\r\n"), "store_malformed|store_missing|store_protocol"),
    "empty array": (fault.answer(b"*0\r\n"), "store_malformed|store_protocol"),
    "array of one nil": (fault.answer(b"*1\r\n$-1\r\n"), "store_malformed|store_missing"),
    "array of many nils": (fault.answer(b"*9\r\n" + b"$-1\r\n" * 9),
                           "store_malformed|store_missing"),
    "array of numbers": (fault.answer(b"*2\r\n:1\r\n:2\r\n"), "store_malformed|store_missing"),
    "nested arrays": (fault.answer(b"*2\r\n*1\r\n:2\r\n*0\r\n"), "store_malformed|store_missing"),
    "deep arrays": (fault.answer(b"*1\r\n" * 5000 + b":1\r\n"),
                    "store_malformed|store_protocol"),
    "two replies for one": (fault.answer(b"+OK\r\n+OK\r\n"), "store_"),
    "huge array": (fault.answer(b"*2147483647\r\n"),
                   "store_timeout|store_protocol|store_malformed|out_of_memory"),
    "huge text": (fault.answer(b"$536870912\r\nabc"),
                  "store_timeout|store_protocol|store_malformed|out_of_memory"),
    "negative length": (fault.answer(b"$-7\r\n"), "store_malformed|store_protocol|store_missing"),
    "RESP3": (fault.answer(b"%1\r\n+a\r\n+b\r\n"), "store_malformed|store_protocol"),
    "LOADING": (fault.error("LOADING Redis is loading the dataset in memory"), "store_loading"),
    "NOAUTH": (fault.error("NOAUTH Authentication required."), "store_authentication"),
    "NOPERM": (fault.error("NOPERM this user has no permissions to run the 'hmget' command"),
               "store_no_permission"),
    "READONLY": (fault.error("READONLY You can't write against a read only replica."),
                 "store_not_master|store_cannot_write"),
    "MASTERDOWN": (fault.error("MASTERDOWN Link with MASTER is down"), "store_not_master"),
    "BUSY": (fault.error("BUSY Redis is busy running a script."), "store_busy"),
    "CLUSTERDOWN": (fault.error("CLUSTERDOWN The cluster is down"), "store_cluster"),
    "MOVED": (fault.error("MOVED 3999 127.0.0.1:6381"), "store_cluster"),
    "OOM": (fault.error("OOM command not allowed when used memory > 'maxmemory'."),
            "store_cannot_write"),
    "MISCONF": (fault.error("MISCONF Redis is configured to save RDB snapshots"),
                "store_cannot_write"),
    "WRONGTYPE": (fault.error("WRONGTYPE Operation against a key holding the wrong kind of value"),
                  "store_malformed|store_error_reply"),
    "unknown error": (fault.error("ERR unknown command 'HMGET'"), "store_error_reply"),
    "empty error": (fault.answer(b"-\r\n"), "store_error_reply|store_protocol|store_malformed"),
    "error with no code": (fault.error("something"), "store_error_reply"),
    "hang": (fault.hang, "store_timeout"),
    "slow": (fault.slow(3.0), "store_timeout"),
    "close at once": (fault.close_at_once, "store_connection_lost|store_unreachable"),
    "close in mid-reply": (fault.close_in_mid_reply, "store_connection_lost"),
    "stall in mid-reply": (fault.stall_in_mid_reply, "store_timeout"),
}


class ProxyCase(WorldCase):
    @classmethod
    def make_world(cls):
        cls.proxy_directory = make_directory("consent-proxy-")
        cls.proxy = RedisProxy(cls.proxy_directory, "")
        world = World(proxy=cls.proxy)
        cls.proxy.upstream_path = world.redis.socket_path
        cls.proxy.start()
        return world

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.grant(PERSON)

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.proxy.stop()
            remove_directory(cls.proxy_directory)

    def setUp(self):
        super().setUp()
        self.recover()

    def recover(self):
        self.proxy.set_mode(fault.forward)
        self.world.until_rcpt(250, PERSON)

    def assert_trouble(self, words, **options):
        mark = self.world.milter.mark()
        started = time.monotonic()
        self.assert_deferred(self.world.rcpt(PERSON, **options), PERSON)
        self.assertLess(time.monotonic() - started, 5.0)
        self.world.milter.wait_log(words, since=mark)


class WrongAnswerTest(ProxyCase):
    def test_each_wrong_answer_in_turn(self):
        for name, (mode, words) in WRONG_ANSWERS.items():
            with self.subTest(answer=name):
                self.proxy.set_mode(mode)
                try:
                    self.assert_trouble(words)
                    self.assert_deferred(self.world.rcpt("nobody@answers.test"))
                finally:
                    self.recover()
                self.assert_refused(self.world.rcpt("nobody@answers.test"))

    def test_each_wrong_answer_to_a_new_connection(self):
        for name, (mode, _) in WRONG_ANSWERS.items():
            with self.subTest(answer=name):
                self.proxy.set_mode(mode, drop=True)
                try:
                    self.assert_deferred(self.world.rcpt(PERSON))
                finally:
                    self.recover()

    def test_no_client_slot(self):
        self.proxy.set_mode(fault.forward, drop=True,
                            greeting=b"-ERR max number of clients reached\r\n")
        self.assert_trouble("store_max_clients")
        self.recover()

    def test_closed_at_connect(self):
        self.proxy.set_mode(fault.forward, drop=True, greeting=b"")
        self.assert_trouble("store_connection_lost|store_unreachable")
        self.recover()

    def test_connection_lost_while_idle_is_no_trouble_for_long(self):
        self.proxy.set_mode(fault.forward, drop=True)
        self.world.until_rcpt(250, PERSON)


class WrongRecordTest(ProxyCase):
    def test_records_of_wrong_length_or_version(self):
        changes = {
            "one byte short": lambda value: value[:-1],
            "one byte more": lambda value: value + b"\0",
            "empty": lambda value: b"",
            "all ones": lambda value: b"\xff" * len(value),
            "unknown version": lambda value: value[:4] + bytes([value[4] ^ 0x70]) + value[5:],
            "half a record more": lambda value: value + value[:14],
        }
        for name, change in changes.items():
            with self.subTest(change=name):
                self.proxy.set_mode(fault.edit_buckets(fault.edit_bulks(change)))
                try:
                    self.assert_trouble("store_malformed")
                finally:
                    self.recover()

    def test_answer_of_fewer_or_more_fields(self):
        for name, edit in {
            "fewer": lambda reply: b"*0\r\n" if reply.startswith(b"*") else b"*1\r\n" + reply,
            "more": lambda reply: b"*5\r\n" + b"$-1\r\n" * 5,
            "error in place": lambda reply: b"-WRONGTYPE Operation against a key\r\n",
            "text in place": lambda reply: b"$2\r\nok\r\n",
        }.items():
            with self.subTest(edit=name):
                self.proxy.set_mode(fault.edit_buckets(edit))
                try:
                    self.assert_trouble("store_malformed|store_error_reply")
                finally:
                    self.recover()

    def test_late_answer_is_never_the_next_ones(self):
        # The answer for a consenting person comes after the deadline. It must
        # not be read as the answer to the next question.
        self.proxy.set_mode(fault.slow(1.2))
        with self.world.session() as smtp:
            smtp.mail(harness.NEWS)
            self.assert_deferred(smtp.rcpt(PERSON))
            self.proxy.set_mode(fault.forward)
            for number in range(30):
                reply = smtp.rcpt(f"after{number}@answers.test")
                self.assertIn(reply.code, (451, 550), str(reply))
                time.sleep(0.05)
        self.recover()

    def test_bytes_that_nobody_asked_for_are_never_an_answer(self):
        # The whole answer for a consenting person, sent once more to an idle
        # connection: it must not become the answer for somebody else.
        answers = []

        def mode(link, command):
            answers.append(link.forward(command))
            return answers[-1]

        self.proxy.set_mode(mode)
        self.assert_accepted(self.world.rcpt(PERSON))
        for frame in (b"".join(answers), answers[0], b"+OK\r\n", b"$100\r\nhalf"):
            with self.subTest(frame=frame[:30]):
                self.recover()
                for link in list(self.proxy.links):
                    link.client.sendall(frame)
                reply = self.world.rcpt("nobody@answers.test")
                self.assertIn(reply.code, (451, 550), str(reply))

    def test_store_that_changes_during_the_look_up(self):
        # The second reading of the store's identity in one pipeline differs.
        state = {"count": 0}

        def mode(link, command):
            reply = link.forward(command)
            if command[0].upper() in (b"HGET", b"HMGET", b"HGETALL") and \
                    command[1].startswith(b"m:"):
                state["count"] += 1
                if state["count"] % 2 == 0:
                    return fault.edit_bulks(lambda value: b"\x01" * len(value))(reply)
            return reply

        self.proxy.set_mode(mode)
        try:
            self.assert_trouble("store_changed|store_foreign|store_malformed|store_schema"
                                "|store_wrong_pepper")
        finally:
            self.recover()


class NothingThereTest(WorldCase):
    """store.url names something that is not there, or no socket at all."""

    def test_wrong_url(self):
        path = os.path.join(self.world.directory, "plain-file")
        with open(path, "w", encoding="ascii") as stream:
            stream.write("no socket\n")
        self.world.milter.stop()
        good = self.world.config["store"]
        for url in (f"unix:{path}", f"unix:{path}-absent", "redis://127.0.0.1:1",
                    "redis://[::1]:1", "redis://no-such-host.invalid:6379"):
            with self.subTest(url=url):
                self.world.reconfigure(store=good | {"url": url})
                mark = self.world.milter.mark()
                self.world.milter.start()
                self.assert_deferred(self.world.rcpt("any@answers.test"))
                self.world.milter.wait_log("store_unreachable|store_timeout", since=mark)
                self.world.milter.stop()
        self.world.reconfigure(store=good)
        self.world.milter.start()


if __name__ == "__main__":
    harness.main()
