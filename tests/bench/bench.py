#!/usr/bin/env python3
"""Measures consent-milter next to what it has to be compared with, in one run on one machine.

Parties: (a) a filter that does nothing, (b) the milter anyone would write in an afternoon, (c) consent-milter with a
million records. All negotiate the same stages, so the differences are the check itself. A machine is never twice the
same: the parties take turns inside each round, the order rotates, and what is printed is the median over the rounds of
the ratio within a round. Every recipient's right verdict is known; one wrong verdict fails the whole run.

An aim is `met` or `missed` by the median; a median on the wrong side whose order-statistic interval (96 % at nine
rounds) still contains the aim is printed as `unclear`, because the noise of the machine is larger than the difference.

Exit code: 0 all clean and every aim met or unclear, 1 a run was not clean, 2 an aim was missed, 3 could not measure.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import parties
import report

PEOPLE = 1000000
CONNECTIONS = (1, 8, 64, 256)
RECIPIENTS = (1, 10, 100)
PINNED = ((1, 100), (8, 10))
SUSTAINED = (64, 10)
SUSTAINED_MS = 5000
STREAMS = (("d", 1000), ("e", 4000))
STREAM_CELLS = ((1, 10), (8, 10))
QUICK_CELLS = ((1, 10), (8, 10), (64, 10))
DEFERRALS = ("deferred", "eom_deferred")
FAULTS = ("wrong_accepted", "wrong_refused", "eom_refused", "protocol_errors", "missing_replies",
          "failed_connections") + DEFERRALS


class Bench:
    def __init__(self, options, tools):
        self.options = options
        self.tools = tools
        self.parties = []
        self.many = []  # c again, with many streams
        self.faults = []
        self.seed = options.seed

    # ---- setting up ----

    def start(self, directory):
        for letter, start in (("a", lambda: parties.start_noop(directory, self.tools)),
                              ("b", lambda: parties.start_naive(directory, self.tools, PEOPLE)),
                              ("c", lambda: parties.start_consent(directory, self.tools))):
            if letter in self.options.parties:
                self.say(f"starting ({letter})")
                self.parties.append(start())
        consent = self.party("c")
        for letter, count in STREAMS if consent else ():
            self.say(f"starting ({letter})")
            self.many.append(parties.start_with_streams(letter, count, consent, directory, self.tools))

    def stop(self):
        every = self.parties + self.many
        for party in every:
            party.filter.ask_to_stop()  # libmilter takes up to five seconds: together, not one after the other
        for party in reversed(every):
            party.stop()

    def party(self, letter):
        return next((p for p in self.parties if p.letter == letter), None)

    def say(self, text):
        if not self.options.quiet:
            print(text, file=sys.stderr, flush=True)

    # ---- one run of one party ----

    def run(self, party, connections, recipients, cpus=None, duration=None):
        self.seed += 1
        cpu, lost = party.filter.cpu_seconds(), party.lost
        result = party.load(connections, recipients, duration or self.options.duration, cpus,
                            ("--seed", str(self.seed), "--without", "0.3"))
        result["filter_cpu_s"] = party.filter.cpu_seconds() - cpu
        result["refusals_lost"] = party.lost - lost
        self.check(party, f"{connections} connections x {recipients} recipients", result)
        return result

    def check(self, party, where, result, allowed=()):
        for fault in FAULTS:
            if result[fault] and fault not in allowed:
                text = result["trouble"] or party.filter.warnings() or result["deferral"]
                self.faults.append(f"({party.letter}) {where}: {result[fault]} {fault}" + (f" ({text})" if text else ""))
        party.filter.trim_log()

    def cell(self, connections, recipients, cpus=None, duration=None, rounds_count=None, among=None):
        """All rounds of one cell; the order of the parties rotates."""
        among = among or self.parties
        rounds = {p.letter: [] for p in among}
        for number in range(rounds_count or self.options.rounds):
            turn = number % len(among)
            for party in among[turn:] + among[:turn]:
                rounds[party.letter].append(self.run(party, connections, recipients, cpus, duration))
        return {"connections": connections, "recipients": recipients, "rounds": rounds}

    # ---- the measurements ----

    def matrix(self):
        cells = QUICK_CELLS if self.options.quick else [(c, r) for c in CONNECTIONS for r in RECIPIENTS]
        out = []
        for connections, recipients in cells:
            self.say(f"{connections} connections x {recipients} recipients")
            out.append(self.cell(connections, recipients))
        return out

    def pinned(self):
        """Everything on one core: no waking of idle cores, which otherwise hides what the code costs."""
        cpus = {max(os.sched_getaffinity(0))}
        everywhere = os.sched_getaffinity(0)
        for party in self.parties:
            party.pin(cpus)
        out = []
        for connections, recipients in PINNED:
            self.say(f"{connections} connections x {recipients} recipients on one core")
            out.append(self.cell(connections, recipients, cpus))
        for party in self.parties:
            party.pin(everywhere)
        return out

    def sustained(self):
        """Seconds on end: short runs end before the work that a filter puts off (writing down refusals) is due."""
        connections, recipients = SUSTAINED
        self.say(f"{connections} connections x {recipients} recipients for {SUSTAINED_MS // 1000} s")
        return [self.cell(connections, recipients, duration=SUSTAINED_MS, rounds_count=3)]

    def streams(self):
        """One stream against many, of which the last is in use: what finding the stream costs."""
        if not self.many:
            return []
        out = []
        for connections, recipients in STREAM_CELLS:
            self.say(f"{connections} connections x {recipients} recipients, with many streams")
            out.append(self.cell(connections, recipients, among=[self.party("c")] + self.many))
        return out

    def round_trips(self, cpus=None):
        """The plain Redis round trip, on the same servers and with the same data."""
        measures = {"b": ["ping", "get", "get10"], "c": ["hmget", "lookup", "lookup1", "lookup3"]}
        found = {}
        for letter, names in measures.items():
            party = self.party(letter)
            if party is None:
                continue
            if cpus:
                party.redis.pin(cpus)
            samples = []
            for _ in range(self.options.rounds):
                pin = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
                text = subprocess.run([self.tools["rtt"], party.redis.socket, "2000", *names], stdout=subprocess.PIPE,
                                      preexec_fn=pin, check=True).stdout
                samples.append(json.loads(text))
            party.redis.pin(os.sched_getaffinity(0))
            for key in samples[0]:
                found[key] = statistics.median(s[key] for s in samples)
        return found

    def hung_redis(self, letter, recipients, think=40):
        """Redis stops answering (SIGSTOP) under 64 clients that each pause between commands, and comes back. Without
        pauses libmilter starves sessions for seconds, whatever the filter does."""
        party = self.party(letter)
        if party is None:
            return None
        self.say(f"hung Redis, ({letter})")
        load = party.load_in_background(64, recipients, 6000, ("--think", str(think), "--timeout", "10000"))
        try:
            time.sleep(1.5)
            party.redis.send(signal.SIGSTOP)
            time.sleep(3.0)
        finally:
            party.redis.send(signal.SIGCONT)
        result = json.loads(load.communicate(timeout=60)[0])
        party.settle(result["refused"])
        back = time.monotonic()
        recovered = None
        while recovered is None and time.monotonic() - back < 20:
            begun = time.monotonic() - back
            again = party.load(8, 10, 200)
            self.check(party, "after the hung Redis", again, allowed=DEFERRALS)
            if again["deferred"] == 0:
                recovered = begun
        self.check(party, "hung Redis", result, allowed=DEFERRALS if letter == "c" else FAULTS)
        if recovered is None:
            self.faults.append(f"({letter}) still deferring 20 s after Redis had come back")
        return {"clients": 64, "wait_max_ms": result["wait_max_ms"], "wait_median_ms": result["wait_median_ms"],
                "over_limit": result["sessions_over_limit"], "deferred": result["deferred"],
                "recipients": result["rcpt_count"], "deferral": result["deferral"], "clean_again_s": recovered}

    def measure(self):
        memory_fresh = {p.letter: p.filter.status() for p in self.parties}
        results = {"machine": machine(), "options": {"rounds": self.options.rounds, "duration_ms": self.options.duration,
                                                    "seed": self.options.seed},
                   "matrix": self.matrix(), "pinned": self.pinned(),
                   "sustained": [] if self.options.quick else self.sustained(), "streams": self.streams(), "round_trip": self.round_trips(),
                   "round_trip_pinned": self.round_trips({max(os.sched_getaffinity(0))})}
        results["refusals_lost"] = {p.letter: p.lost for p in self.parties}
        results["memory"] = {p.letter: {"fresh": memory_fresh[p.letter], "after": p.filter.status()}
                             for p in self.parties}
        if not self.options.quick:
            results["hung_redis"] = {letter: self.hung_redis(letter, 10) for letter in "bc"}
        results["titles"] = {p.letter: p.title for p in self.parties}
        results["many"] = {p.letter: p.title for p in self.many}
        results["faults"] = self.faults
        return results


def machine():
    model = "unknown"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpus": len(os.sched_getaffinity(0)), "model": model, "kernel": platform.release(),
            "load_before": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def find_tools(build, letters):
    """The programs by name, wherever the build put them."""
    wanted = {"milterload", "rtt", "filter_noop", "filter_naive"}
    if "c" in letters:
        wanted |= {"fill", "consent-milter"}
    found = {}
    for directory, _, files in os.walk(build):
        for name in wanted.intersection(files):
            path = os.path.join(directory, name)
            if os.access(path, os.X_OK):
                found[name] = path
    if wanted - set(found):
        raise parties.BenchError("not built: " + ", ".join(sorted(wanted - set(found))))
    return found


def parse(arguments):
    parser = argparse.ArgumentParser(description="Benchmark of consent-milter; scripts/bench builds and calls this.")
    parser.add_argument("--build", required=True, help="build directory with the programs")
    parser.add_argument("--quick", action="store_true", help="3 rounds of few cells, no hung Redis")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (9; with --quick 3)")
    parser.add_argument("--duration", type=int, default=400, help="milliseconds of each run (400)")
    parser.add_argument("--parties", default="abc", help="which of a, b and c to measure (abc)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write every single result here")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 3 if options.quick else 9
    if options.rounds < 1 or options.duration < 1 or not set(options.parties) <= set("abc"):
        parser.error("impossible value")
    return options


def main(arguments):
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(3))  # so that the servers end with us
    directory = tempfile.mkdtemp(prefix="consent-bench.")
    bench = None
    try:
        bench = Bench(options, find_tools(options.build, options.parties))
        bench.start(directory)
        results = bench.measure()
    except parties.BenchError as error:
        print("bench: " + str(error), file=sys.stderr)
        return 3
    finally:
        if bench is not None:
            bench.stop()
        shutil.rmtree(directory, ignore_errors=True)
    summary = report.summarise(results)
    print(report.as_text(results, summary))
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"summary": summary, "results": results}, out, indent=1)
    if results["faults"]:
        return 1
    return 2 if any(aim["state"] == "missed" for aim in summary["aims"]) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
