"""Hostile packets over the wire: a seeded fuzzer that plays a milter session wrongly against the running daemon.

Each round builds the packets of a right session, breaks them, sends them in odd pieces and goes away at any point. After
every batch a right session must get right answers, and nothing may leak. CM_SEED repeats a run, CM_LONG=1 makes it long.
"""

import os
import random
import select
import socket
import struct
import time

import harness
from harness import WorldCase
from rig.mta import MilterSession
from rig.proc import open_files, wait_for

PERSON = "ann@wire.test"
BATCH = 100
SLICE_S, LONG_S = 15, 600

TEXTS = (b"", b"<>", b"<ann@wire.test>", b"ann@wire.test", b"<" + b"a" * 300 + b"@wire.test>", b"<ann@wire.test",
         b"\xff\xfe\xfd", b"<a@b>" * 200, b"%s%n%x", b"<ann@wire.test> NOTIFY=\x01", b"\r\n250 Ok", b"(" * 2000,
         b"x" * 65535, b'"' * 999, b"<@a,@b:c@d>", "<j\u00fcrgen@m\u00fcnchen.test>".encode(), b"\\" * 300)
NAMES = (b"i", b"j", b"{auth_authen}", b"{rcpt_addr}", b"{mail_addr}", b"{daemon_name}", b"{mail_mailer}", b"{", b"}",
         b"", b"{" + b"x" * 500 + b"}")
HEADERS = (b"List-Id", b"List-ID ", b"Precedence", b"X-Consent-Status", b"From", b"", b":", b"X" * 3000)


def packet(letter, payload=b""):
    return struct.pack("!I", len(payload) + 1) + letter + payload


class Player:
    """Makes the packets of one session, right or wrong by the dice."""

    def __init__(self, dice):
        self.dice = dice

    def text(self):
        if self.dice.random() < 0.5:
            return self.dice.choice(TEXTS)
        return bytes(self.dice.randrange(256) for _ in range(self.dice.randrange(60)))

    def macros(self, stage):
        payload = stage
        for _ in range(self.dice.randrange(5)):
            payload += self.dice.choice(NAMES) + b"\0" + self.text().replace(b"\0", b"?") + b"\0"
        if self.dice.random() < 0.2:
            payload = payload[:-1] or b"?"  # the last one has no end
        return packet(b"D", payload)

    def session(self):
        dice = self.dice
        address = dice.choice((b"4\x30\x39127.0.0.1\0", b"6\x30\x39::1\0", b"U", b"L\0\0/x\0", b"4", b"6\x30\x39IPv6:zz\0"))
        packets = [packet(b"O", struct.pack("!III", dice.choice((2, 6, 6, 6, 99)), 0x1FF, 0x1FFFFF)),
                   self.macros(b"C"), packet(b"C", self.text() + b"\0" + address)]
        for _ in range(dice.randrange(1, 4)):
            packets += [self.macros(b"M"), packet(b"M", b"<letter@news.acme.example>\0" if dice.random() < 0.7
                                                  else self.text() + b"\0" * dice.randrange(3))]
            for _ in range(dice.randrange(6)):
                packets += [self.macros(b"R"), packet(b"R", self.text() + b"\0" * dice.randrange(3))]
            for _ in range(dice.randrange(8)):
                packets.append(packet(b"L", dice.choice(HEADERS) + b"\0" + self.text() + b"\0"))
            packets += [packet(b"N"), packet(b"B", self.text()), packet(b"E"), packet(b"A")][dice.randrange(4):]
        packets.append(packet(b"Q"))
        return packets

    def broken(self):
        dice = self.dice
        packets = self.session()
        for _ in range(dice.randrange(4)):
            at = dice.randrange(len(packets))
            how = dice.randrange(7)
            if how == 0:
                packets.pop(at)
            elif how == 1:
                packets.insert(at, packets[dice.randrange(len(packets))])
            elif how == 2:
                packets[at] = packets[at][:dice.randrange(len(packets[at]) + 1)]
            elif how == 3:
                packets[at] = struct.pack("!I", dice.choice((0, 1, 2, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF))) + packets[at][4:]
            elif how == 4:
                packets[at] = packet(bytes([dice.randrange(256)]), self.text())
            elif how == 5 and packets[at]:
                flip = dice.randrange(len(packets[at]))
                packets[at] = packets[at][:flip] + bytes([dice.randrange(256)]) + packets[at][flip + 1:]
            else:
                dice.shuffle(packets)
            if not packets:
                packets = [packet(b"Q")]
        return packets


class WireTest(WorldCase):
    def play(self, dice):
        """One broken session; whatever the daemon does with it is its own affair, as long as it lives."""
        data = b"".join(Player(dice).broken())
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(5)
        client.connect(self.world.milter.socket_path)
        try:
            at = 0
            end = dice.randrange(len(data) + 1) if dice.random() < 0.3 else len(data)
            while at < end:
                piece = dice.choice((1, 3, 4, 100, 5000, 100000))
                client.sendall(data[at:min(end, at + piece)])
                at += piece
                if select.select([client], [], [], 0)[0] and not client.recv(65536):
                    return
            if dice.random() < 0.5:
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
        except OSError:
            pass  # the daemon hung up, as it should
        finally:
            client.close()

    def judge(self):
        """A right session beside all that."""
        with MilterSession(self.world.milter.socket_path) as mta:
            mta.negotiate()
            mta.connect()
            mta.mail("<letter@news.acme.example>", auth_authen=harness.LOGIN, mail_addr=harness.NEWS)
            self.assertEqual(250, mta.rcpt(f"<{PERSON}>", rcpt_addr=PERSON).code)
            self.assertEqual(550, mta.rcpt("<ben@wire.test>", rcpt_addr="ben@wire.test").code)

    def test_a_macro_without_a_value_ends_the_connection(self):
        """libmilter would read past the end of its list of macros."""
        offer = packet(b"O", struct.pack("!III", 6, 0x1FF, 0x1FFFFF))
        for packets in ((packet(b"D", b"Ci\0"),), (packet(b"D", b"Mi\0x\0{auth_authen}\0"), packet(b"M", b"<a@b>\0")),
                        (b"\xff\xff\xff\xffB", packet(b"D", b"Mi\0"), packet(b"M", b"<a@b>\0")), (b"\0\0\0\0Q",)):
            mark = self.world.milter.mark()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(5)
                client.connect(self.world.milter.socket_path)
                try:
                    client.sendall(offer + b"".join(packets))
                    while client.recv(65536):
                        pass
                except ConnectionError:
                    pass  # it hung up before it had read all
            self.world.milter.wait_log("its connection is ended", since=mark)
        self.world.grant(PERSON)
        self.judge()

    def test_hostile_packets(self):
        seed = int(os.environ.get("CM_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
        dice = random.Random(seed)
        until = time.monotonic() + (LONG_S if os.environ.get("CM_LONG") else SLICE_S)
        self.world.grant(PERSON)
        self.judge()
        played = 0
        while time.monotonic() < until:
            for _ in range(BATCH):
                self.play(dice)
            played += BATCH
            self.assertTrue(self.world.milter.process.running(), f"the daemon died; CM_SEED={seed}")
            self.judge()
        print(f"{played} hostile sessions, CM_SEED={seed}")
        wait_for(lambda: open_files(self.world.milter.pid) < 100, "closed connections", 20)
        self.assertIsNone(self.world.milter.sanitizer_report(), f"CM_SEED={seed}")


if __name__ == "__main__":
    harness.main()
