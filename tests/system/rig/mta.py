"""The MTA's side of the milter protocol, for what Postfix would never send."""

import socket
import struct

CONTINUE = "c"
ACCEPT = "a"
REJECT = "r"
TEMPFAIL = "t"
REPLY_CODE = "y"

# Bits of the negotiation: a stage that is not wanted, a reply not waited for.
NO_STAGE = {"C": 0x1, "H": 0x2, "M": 0x4, "R": 0x8, "B": 0x10, "L": 0x20, "N": 0x40,
            "U": 0x100, "T": 0x200}
NO_REPLY = {"L": 0x80, "C": 0x1000, "H": 0x2000, "M": 0x4000, "R": 0x8000, "T": 0x10000,
            "U": 0x20000, "N": 0x40000, "B": 0x80000}
ALL_PROTOCOL = 0x1FFFFF
ALL_ACTIONS = 0x1FF
DELETE_RECIPIENT, CHANGE_HEADER = 0x08, 0x10  # two of them


class Answer:
    """One reply of the milter: its letter, and the SMTP text if it gave one."""

    def __init__(self, letter, payload=b""):
        self.letter = letter
        self.text = payload.rstrip(b"\0").decode("utf-8", "backslashreplace")

    @property
    def code(self):
        if self.letter == REPLY_CODE:
            return int(self.text[:3])
        return {REJECT: 550, TEMPFAIL: 451}.get(self.letter, 250)

    def __repr__(self):
        return f"{self.letter} {self.text}"


class MilterSession:
    """One connection to a milter, negotiated as Postfix does it."""

    def __init__(self, path, timeout=20.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")
        self.protocol = 0
        self.changes = ""  # letters of what was done to messages at their end

    def negotiate(self, actions=ALL_ACTIONS):
        self.packet("O", struct.pack("!III", 6, actions, ALL_PROTOCOL))
        letter, payload = self.read()
        assert letter == "O", f"negotiation answered with {letter!r}"
        self.protocol = struct.unpack("!III", payload[:12])[2]
        return self

    def packet(self, letter, payload=b""):
        data = letter.encode() + payload
        self.socket.sendall(struct.pack("!I", len(data)) + data)

    def read(self):
        head = self.stream.read(4)
        if len(head) < 4:
            raise ConnectionError("the milter closed the connection")
        data = self.stream.read(struct.unpack("!I", head)[0])
        return data[:1].decode("latin-1"), data[1:]

    def macros(self, stage, **values):
        """Macros of a stage: one letter as it is, longer names in braces."""
        payload = stage.encode()
        for name, value in values.items():
            name = name if len(name) == 1 else "{" + name + "}"
            value = value if isinstance(value, bytes) else value.encode()
            payload += name.encode() + b"\0" + value + b"\0"
        self.packet("D", payload)

    def stage(self, letter, payload=b""):
        """Send one stage unless it is not wanted; wait unless told not to."""
        if self.protocol & NO_STAGE.get(letter, 0):
            return Answer(CONTINUE)
        self.packet(letter, payload)
        if self.protocol & NO_REPLY.get(letter, 0):
            return Answer(CONTINUE)
        return Answer(*self.read())

    def connect(self, host="client.test", address="127.0.0.1", port=12345, **macros):
        self.macros("C", **({"j": "mx.consent.test", "daemon_name": "mx.consent.test"} | macros))
        return self.stage("C", host.encode() + b"\0" + b"4" + struct.pack("!H", port)
                          + address.encode() + b"\0")

    def mail(self, argument, **macros):
        self.macros("M", **macros)
        return self.stage("M", _bytes(argument) + b"\0")

    def rcpt(self, argument, **macros):
        self.macros("R", **macros)
        return self.stage("R", _bytes(argument) + b"\0")

    def header(self, name, value):
        return self.stage("L", _bytes(name) + b"\0" + _bytes(value) + b"\0")

    def message(self, headers=(), body=b"Hello.\r\n", queue_id="4Test00001", wait=True):
        """DATA to end of message. Returns the final answer, or nothing if it is not waited for."""
        self.macros("T", i=queue_id)
        self.stage("T")
        for name, value in headers:
            answer = self.header(name, value)
            if answer.letter not in (CONTINUE, "s"):
                return answer
        self.stage("N")
        self.stage("B", body)
        self.macros("E", i=queue_id)
        self.packet("E")
        while wait:
            letter, payload = self.read()
            if letter in (CONTINUE, ACCEPT, REJECT, TEMPFAIL, REPLY_CODE, "d"):
                return Answer(letter, payload)
            self.changes += letter
        return None

    def abort(self):
        self.packet("A")

    def close(self):
        try:
            self.packet("Q")
        except OSError:
            pass
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _bytes(value):
    return value if isinstance(value, bytes) else value.encode()
