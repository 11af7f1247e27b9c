#!/usr/bin/env python3
"""The load generator is trusted to notice every fault, so here it meets some.

    smoke.py MILTERLOAD FILTER_NOOP
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time


def start(filter_noop, path):
    child = subprocess.Popen([filter_noop, path])
    limit = time.monotonic() + 20
    while not os.path.exists(path):
        if child.poll() is not None or time.monotonic() > limit:
            raise SystemExit("the filter does not start")
        time.sleep(0.01)
    return child


def load(milterload, path, *options):
    done = subprocess.run([milterload, "--socket", "unix:" + path, "--duration", "200", *options],
                          stdout=subprocess.PIPE, check=False)
    return done.returncode, json.loads(done.stdout)


def check(what, condition, result):
    if not condition:
        raise SystemExit(f"{what}: {json.dumps(result)}")
    print("ok  " + what)


def main(milterload, filter_noop):
    with tempfile.TemporaryDirectory(prefix="bench-smoke.") as directory:
        path = os.path.join(directory, "s")
        child = start(filter_noop, path)
        try:
            for connections, recipients in ((1, 1), (1, 100), (4, 3)):
                code, r = load(milterload, path, "--expect", "accept", "--connections", str(connections),
                               "--recipients", str(recipients))
                check(f"{connections} x {recipients} is clean",
                      code == 0 and r["clean"] and r["rcpt_count"] > 0 and r["eom_accepted"] > 0, r)
                check("every recipient is accounted for",
                      r["rcpt_count"] == r["accepted"] and r["refused"] == r["deferred"] == 0, r)
            code, r = load(milterload, path, "--expect", "consent", "--recipients", "100")
            share = r["wrong_accepted"] / r["rcpt_count"]
            check("a filter that accepts everybody is found out", code == 1 and not r["clean"] and 0.2 < share < 0.4, r)
            code, r = load(milterload, path, "--expect", "accept", "--connections", "3", "--think", "20")
            check("pauses keep the load low", code == 0 and 3 < r["rcpt_count"] + r["eom_count"] < 100, r)
            child.send_signal(signal.SIGSTOP)
            code, r = load(milterload, path, "--expect", "accept", "--timeout", "200")
            check("a filter that does not answer is found out", code == 1 and r["missing_replies"] > 0, r)
        finally:
            child.kill()
            child.wait()
        code, r = load(milterload, path, "--expect", "accept")
        check("a refused connection is found out", code == 1 and r["failed_connections"] == 1, r)


if __name__ == "__main__":
    main(*sys.argv[1:])
