"""The far end: an SMTP server that takes every message and remembers it.

Run as a program it keeps each message as one JSON file in a directory.
"""

import argparse
import json
import os
import re
import socket
import socketserver
import sys
import threading

from .proc import Process, can_connect, ready


class Message:
    """One delivery: envelope sender, envelope recipients and content."""

    def __init__(self, sender, recipients, content):
        self.sender = sender
        self.recipients = recipients
        self.content = content

    def __repr__(self):
        return f"<message from {self.sender!r} to {self.recipients!r}>"


def _text(raw):
    return raw.decode("utf-8", "backslashreplace")


class _Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.sender, self.recipients = None, []
        self.say("220 sink.test ESMTP")
        while line := self.rfile.readline():
            verb = line.strip().upper()
            if verb.startswith(b"EHLO"):
                self.say("250-sink.test\r\n250-8BITMIME\r\n250-SIZE 0\r\n250 SMTPUTF8")
            elif verb.startswith(b"MAIL FROM:"):
                self.sender, self.recipients = _path(line), []
                self.say("250 ok")
            elif verb.startswith(b"RCPT TO:"):
                self.recipients.append(_path(line))
                self.say("250 ok")
            elif verb == b"DATA":
                self.take_content()
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def take_content(self):
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        self.server.keep(Message(self.sender, self.recipients, b"".join(lines)))
        self.sender, self.recipients = None, []
        self.say("250 taken")


def _path(line):
    found = re.search(rb":\s*<(.*)>", line)
    return _text(found.group(1)) if found else _text(line)


class Sink(socketserver.ThreadingTCPServer):
    """Listens on loopback; `messages` grows as deliveries arrive."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, directory=None):
        super().__init__(("127.0.0.1", port), _Session)
        self.port = self.server_address[1]
        self.directory = directory
        self.lock = threading.Lock()
        self.messages = []

    def start(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        self.shutdown()
        self.server_close()

    def keep(self, message):
        with self.lock:
            self.messages.append(message)
            number = len(self.messages)
        if self.directory:
            path = os.path.join(self.directory, f"{number:06}.json")
            with open(path + ".new", "w", encoding="utf-8") as stream:
                json.dump(
                    {
                        "from": message.sender,
                        "to": message.recipients,
                        "content": _text(message.content),
                    },
                    stream,
                )
            os.rename(path + ".new", path)

    def taken(self):
        with self.lock:
            return list(self.messages)

    def recipients(self):
        """Every envelope recipient so far, in order of arrival."""
        return [recipient for message in self.taken() for recipient in message.recipients]

    def handle_error(self, request, client_address):
        """A Postfix that is stopped in mid-delivery is no news."""
        if not isinstance(sys.exc_info()[1], (OSError, socket.timeout)):
            super().handle_error(request, client_address)


class SinkProcess:
    """The same as a process of its own, which may outlive the one that starts it."""

    def __init__(self, port, directory):
        self.port = port
        self.directory = os.path.join(directory, "delivered")
        self.process = Process(
            "sink",
            [sys.executable, "-m", "rig.sink", "--port", str(port), "--directory", self.directory],
            os.path.join(directory, "sink.log"),
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        )

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        self.process.start()
        ready(self.process, lambda: can_connect(("127.0.0.1", self.port)), "the sink's port")
        return self

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.kill()

    def taken(self):
        messages = []
        for name in sorted(os.listdir(self.directory)):
            if name.endswith(".json"):
                with open(os.path.join(self.directory, name), encoding="utf-8") as stream:
                    kept = json.load(stream)
                messages.append(Message(kept["from"], kept["to"], kept["content"].encode()))
        return messages

    def recipients(self):
        return [recipient for message in self.taken() for recipient in message.recipients]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", required=True)
    arguments = parser.parse_args()
    Sink(arguments.port, arguments.directory).serve_forever()


if __name__ == "__main__":
    main()
