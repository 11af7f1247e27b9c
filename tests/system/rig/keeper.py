"""consent-keeper under test, and a caller that speaks its protocol by itself."""

import json
import os
import re
import signal
import socket

from .milter import SANITIZER_WORDS, program
from .proc import Process, can_connect, ready, wait_for

class KeeperClient:
    """One connection: requests go out, answers come back in order."""

    def __init__(self, path, timeout=30.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)  # waits for a place in the queue of the kernel
        self.socket.settimeout(timeout)
        self.stream = self.socket.makefile("rb")

    def send(self, request):
        line = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.socket.sendall(line + b"\n")

    def read(self):
        line = self.stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the keeper closed the connection")
        return json.loads(line)

    def __call__(self, request):
        self.send(request)
        return self.read()

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Keeper:
    """The daemon in the foreground, its log in a file."""

    def __init__(self, build, directory, config, socket_path, *, name="keeper", arguments=()):
        self.path = program(build, "consent-keeper")
        self.config = config
        self.socket_path = socket_path
        self.arguments = list(arguments)
        self.log_path = os.path.join(directory, f"{name}.log")
        self.process = None

    def start(self, wait=True):
        self.process = Process("consent-keeper", [self.path, "-f", "-c", self.config, *self.arguments],
                               self.log_path)
        self.process.start()
        if wait:
            ready(self.process, lambda: can_connect(self.socket_path), "the keeper's socket")
        return self

    def start_beating(self, seconds=20):
        """Start, and wait for the first beat of this process."""
        mark = self.mark()
        self.start()
        self.wait_log(r"state=beating", mark, seconds)
        return self

    @property
    def pid(self):
        return self.process.pid

    def client(self):
        return KeeperClient(self.socket_path)

    def ask(self, request):
        with self.client() as client:
            return client(request)

    def status(self):
        return self.ask({"do": "status"})

    def wait_state(self, state, seconds=20):
        return wait_for(lambda: self.status()["state"] == state, f"the keeper is {state}", seconds, 0.1)

    def stop(self):
        """SIGTERM; returns the exit code."""
        code = None
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            code = self.process.stop()
            self.process = None
        return code

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process = None

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as stream:
            return stream.read().decode("utf-8", "backslashreplace")

    def mark(self):
        return len(self.log())

    def wait_log(self, pattern, since=0, seconds=10):
        compiled = re.compile(pattern, re.MULTILINE)
        return wait_for(lambda: compiled.search(self.log()[since:]), f"{pattern!r} in the keeper's log", seconds)

    def sanitizer_report(self):
        for line in self.log().splitlines():
            if any(word in line for word in SANITIZER_WORDS):
                return line
        return None
