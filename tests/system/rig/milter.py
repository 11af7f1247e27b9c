"""consent-milter and consentctl under test: configuration, start, log."""

import json
import os
import re
import resource
import signal
import subprocess

from .proc import Process, can_connect, ready, wait_for

DECISION_ID = re.compile(r"(?<![A-Za-z0-9])[a-z2-7]{26}(?![A-Za-z0-9])")

TSAN_SUPPRESSIONS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                 "tsan.supp")

SANITIZER_WORDS = (
    "ERROR: AddressSanitizer",
    "ERROR: LeakSanitizer",
    "WARNING: ThreadSanitizer",
    "runtime error:",
)


def decision_id(text):
    """The decision id in a reply or a line; None when there is none."""
    found = DECISION_ID.findall(str(text))
    return found[0] if found else None


def libconfig(value, depth=0):
    """Python values as libconfig text: dict group, tuple list, list array."""
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        inner = "".join(f"{pad}{k} = {libconfig(v, depth + 1)};\n" for k, v in value.items())
        return "{\n" + inner + "  " * depth + "}"
    if isinstance(value, tuple):
        inner = ",\n".join(pad + libconfig(v, depth + 1) for v in value)
        return "(\n" + inner + "\n" + "  " * depth + ")"
    if isinstance(value, list):
        return "[" + ", ".join(libconfig(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_libconfig(path, settings):
    with open(path, "w", encoding="utf-8") as stream:
        for key, value in settings.items():
            stream.write(f"{key} = {libconfig(value)};\n")


def program(build, name):
    """A program of the build tree, in its room, beside its tests, or installed in bin/."""
    for path in (f"milter/{name}/{name}", f"tests/system/{name}", f"bin/{name}", f"sbin/{name}", name):
        full = os.path.join(build, path)
        if os.path.isfile(full) and os.access(full, os.X_OK):
            return full
    raise FileNotFoundError(f"no program {name} in the build directory {build}")


def is_sanitized(path):
    """Sanitizers need more memory and time; limits are looser for them."""
    with open(path, "rb") as stream:
        content = stream.read()
    return b"__asan_init" in content or b"__tsan_init" in content


class LogLine:
    """One decision line: queue id or NOQUEUE, then key=value."""

    PATTERN = re.compile(r"(?:^|[\s:])(NOQUEUE|[0-9A-Za-z]{6,20}):?\s+(session=\S.*)$")
    PAIR = re.compile(r'([A-Za-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')

    def __init__(self, text, queue_id, values):
        self.text = text
        self.queue_id = queue_id
        self.values = values

    @classmethod
    def parse(cls, text):
        found = cls.PATTERN.search(text)
        if not found:
            return None
        return cls(text, found.group(1), dict(cls.PAIR.findall(found.group(2))))

    def __getitem__(self, key):
        return self.values[key]

    def get(self, key, default=None):
        return self.values.get(key, default)

    def __repr__(self):
        return self.text


class Ctl:
    """consentctl with one configuration file."""

    def __init__(self, build, config):
        self.path = program(build, "consentctl")
        self.config = config

    def run(self, *arguments, ok=(0,), stdin=None):
        """Run one command; fail the test unless the exit code is in `ok`."""
        result = subprocess.run(
            [self.path, "-c", self.config, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if ok is not None and result.returncode not in ok:
            raise AssertionError(
                f"consentctl {' '.join(arguments)}: exit {result.returncode}\n"
                f"{result.stdout}{result.stderr}"
            )
        return result

    def json(self, *arguments, **options):
        return json.loads(self.run("--json", *arguments, **options).stdout)


class Milter:
    """The daemon in the foreground, its log in a file."""

    def __init__(self, build, directory, config, socket_path, *, name="milter", arguments=()):
        self.path = program(build, "consent-milter")
        self.config = config
        self.socket_path = socket_path
        self.arguments = list(arguments)
        self.log_path = os.path.join(directory, f"{name}.log")
        self.process = None
        self.file_limit = None

    def start(self, wait=True):
        self.process = Process(
            "consent-milter",
            [self.path, "-f", "-c", self.config, *self.arguments],
            self.log_path,
            env={"TSAN_OPTIONS": f"suppressions={TSAN_SUPPRESSIONS}"} | os.environ,
            limits=self._limits if self.file_limit else None,
        )
        self.process.start()
        if wait:
            ready(self.process, lambda: can_connect(self.socket_path), "the milter's socket")
        return self

    def _limits(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.file_limit, self.file_limit))

    @property
    def pid(self):
        return self.process.pid

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
        """An offset into the log, for `decisions` and `wait_log`."""
        return len(self.log())

    def decisions(self, since=0):
        lines = (LogLine.parse(line) for line in self.log()[since:].splitlines())
        return [line for line in lines if line is not None]

    def decision(self, identifier, seconds=5):
        """The log line of one decision id; waits until it is written."""

        def find():
            for line in self.decisions():
                if line.get("id") == identifier:
                    return line
            return None

        return wait_for(find, f"a log line with id={identifier}", seconds)

    def wait_log(self, pattern, since=0, seconds=5):
        """Wait for a match of a regular expression in the log."""
        compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
        return wait_for(
            lambda: compiled.search(self.log()[since:]), f"{pattern!r} in the milter's log", seconds
        )

    def sanitizer_report(self):
        """The first line of a sanitizer's report, or None."""
        for line in self.log().splitlines():
            if any(word in line for word in SANITIZER_WORDS):
                return line
        return None
