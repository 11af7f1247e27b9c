"""Hours of mail in minutes: 256 connections, reloads, Redis restarts, clients that vanish.

Every recipient's right verdict is known (tests/bench/recipients.h), so a wrong one is counted by the generator itself.
A slice by default; with CM_LONG=1 it goes on until a million messages were accepted, and prints the soak table.
"""

import json
import os
import random
import subprocess
import threading
import time
import unittest

import harness
from rig import proc
from rig.milter import Milter, is_sanitized, program, write_libconfig
from rig.mta import MilterSession
from rig.proc import open_files, status_number, wait_for
from rig.redis import Redis

CONNECTIONS = 256
MESSAGES = 1_000_000
SLICE_S = 50
LEG_S = 25  # of load between two restarts of Redis
LIMIT_S = 3600  # of the whole run, whatever the machine


def tool(name):
    path = os.path.join(harness.OPTIONS.build, "tests", "bench", name)
    assert os.access(path, os.X_OK), f"no {path}"
    return path


class Side:
    """Something done again and again beside the load, in a thread of its own; its first fault is kept."""

    def __init__(self, act, pause):
        self.act = act
        self.pause = pause
        self.count = 0
        self.fault = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.ended.wait(self.pause):
            try:
                self.act()
                self.count += 1
            except Exception as fault:  # reported by the test
                self.fault = fault
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(30)


class SoakTest(unittest.TestCase):
    def setUp(self):
        self.directory = proc.make_directory("consent-soak-")
        self.addCleanup(proc.remove_directory, self.directory)
        self.socket = os.path.join(self.directory, "milter.sock")
        self.config = os.path.join(self.directory, "consent-milter.conf")
        self.generation = 0
        self.random = random.Random(int(os.environ.get("CM_SEED", "1")))
        self.redis = Redis(self.directory).start()
        self.addCleanup(self.redis.kill)
        self.write_configuration()
        subprocess.run([tool("fill"), self.config], check=True, stdout=subprocess.DEVNULL)
        self.milter = Milter(harness.OPTIONS.build, self.directory, self.config, self.socket).start()
        self.addCleanup(self.milter.kill)
        self.sanitized = is_sanitized(program(harness.OPTIONS.build, "consent-milter"))

    def write_configuration(self):
        """Each one is another: a stream more or less, that no mail belongs to. Names come back, for counters go by them."""
        self.generation += 1
        others = tuple(
            harness.stream(f"other-{i}", match={"auth": [f"other-{i}"]})
            for i in range(self.generation % 5))
        path = self.config + ".new"
        write_libconfig(path, {
            "store": {"url": self.redis.url},
            "keys": os.path.join(self.directory, "keys"),
            "milter": {"socket": f"unix:{self.socket}", "mode": "0600"},
            "control": {"socket": os.path.join(self.directory, "control.sock")},
            "streams": (harness.news_stream(),) + others,
        })
        os.replace(path, self.config)

    def reload(self):
        self.write_configuration()
        self.milter.process.send_signal(10)  # SIGUSR1

    def vanish(self):
        """A client that goes away in the middle of whatever it was doing."""
        client = MilterSession(self.socket)
        try:
            for step in range(self.random.randrange(6)):
                if step == 0:
                    client.negotiate()
                elif step == 1:
                    client.connect()
                elif step == 2:
                    client.mail("<letter@news.acme.example>", auth_authen=harness.LOGIN, mail_addr="x")
                elif step == 3:
                    client.packet("R", b"<user1@example1.test>\0")  # and does not wait
                else:
                    client.packet("A")
        except ConnectionError:
            pass
        finally:
            client.stream.close()
            client.socket.close()

    def load(self, seconds, seed):
        done = subprocess.run(
            [tool("milterload"), "--socket", "unix:" + self.socket, "--connections", str(CONNECTIONS),
             "--recipients", "3", "--headers", "4", "--login", harness.LOGIN, "--from", harness.NEWS,
             "--duration", str(int(seconds * 1000)), "--timeout", "20000", "--seed", str(seed)],
            stdout=subprocess.PIPE, check=False)
        self.assertIn(done.returncode, (0, 1))
        result = json.loads(done.stdout)
        for key in ("wrong_accepted", "wrong_refused", "eom_refused", "missing_replies", "protocol_errors",
                    "failed_connections"):
            self.assertEqual(0, result[key], f"{key}: {result}")
        return result

    def sample(self):
        pid = self.milter.pid
        if os.path.getsize(self.milter.log_path) > 64 << 20:
            os.truncate(self.milter.log_path, 0)
        self.samples.append((status_number(pid, "VmRSS"), open_files(pid), status_number(pid, "Threads")))

    def restart_redis(self):
        (self.redis.kill if self.random.random() < 0.5 else self.redis.stop)()
        time.sleep(self.random.random())  # away for a while
        self.redis.start()

    def test_soak(self):
        whole = bool(os.environ.get("CM_LONG"))
        self.samples = []
        rows = []
        until = time.monotonic() + (LIMIT_S if whole else SLICE_S)
        accepted = 0
        with Side(self.reload, 0.5) as reloads, Side(self.vanish, 0.02) as vanished, Side(self.sample, 0.5) as samples:
            while time.monotonic() < until and (not whole or accepted < MESSAGES):
                first = len(self.samples)
                timer = threading.Timer(LEG_S / 2, self.restart_redis)
                timer.start()
                result = self.load(LEG_S, len(rows) + 1)
                timer.join()
                accepted += result["eom_accepted"]
                rows.append((result, self.samples[first:]))
        for side in (reloads, vanished, samples):
            self.assertIsNone(side.fault, f"{side.act.__name__}: {side.fault}")
        self.report(rows, reloads.count, vanished.count)
        if whole:
            self.assertGreaterEqual(accepted, MESSAGES)
        self.assertGreater(accepted, 100)
        self.check_flat(rows)
        wait_for(lambda: open_files(self.milter.pid) < 150, "closed connections", 30)
        self.assertIsNone(self.milter.sanitizer_report())
        self.assertEqual(0, self.milter.stop())

    def check_flat(self, rows):
        """The last leg needs no more than the second, but for noise; the first warms up."""
        early, late = rows[min(1, len(rows) - 1)][1], rows[-1][1]
        for index, (name, slack) in enumerate((("RSS in KiB", 4096), ("descriptors", 80), ("threads", 300))):
            if self.sanitized and index == 0:
                continue  # a sanitizer's quarantine grows
            before, after = max(s[index] for s in early), max(s[index] for s in late)
            self.assertLessEqual(after, before * 1.1 + slack, f"{name}: {before} early, {after} late")

    def report(self, rows, reloads, vanished):
        total = {key: sum(r[key] for r, _ in rows)
                 for key in ("eom_accepted", "accepted", "refused", "deferred", "eom_deferred")}
        print(f"soak: {len(rows)} legs, {total['eom_accepted']} messages, {total['accepted']} recipients accepted, "
              f"{total['refused']} refused, {total['deferred']} deferred, {reloads} reloads, {len(rows)} Redis restarts, "
              f"{vanished} clients vanished, wrong verdicts 0")
        for number in {0, 1, len(rows) // 2, len(rows) - 1}:
            if number < len(rows):
                peak = [max(s[i] for s in rows[number][1]) for i in range(3)]
                print(f"soak: leg {number + 1}: RSS at most {peak[0]} KiB, {peak[1]} descriptors, {peak[2]} threads")


if __name__ == "__main__":
    harness.main()
