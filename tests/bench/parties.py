"""The processes of the benchmark: private Redis servers and the three filters.

Every party has its own directory with its own sockets; nothing listens on the network. Processes are ended by the
handle that started them, in reverse order, also when the benchmark fails.
"""

import json
import os
import signal
import socket
import subprocess
import time

CONFIG = """\
store: {{ url = "unix:{redis}"; }};
keys = "{dir}/keys";
milter: {{ socket = "unix:{socket}"; mode = "0600"; }};
control: {{ socket = "{dir}/control.sock"; mode = "0600"; }};
streams: (
{others}  {{ name = "acme-news";
    match: {{ auth = ["acme-mailer"]; mail_from = ["*@news.acme.example"]; }};
    sender = "acme"; purpose = "newsletter"; class = "marketing"; mode = "enforce"; }}
);
"""

OTHER = """\
  {{ name = "other-{number}";
    match: {{ auth = ["user-{number}"]; mail_from = ["*@news.other{number}.example"]; }};
    sender = "acme"; purpose = "newsletter"; class = "marketing"; mode = "enforce"; }},
"""


class BenchError(Exception):
    """Something that makes the measurement impossible; the text says what."""


def wait_for(what, condition, seconds=20.0):
    """Polls a condition that another process brings about."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise BenchError("timed out waiting for " + what)
        time.sleep(0.01)


def answers(path):
    """True when something accepts connections on a unix socket."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
        return True
    except OSError:
        return False
    finally:
        probe.close()


class Process:
    """A child process with what /proc tells about it."""

    def __init__(self, arguments, log, **options):
        self.name = os.path.basename(arguments[0])
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options)

    def alive(self):
        return self.child.poll() is None

    def require(self, what):
        if not self.alive():
            with open(self.log, errors="replace") as log:
                tail = "".join(log.readlines()[-10:])
            raise BenchError(f"{what} ended with code {self.child.returncode}:\n{tail}")

    def cpu_seconds(self):
        """User and system time of all its threads, also of those that have ended."""
        with open(f"/proc/{self.child.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def status(self):
        """RSS now and at its highest in MiB, and the number of threads."""
        with open(f"/proc/{self.child.pid}/status") as status:
            values = dict(line.split(":", 1) for line in status)
        return {"rss_mib": int(values["VmRSS"].split()[0]) / 1024, "rss_peak_mib": int(values["VmHWM"].split()[0]) / 1024,
                "threads": int(values["Threads"])}

    def pin(self, cpus):
        """Binds every thread; threads started later inherit it."""
        for thread in os.listdir(f"/proc/{self.child.pid}/task"):
            try:
                os.sched_setaffinity(int(thread), cpus)
            except ProcessLookupError:
                pass  # the thread ended meanwhile

    def warnings(self):
        """What the filter last warned of, to say with a fault."""
        with open(self.log, errors="replace") as log:
            found = [line.strip() for line in log if line.startswith(("warning: ", "error: "))]
        return found[-1] if found else ""

    def trim_log(self):
        """A filter that logs each decision would fill the disk; what stays is the log of the last run."""
        if self.alive() and os.path.getsize(self.log) > 32 << 20:
            os.truncate(self.log, 0)

    def send(self, number):
        self.child.send_signal(number)

    def ask_to_stop(self):
        if self.alive():
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()

    def stop(self):
        self.ask_to_stop()
        if self.alive():
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Redis(Process):
    """A private server on a unix socket."""

    def __init__(self, directory, durable):
        self.socket = os.path.join(directory, "redis.sock")
        super().__init__(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", directory, "--save", "",
             "--appendonly", "yes" if durable else "no", "--appendfsync", "always", "--maxmemory-policy", "noeviction",
             "--daemonize", "no", "--loglevel", "warning"], os.path.join(directory, "redis.log"))
        wait_for("redis-server", lambda: answers(self.socket) or not self.alive())
        self.require("redis-server")

    def calls(self, command):
        """How often a command was run since the server started."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.connect(self.socket)
            s.sendall(b"INFO commandstats\r\n")
            replies = s.makefile("rb")
            text = replies.read(int(replies.readline()[1:])).decode()
        for line in text.splitlines():
            if line.startswith(f"cmdstat_{command}:calls="):
                return int(line.split("=", 1)[1].split(",", 1)[0])
        return 0

    def load_naive_keys(self, total):
        """SETs what the naive filter looks for: one key for each consenting person (recipients.h)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.connect(self.socket)
            replies = s.makefile("rb")
            for start in range(0, total, 10000):
                people = [n for n in range(start, start + 10000) if n % 10 < 7]
                batch = []
                for n in people:
                    key = f"consent:user{n}@example{n % 97}.test"
                    batch.append(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n$1\r\n1\r\n")
                s.sendall("".join(batch).encode())
                expected = b"+OK\r\n" * len(people)
                if replies.read(len(expected)) != expected:
                    raise BenchError("filling the naive filter's Redis failed")


class Party:
    """One filter under test with its Redis, if it has one."""

    def __init__(self, letter, title, directory, tools):
        self.letter = letter
        self.title = title
        self.directory = os.path.join(directory, letter)
        os.mkdir(self.directory, 0o700)
        self.socket = os.path.join(self.directory, "milter.sock")
        self.tools = tools
        self.redis = None
        self.filter = None
        self.expect = "consent"
        self.keeps_refusals = False
        self.refused = 0
        self.lost = 0

    def start_filter(self, arguments):
        self.filter = Process(arguments, os.path.join(self.directory, "filter.log"))
        wait_for(self.title, lambda: answers(self.socket) or not self.filter.alive())
        self.filter.require(self.title)

    def pin(self, cpus):
        for process in (self.redis, self.filter):
            if process is not None:
                process.pin(cpus)

    def load(self, connections, recipients, duration_ms, cpus=None, extra=()):
        """Runs the generator once and returns its results."""
        arguments = [self.tools["milterload"], "--socket", "unix:" + self.socket, "--connections", str(connections),
                     "--recipients", str(recipients), "--duration", str(duration_ms), "--expect", self.expect, *extra]
        pin = (lambda: os.sched_setaffinity(0, cpus)) if cpus is not None else None
        done = subprocess.run(arguments, stdout=subprocess.PIPE, preexec_fn=pin, check=False)
        self.filter.require(self.title)
        if done.returncode not in (0, 1):
            raise BenchError(f"milterload failed with code {done.returncode}")
        result = json.loads(done.stdout)
        self.settle(result["refused"])
        return result

    def settle(self, refused):
        """Waits until all refusals of a run stand in Redis, so that this work does not fall into the run of another
        party. What does not arrive is counted as lost: the filter's queue for them is bounded."""
        if not self.keeps_refusals:
            return
        self.refused += refused
        try:
            wait_for("refusals", lambda: self.redis.calls("xadd") >= self.refused - self.lost, 2.5)
        except BenchError:
            self.lost = self.refused - self.redis.calls("xadd")

    def load_in_background(self, connections, recipients, duration_ms, extra=()):
        arguments = [self.tools["milterload"], "--socket", "unix:" + self.socket, "--connections", str(connections),
                     "--recipients", str(recipients), "--duration", str(duration_ms), "--expect", self.expect, *extra]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE)

    def stop(self):
        for process in (self.filter, self.redis):
            if process is not None:
                process.stop()


def start_noop(directory, tools):
    party = Party("a", "a filter that does nothing", directory, tools)
    party.expect = "accept"
    party.start_filter([tools["filter_noop"], party.socket])
    return party


def start_naive(directory, tools, people):
    party = Party("b", "one GET per RCPT, nothing else", directory, tools)
    party.redis = Redis(party.directory, durable=False)
    try:
        party.redis.load_naive_keys(people)
        party.start_filter([tools["filter_naive"], party.socket, party.redis.socket])
    except BaseException:
        party.stop()
        raise
    return party


def run_tool(arguments, what):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{what} failed with code {done.returncode}:\n{done.stdout}")


def start_consent(directory, tools):
    """consent-milter with keys and a store of its own (fill.c)."""
    party = Party("c", "consent-milter, 1,000,000 records", directory, tools)
    party.keeps_refusals = True
    party.redis = Redis(party.directory, durable=True)
    try:
        config = os.path.join(party.directory, "consent-milter.conf")
        os.mkdir(os.path.join(party.directory, "keys"), 0o700)
        with open(config, "w") as out:
            out.write(CONFIG.format(dir=party.directory, redis=party.redis.socket, socket=party.socket, others=""))
        run_tool([tools["fill"], config], "filling the consent store")
        party.start_filter([tools["consent-milter"], "-c", config, "-f"])
    except BaseException:
        party.stop()
        raise
    return party


def start_with_streams(letter, count, consent, directory, tools):
    """Another consent-milter on the same store, whose one stream in use is the last of many."""
    party = Party(letter, f"the same with {count} streams", directory, tools)
    config = os.path.join(party.directory, "consent-milter.conf")
    os.symlink(os.path.join(consent.directory, "keys"), os.path.join(party.directory, "keys"))
    with open(config, "w") as out:
        out.write(CONFIG.format(dir=party.directory, redis=consent.redis.socket, socket=party.socket,
                                others="".join(OTHER.format(number=n) for n in range(count - 1))))
    party.start_filter([tools["consent-milter"], "-c", config, "-f"])
    return party
