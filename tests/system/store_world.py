"""A private Redis and consentctl, without any mail: what the tests of the store need.

Packs and unpacks records and events by itself (layout v1, big endian), so that a change of the layout in the product
does not go unseen.
"""

import hashlib
import hmac
import os
import struct
import unittest

import harness
from harness import EVIDENCE, NEWS_PURPOSE, OFFERS_PURPOSE, STATEMENT, news_stream, receipts_stream, stream
from rig import proc
from rig.milter import Ctl, write_libconfig
from rig.redis import Redis, RespError

GRANT, IMPLIED, SOFT_OPTIN, ASSERTED, REQUEST, STOP, BOUNCED, RESTRICTED, SUSPENDED, ERASED, SEAL, FORWARD = range(1, 13)
GIVEN = 1
PURCHASE, CONTRACT, MEMBERSHIP, INQUIRY = 1, 2, 3, 4
REFUSED, WITHDRAWN, OBJECTED, COMPLAINED = 1, 2, 3, 4
MINOR, LEGAL, DECEASED = 1, 2, 3
SUBJECT, OFFICER, ADMIN, SENDER, SYSTEM = 1, 2, 3, 4, 5
HAS_EVIDENCE, BY_GUARDIAN, ENDED = 1, 2, 4
ACT_FORWARD, ACT_NOTE = 10, 11
APPLIED, STALE = 1, 2
WEB_FORM, STAFF = 1, 6
RECORD_BYTES = 28
PARTITIONS = 1024
DAY_S = 86400
SOFT_OPTIN_EVIDENCE = '{"from_sale":true,"similar_products":true,"refusal_offered":true}'

HEADER_STREAM = {"name": "acme-declared", "match": {"auth": ["declared"]}, "sender": "acme", "class": "marketing",
                 "purpose_from": "header:X-Consent-Purpose"}


def head(kind, *, scope=7, state=GIVEN, rank=0, flags=0, source=0, statement=0, at=0, expiry=0):
    """The first 19 bytes of a record."""
    return struct.pack(">IBBBH", scope, 0x10 | kind, state << 4 | rank, flags << 5 | source, statement) \
        + at.to_bytes(6, "big") + struct.pack(">I", expiry)


def seal_part(scope=5, salt=b"0123456789abcdef"):
    """What a caller says of the seal of a document."""
    return struct.pack(">I", scope) + salt


def unpack_head(data):
    scope, kind, state_rank, flags_source, statement = struct.unpack(">IBBBH", data[:9])
    assert kind >> 4 == 1, f"record version in {data.hex()}"
    return {"scope": scope, "kind": kind & 15, "state": state_rank >> 4, "rank": state_rank & 15,
            "flags": flags_source >> 5, "source": flags_source & 31, "statement": statement,
            "at": int.from_bytes(data[9:15], "big"), "expiry": int.from_bytes(data[15:19], "big")}


def unpack_records(value):
    """The records of one field; a seal has only scope, kind and salt."""
    assert len(value) % RECORD_BYTES == 0, value.hex()
    records = []
    for at in range(0, len(value), RECORD_BYTES):
        data = value[at:at + RECORD_BYTES]
        record = unpack_head(data)
        if record["kind"] == SEAL:
            record = {"scope": record["scope"], "kind": SEAL, "salt": data[7:23]}
        elif record["kind"] == FORWARD:
            record = {"scope": record["scope"], "kind": FORWARD, "place": data[7:18]}
        else:
            record["ledger"] = ledger_text(data[19:27])
        records.append(record)
    return records


def ledger_id(text):
    """MS-SEQ as a record holds it."""
    milliseconds, sequence = map(int, text.split("-"))
    return milliseconds.to_bytes(6, "big") + sequence.to_bytes(2, "big")


def ledger_text(data):
    return f"{int.from_bytes(data[:6], 'big')}-{int.from_bytes(data[6:8], 'big')}"


def unpack_event(data):
    assert len(data) in (48, 80), f"an event of {len(data)} bytes"
    event = {"version": data[0], "act": data[1], "outcome": data[2], "id": data[3:11],
             "bucket": int.from_bytes(data[11:13], "big"), "field": data[13:21], "previous": ledger_text(data[40:48]),
             "sha": data[48:]}
    if event["act"] == ACT_NOTE:
        assert not any(data[11:40]), data.hex()  # it concerns no subject
        return event
    return event | unpack_head(data[21:40])


class Place:
    """One subject of its own: a partition, a bucket and a field that no other test uses."""

    _next = 0

    def __init__(self, world, partition=None, field=None, bucket=1):
        if partition is None:
            Place._next += 1
            partition = Place._next
        self.world = world
        self.client = world.raw
        self.partition, self.bucket = partition, bucket
        self.field = field or os.urandom(8)
        tag = f"{{p{partition:03x}}}"
        self.records_key, self.ledger_key = f"c:{tag}:{bucket:04x}", f"l:{tag}"
        self.counters_key, self.facts_key = f"n:{tag}", f"m:{tag}"
        self.keys = [self.records_key, self.ledger_key, self.counters_key, self.facts_key]

    @classmethod
    def of_address(cls, world, address):
        """Where the product keeps a plain address: of no listed domain, in canonical form."""
        digest = hmac.new(world.pepper, b"v1\0" + address.encode(), hashlib.sha256).digest()
        return cls(world, int.from_bytes(digest[:2], "big") & 0x3ff, digest[4:12],
                   int.from_bytes(digest[2:4], "big") & 0x3ff)

    def call(self, function, record, *, event_id=None, document=b"", seal=None, sha=None, store=None, field=None,
             bucket=None, replay="", mark="", related=(), client=None):
        """One FCALL as the product makes it: [outcome, ledger id, date]. `related` are scopes, or the text of a ledger id."""
        if seal is None:
            seal = seal_part() if document else b""
        if sha is None:
            sha = hashlib.sha256(document).digest() if document else b""
        reply = (client or self.client)(
            "FCALL", function, 4, *self.keys, store or self.world.store_id, event_id or os.urandom(8),
            field or self.field, struct.pack(">H", self.bucket) if bucket is None else bucket, record, seal, sha,
            document, replay, mark,
            ledger_id(related) if isinstance(related, str) else struct.pack(f">{len(related)}I", *related))
        return [reply[0].decode(), reply[1].decode(), int(reply[2])]

    def records(self):
        return unpack_records(self.client("HGET", self.records_key, self.field) or b"")

    def record(self, kind, scope=7):
        found = [r for r in self.records() if (r["scope"], r["kind"]) == (scope, kind)]
        assert len(found) == 1, f"records of kind {kind} in scope {scope}: {found}"
        return found[0]

    def kinds(self):
        """What stands: (scope, kind) of each record, in its order."""
        return [(r["scope"], r["kind"]) for r in self.records()]

    def use(self, month, scope=7):
        """The month of last use of the grant is raised."""
        return self.client("FCALL", "system_use", 2, self.records_key, self.facts_key, self.world.store_id, self.field,
                           struct.pack(">I", scope), bytes([month]))

    def counts(self):
        """The counters of standing records of this partition, zeros left out."""
        flat = self.client("HGETALL", self.counters_key)
        return {name.decode(): int(value) for name, value in zip(flat[::2], flat[1::2])
                if name[:1].isdigit() and int(value) != 0}

    def counter(self, name):
        value = self.client("HGET", self.counters_key, name)
        return None if value is None else value.decode()

    def events(self):
        """(ledger id, event) of this field, oldest first."""
        entries = [(entry[0].decode(), unpack_event(entry[1][1])) for entry in self.client("XRANGE", self.ledger_key,
                                                                                           "-", "+")]
        return [(at, event) for at, event in entries if event["field"] == self.field]


class StoreWorld:
    """Redis and the configuration of one store in one directory."""

    def __init__(self, *, redis=None, redis_options=(), settings=None):
        self.directory = proc.make_directory("consent-store-")
        self.own_redis = redis is None
        self.redis = redis or Redis(self.directory, options=redis_options)
        self.keys = os.path.join(self.directory, "keys")
        self.state = os.path.join(self.directory, "state")
        os.mkdir(self.state)
        self.raw = None
        self.ctl = self.new_ctl("consent-milter.conf", settings or {})

    def new_ctl(self, name, settings):
        """consentctl with a configuration file of its own; `store` settings are added to the url."""
        path = os.path.join(self.directory, name)
        config = {
            "store": {"url": self.redis.url, "timeout": "800ms"} | settings.get("store", {}),
            "keys": self.keys,
            "state": self.state,
            "milter": {"socket": f"unix:{self.directory}/milter.sock"},
            "contact": {"officer": "privacy@acme.example", "url": "https://mail.acme.example/privacy"},
            "streams": (news_stream(), receipts_stream(), HEADER_STREAM,
                        stream("unregistered", match={"auth": ["x"]}, purpose="nobody-made-it")),
        }
        write_libconfig(path, config)
        return Ctl(harness.OPTIONS.build, path)

    def start(self, init=True):
        if self.own_redis:
            self.redis.start()
        self.raw = self.redis.client()
        if init:
            self.ctl.run("init")
        return self

    def prepare(self):
        """A sender and two purposes with a first statement."""
        self.ctl.run("sender", "add", "acme", "--title", "Acme Ltd")
        for purpose in (NEWS_PURPOSE, OFFERS_PURPOSE):
            self.ctl.run("purpose", "add", purpose)
            self.publish(purpose)
        return self

    def publish(self, purpose, text=STATEMENT, *options, ok=(0,)):
        path = self.write("statement.txt", text)
        return self.ctl.run("statement", "publish", purpose, path, *options, ok=ok)

    def write(self, name, content):
        """A file in this world's directory; returns its path."""
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def grant(self, address, purpose=NEWS_PURPOSE, *options, statement="1"):
        return self.ctl.run("grant", address, purpose, "--source", "web_form", "--statement", statement,
                            "--evidence", EVIDENCE, *options)

    def key_file(self, name):
        with open(os.path.join(self.keys, name), "rb") as file:
            return file.read()

    @property
    def store_id(self):
        return self.key_file("store").decode()

    @property
    def pepper(self):
        return self.key_file("pepper.1")

    def now_ms(self):
        seconds, micros = self.raw("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def error_of(self, call, *arguments, **options):
        """The text of the error reply that a call must end with."""
        try:
            result = call(*arguments, **options)
        except RespError as error:
            return str(error)
        raise AssertionError(f"no error, but {result}")

    def everything(self):
        """All keys with all that is in them, as bytes in one list."""
        parts = []

        def flatten(value):
            if isinstance(value, list):
                for item in value:
                    flatten(item)
            elif value is not None:
                parts.append(value if isinstance(value, bytes) else str(value).encode())

        readers = {"hash": ("HGETALL",), "stream": ("XRANGE", "-", "+"), "string": ("GET",)}
        for key in self.raw("KEYS", "*"):
            reader = readers[self.raw("TYPE", key)]
            flatten([key, self.raw(reader[0], key, *reader[1:])])
        return parts

    def report(self):
        """The end of Redis' log, for a failed test."""
        return "--- Redis log, last lines ---\n" + "\n".join(proc.read_text(self.redis.log_path).splitlines()[-5:])

    def stop(self):
        if self.raw is not None:
            self.raw.close()
        if self.own_redis:
            self.redis.stop()
        if not harness.OPTIONS.keep:
            proc.remove_directory(self.directory)


class StoreCase(unittest.TestCase):
    """One store for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.world = StoreWorld().start()

    @classmethod
    def tearDownClass(cls):
        cls.world.stop()

    def setUp(self):
        self.place = Place(self.world)

    def refused(self, word, function, record, **options):
        """The call is refused with this word, and nothing was written."""
        place = self.place
        before = (place.client("XLEN", place.ledger_key), place.client("HGETALL", place.records_key))
        text = self.world.error_of(place.call, function, record, **options)
        self.assertTrue(text.startswith(word + " "), text)
        self.assertEqual(before, (place.client("XLEN", place.ledger_key), place.client("HGETALL", place.records_key)))
        return text
