"""Withdrawals and consents race with look-ups; what each was told must fit one order of events (LAW-4, LAW-5, LAW-12).

A subject and a purpose are a register of one bit, which one writer sets: a consent by confirmation permits, a
withdrawal (of the purpose, or of all of the sender) refuses. The recorded history must be linearizable. CM_LONG=1 makes it 100,000
operations instead of 10,000.
"""

import bisect
import collections
import os
import subprocess
import unittest

import harness
from rig.milter import program
from store_world import StoreWorld

IS_LONG = bool(os.environ.get("CM_LONG"))
OPERATIONS = 100_000 if IS_LONG else 10_000
WRITERS, READERS, SUBJECTS = 8, 8, 24

Row = collections.namedtuple("Row", "kind thread subject purpose invoked answered result")


def parse(text):
    lines = text.splitlines()
    assert lines and lines[-1] == "end", "the history is cut"
    rows = []
    for line in lines[:-1]:
        kind, *numbers, result = line.split()
        rows.append(Row(kind, *map(int, numbers), result))
    return rows


def fault_of_register(rows):
    """The first look-up that fits no order, and why; or None. A single writer orders the writes, so that the look-ups
    are linearizable if and only if each can be given the number of a write that it may have seen, and no look-up is
    given a lower one than another that ended before it began. The lowest possible number is always the best choice."""
    writes = sorted((row for row in rows if row.kind != "R" and row.result == "y"), key=lambda row: row.invoked)
    for first, second in zip(writes, writes[1:]):
        assert first.answered <= second.invoked, "two writers of one subject"
    permits = [False] + [row.kind == "G" for row in writes]
    invoked = [row.invoked for row in writes]
    answered = [row.answered for row in writes]
    ended, ended_highest = [], []  # of the look-ups: when they ended, and the highest number up to there
    seen = []
    for row in sorted((row for row in rows if row.kind == "R" and row.result in "ar"), key=lambda row: row.invoked):
        while seen and seen[0][0] < row.invoked:
            at, number = seen.pop(0)
            ended.append(at)
            ended_highest.append(max(number, ended_highest[-1] if ended_highest else 0))
        before = bisect.bisect_left(ended, row.invoked)
        lowest = max(bisect.bisect_left(answered, row.invoked), ended_highest[before - 1] if before else 0)
        highest = bisect.bisect_left(invoked, row.answered)
        fits = [n for n in range(lowest, highest + 1) if permits[n] == (row.result == "a")]
        if not fits:
            return row, f"not what any of the writes {lowest} to {highest} left: {permits[lowest:highest + 1]}"
        bisect.insort(seen, (row.answered, fits[0]))
    return None


def faults_of(rows):
    registers = collections.defaultdict(list)
    for row in rows:
        registers[row.subject, row.purpose].append(row)
    found = (fault_of_register(register) for register in registers.values())
    return [fault for fault in found if fault]


class CheckerTest(unittest.TestCase):
    """The checker itself: written histories of one register."""

    def check(self, expected, *rows):
        rows = [Row(kind, 0, 0, 0, invoked, answered, result) for kind, invoked, answered, result in rows]
        self.assertEqual(expected, not faults_of(rows), rows)

    def test_written_histories(self):
        grant, withdrawal = ("G", 10, 20, "y"), ("W", 30, 40, "y")
        rows = (
            (True, ("R", 0, 5, "r"), grant, ("R", 21, 25, "a"), withdrawal, ("R", 41, 45, "r")),
            (False, grant, withdrawal, ("R", 41, 45, "a")),  # after an acknowledged withdrawal
            (False, grant, ("R", 21, 25, "r")),  # after an acknowledged consent
            (False, ("R", 0, 5, "a")),  # before any
            (True, grant, withdrawal, ("R", 35, 45, "a")),  # overlaps: either
            (True, grant, withdrawal, ("R", 35, 45, "r")),
            (False, grant, withdrawal, ("R", 31, 33, "r"), ("R", 34, 36, "a")),  # new, then old
            (True, grant, withdrawal, ("R", 31, 35, "r"), ("R", 34, 36, "a")),  # unless they overlap
            (True, grant, withdrawal, ("G", 50, 60, "y"), ("R", 35, 55, "a"), ("R", 56, 70, "r")),
            (False, grant, withdrawal, ("G", 50, 60, "y"), ("R", 51, 55, "a"), ("R", 56, 59, "r")),
            (True, ("R", 0, 5, "d"), grant, ("R", 21, 25, "d")),  # don't know says nothing
        )
        for expected, *history in rows:
            with self.subTest(history=history):
                self.check(expected, *history)


class RaceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = StoreWorld().start().prepare()
        cls.addClassCleanup(cls.world.stop)
        done = subprocess.run([program(harness.OPTIONS.build, "store_driver"), "race", cls.world.ctl.config,
                               str(SUBJECTS), str(WRITERS), str(READERS), str(OPERATIONS)],
                              capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        cls.rows = parse(done.stdout)

    def test_history_is_linearizable(self):
        counts = collections.Counter((row.kind, row.result) for row in self.rows)
        first = min(row.invoked for row in self.rows)
        last = max(row.answered for row in self.rows)
        print(f"\nrace: {OPERATIONS} operations, {WRITERS} writers, {READERS} readers, {SUBJECTS} subjects, "
              f"{(last - first) / 1e9:.1f} s\n"
              f"  consents {counts['G', 'y']}, withdrawals {counts['W', 'y']} (by purpose), look-ups: permitted "
              f"{counts['R', 'a']}, refused {counts['R', 'r']}, don't know {counts['R', 'd']}")
        self.assertEqual([], faults_of(self.rows))
        self.assertEqual(set(), set(counts) - {("G", "y"), ("W", "y"), ("R", "a"), ("R", "r")}, counts)
        self.assertGreater(min(counts.values()), OPERATIONS // 100, counts)

    def test_ledger_is_clean(self):
        self.world.ctl.run("ledger", "verify")

    def test_planted_violations_are_found(self):
        # One wrong answer among all of them: a look-up that began after a withdrawal was acknowledged, and ended before
        # the subject consented again, is made to permit.
        registers = collections.defaultdict(list)
        for row in self.rows:
            registers[row.subject, row.purpose].append(row)
        planted = 0
        for register in registers.values():
            writes = sorted((row for row in register if row.kind != "R"), key=lambda row: row.invoked)
            settled = [row for row in register if row.kind == "R" and not any(
                write.invoked < row.answered and row.invoked < write.answered for write in writes)]
            for row in settled[:10]:
                wrong = row._replace(result="a" if row.result == "r" else "r")
                changed = [wrong if other is row else other for other in register]
                self.assertIsNotNone(fault_of_register(changed), row)
                planted += 1
        self.assertGreater(planted, SUBJECTS)


if __name__ == "__main__":
    harness.main()
