"""A raw SMTP client that records every line, for questions smtplib hides."""

import re
import socket


class Reply:
    """One SMTP reply: code, enhanced code and text."""

    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3])
        self.text = " ".join(line[4:] for line in lines)

    @property
    def enhanced(self):
        found = re.match(r"([245]\.\d+\.\d+)(?: |$)", self.lines[-1][4:])
        return found.group(1) if found else None

    def __str__(self):
        return " / ".join(self.lines)

    __repr__ = __str__


def xtext(value):
    return "".join(c if 33 <= ord(c) <= 126 and c not in "+=" else f"+{ord(c):02X}" for c in value)


def compose(sender, recipient, *, headers=(), subject="Hello", body="Hello.\r\n"):
    """A message as bytes. `headers` are (name, value) pairs or raw bytes."""
    lines = [f"From: <{sender}>".encode(), f"To: <{recipient}>".encode()]
    lines.append(f"Subject: {subject}".encode())
    for header in headers:
        if isinstance(header, bytes):
            lines.append(header)
        else:
            lines.append(f"{header[0]}: {header[1]}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body.encode()


class Smtp:
    """One SMTP session. Commands return a `Reply`; nothing raises on 4xx or 5xx."""

    def __init__(self, port, host="127.0.0.1", timeout=30.0):
        self.transcript = []
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        self.banner = self.read()
        self.extensions = []

    def read(self):
        lines = []
        while True:
            raw = self.stream.readline()
            if not raw:
                raise ConnectionError("the server closed the SMTP session")
            line = raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
            lines.append(line)
            self.transcript.append(("S", line))
            if line[3:4] != "-":
                return Reply(lines)

    def send(self, line):
        """Send one command line (text or bytes) without waiting."""
        raw = line if isinstance(line, bytes) else line.encode()
        self.transcript.append(("C", raw.decode("utf-8", "backslashreplace")))
        self.socket.sendall(raw + b"\r\n")

    def command(self, line):
        self.send(line)
        return self.read()

    def ehlo(self, name="client.test"):
        reply = self.command(f"EHLO {name}")
        self.extensions = [line[4:].split()[0].upper() for line in reply.lines[1:]]
        return reply

    def xclient(self, **attributes):
        """Play another client: login, addr, name, port ..."""
        words = [f"{key.upper()}={xtext(value)}" for key, value in attributes.items()]
        reply = self.command("XCLIENT " + " ".join(words))
        self.ehlo()
        return reply

    def mail(self, sender, *parameters):
        return self.command(" ".join([f"MAIL FROM:<{sender}>", *parameters]))

    def rcpt(self, recipient):
        return self.command(_rcpt_line(recipient))

    def rcpt_raw(self, argument):
        """RCPT with the argument exactly as given, brackets or not."""
        raw = argument if isinstance(argument, bytes) else argument.encode()
        return self.command(b"RCPT TO:" + raw)

    def data(self, message):
        """DATA and the message; the reply is the last one that came."""
        go_on = self.command("DATA")
        if go_on.code != 354:
            return go_on
        return self.content(message)

    def content(self, message):
        """The message and the final dot, after a 354."""
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        if not stuffed.endswith(b"\r\n"):
            stuffed += b"\r\n"
        self.transcript.append(("C", f"({len(message)} bytes of message)"))
        self.transcript.append(("C", "."))
        self.socket.sendall(stuffed + b".\r\n")
        return self.read()

    def bdat(self, *chunks):
        """The message in BDAT chunks; the reply to the last is returned."""
        reply = None
        for number, chunk in enumerate(chunks):
            last = " LAST" if number == len(chunks) - 1 else ""
            self.transcript.append(("C", f"BDAT {len(chunk)}{last}"))
            self.socket.sendall(b"BDAT %d%s\r\n" % (len(chunk), last.encode()) + chunk)
            reply = self.read()
            if reply.code >= 400:
                return reply
        return reply

    def pipeline(self, *lines):
        """All commands in one write, then all replies."""
        raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
        for line in raw:
            self.transcript.append(("C", line.decode("utf-8", "backslashreplace")))
        self.socket.sendall(b"".join(line + b"\r\n" for line in raw))
        return [self.read() for _ in raw]

    def rset(self):
        return self.command("RSET")

    def quit(self):
        try:
            return self.command("QUIT")
        finally:
            self.close()

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _rcpt_line(recipient):
    return f"RCPT TO:<{recipient}>"
