"""Processes, conditions and directories: what every part of the rig needs."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class WaitTimeout(AssertionError):
    """A condition that a test waited for did not come true in time."""


def wait_for(condition, what, seconds=15.0, interval=0.02):
    """Poll `condition` until it is truthy and return its value.

    Fails with `what` in the message, so that a log tells what was missing.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise WaitTimeout(f"waited {seconds:.0f} s for: {what}")
        time.sleep(interval)


def make_directory(prefix):
    """A new directory that the unprivileged servers can walk through."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o755)
    return path


def remove_directory(path):
    shutil.rmtree(path, ignore_errors=True)


def free_port(host="127.0.0.1"):
    """A port that the kernel chose. Needed only outside a private network."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def read_text(path):
    """The whole of a log file as text; an absent file is empty."""
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        return ""


def can_connect(address):
    """True when something accepts on a unix path or on a (host, port) pair."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(address)
        except OSError:
            return False
        return True


class Process:
    """One server process with its output in a file, ended by its own pid."""

    def __init__(self, name, argv, log_path, *, env=None, limits=None, cwd=None):
        self.name = name
        self.argv = argv
        self.log_path = log_path
        self.env = env
        self.limits = limits
        self.cwd = cwd
        self.popen = None

    def start(self):
        assert self.popen is None, f"{self.name} runs already"
        # Each server leads a session of its own, as master(8) of Postfix
        # ends its whole process group when it stops.
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
                preexec_fn=self.limits,
            )

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def send_signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def stop(self, seconds=20, number=signal.SIGTERM):
        """Ask the process to end and return its exit code."""
        if self.popen is None:
            return None
        self.send_signal(number)
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise WaitTimeout(f"{self.name} did not stop within {seconds} s")
        finally:
            self.popen = None
        return code

    def kill(self):
        """SIGKILL, as a crash would do it."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
            self.popen = None

    def log(self):
        return read_text(self.log_path)


def ready(process, condition, what, seconds=20.0):
    """Wait for readiness, and fail at once when the process has ended."""

    def check():
        if not process.running():
            code = process.popen.returncode if process.popen else None
            raise AssertionError(
                f"{process.name} ended with {code} before it was ready:\n{process.log()[-3000:]}"
            )
        return condition()

    return wait_for(check, what, seconds)


def status_number(pid, key):
    """A number out of /proc/PID/status, such as Threads or VmRSS (in kB)."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise KeyError(key)


def cpu_seconds(pid):
    """User and system time that a process has used so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        fields = stream.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
