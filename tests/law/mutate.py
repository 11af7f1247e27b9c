#!/usr/bin/env python3
"""Breaks the law on purpose, one small place at a time, and tells which breaks no test notices.

  mutate.py [--sample N [--seed S]] [--only TEXT] [--jobs N] [--cc CC] [--list]

Each mutant is one change in the decision, in what supersedes what, in the statements' dates or in the fold: a comparison
or its boundary, a logical operator, a forced branch, a number, a flag, an enumerator, a row left out of a table or two in
another order, a statement left out. It is compiled alone, linked with the rest of core, and the tables, walks, properties
and unit tests of the law run until one fails. A mutant that none notices must be listed in mutants-equivalent.txt with
the reason why no test could; anything else is a hole in the tests.

All of them take some minutes; --sample takes N at random and prints its seed. Exit 0 if every mutant was caught or is
listed, 1 if not, 2 if the unchanged sources do not pass.
"""
import argparse
import concurrent.futures
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

LAW = Path(__file__).resolve().parent
ROOT = LAW.parent.parent
CORE = ROOT / "milter" / "core"
LISTED = LAW / "mutants-equivalent.txt"
TIMEOUT_S = 60
MEMORY_BYTES = 1 << 30

# Which functions are mutated, or all; tables count by the name of the array.
TARGETS = {
    "decision.c": None,
    "record.c": None,
    "statement.c": None,
    "fold.c": None,
    "event.c": None,
}
# The quick ones first: most mutants do not get beyond them.
UNITS = ("decision", "record", "fold", "statement", "event")
ORDERED = {"bases", "stop_rows"} # tables whose rows are looked through in order
LAW_TESTS = (("law_table", ("test_laws.c", "world.c"), (str(LAW / "cases.txt"),)),
             ("law_properties", ("test_properties.c", "law_again.c", "random_world.c", "world.c"), ()),
             ("law_pairs", ("test_pairs.c", "world.c"), ()))

COMPARISONS = {"==": ("!=",), "!=": ("==",), "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<=")}
OPERATORS = {**COMPARISONS, "&&": ("||",), "||": ("&&",), "+": ("-",), "-": ("+",), "&": ("|",), "|": ("&",), "^": ("&",),
             "<<": (">>",), ">>": ("<<",), "!": ("",), "~": ("",), "?": ("&& 0 ?", "|| 1 ?"), "true": ("false",),
             "false": ("true",)}
# Enumerators take the place of the next one in their family.
FAMILIES = (
    ("BY_SUBJECT", "BY_GUARDIAN", "BY_ITS_RANK"),
    ("CM_VERDICT_ACCEPT", "CM_VERDICT_REFUSE"),
    ("CM_RANK_SUBJECT", "CM_RANK_OFFICER", "CM_RANK_ADMIN", "CM_RANK_SENDER"),
    ("CM_BASIS_EXPRESS", "CM_BASIS_SOFT_OPTIN", "CM_BASIS_IMPLIED", "CM_BASIS_ASSERTED"),
    ("CM_CLASS_CONSENT_REQUEST", "CM_CLASS_MARKETING"),
    ("CM_DORMANCY_OFF", "CM_DORMANCY_WARN", "CM_DORMANCY_REFUSE"),
    ("CM_RECORD_HAS_EVIDENCE", "CM_RECORD_BY_GUARDIAN", "CM_RECORD_ENDED"),
    ("EVIDENCE", "GUARDIAN", "ENDED"),
    ("CM_ACT_CONFIRM", "CM_ACT_ERASE", "CM_ACT_NOTE", "CM_ACT_GRANT"),
    ("CM_OUTCOME_APPLIED", "CM_OUTCOME_STALE"),
    ("CM_STATE_REFUSED", "CM_STATE_WITHDRAWN", "CM_STATE_OBJECTED", "CM_STATE_COMPLAINED"),
    ("CM_STATE_MINOR", "CM_STATE_LEGAL", "CM_STATE_DECEASED"),
    ("CM_KIND_GRANT", "CM_KIND_IMPLIED", "CM_KIND_SOFT_OPTIN", "CM_KIND_ASSERTED", "CM_KIND_REQUEST", "CM_KIND_STOP",
     "CM_KIND_BOUNCED", "CM_KIND_RESTRICTED", "CM_KIND_SUSPENDED", "CM_KIND_ERASED", "CM_KIND_SEAL", "CM_KIND_FORWARD"),
    ("CM_REASON_EXPRESS", "CM_REASON_IMPLIED", "CM_REASON_SOFT_OPTIN", "CM_REASON_ASSERTED", "CM_REASON_REQUEST",
     "CM_REASON_NO_CONSENT", "CM_REASON_REQUEST_OPEN", "CM_REASON_LAPSED", "CM_REASON_OLDER_STATEMENT",
     "CM_REASON_BASIS_NOT_ACCEPTED", "CM_REASON_NOT_YET", "CM_REASON_DORMANT", "CM_REASON_RESTRICTED",
     "CM_REASON_DECEASED", "CM_REASON_MINOR", "CM_REASON_SUSPENDED", "CM_REASON_REFUSED", "CM_REASON_WITHDRAWN",
     "CM_REASON_OBJECTED", "CM_REASON_COMPLAINED", "CM_REASON_BOUNCED", "CM_REASON_ERASED"),
)
NEXT = {name: (family[(i + 1) % len(family)],) for family in FAMILIES for i, name in enumerate(family)}

TOKEN = re.compile(r"""
    (?P<skip>/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|^\#[^\n]*|->|\+\+|--|[-+|&^]=)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\d\w*)
  | (?P<operator>==|!=|<=|>=|<<|>>|&&|\|\||[<>!~?+\-&|^])
  | (?P<other>\S)""", re.X | re.S | re.M)


class Mutant:
    """A change of source[start:end] to `new`; its name holds as long as the line stays what it is."""

    def __init__(self, file, where, source, start, end, new, what):
        self.file, self.start, self.end, self.new = file, start, end, new
        line = source[source.rfind("\n", 0, start) + 1:source.find("\n", start)].strip()
        self.name = f"{file}: {where}: {line} [{what}]"

    def apply(self, source):
        return source[:self.start] + self.new + source[self.end:]


def is_binary(before):
    """Whether + - & after this token joins two values, and is no sign or address."""
    return before is not None and (before.group("word") or before.group("number") or before.group() in (")", "]")) and \
        before.group() != "return"


def mutants_of_tokens(file, where, source, tokens):
    before = None
    in_case = False
    for token in tokens:
        text = token.group()
        if token.group("skip"):
            before = before if text.startswith("/*") else token
            continue
        changes = OPERATORS.get(text, ()) + NEXT.get(text, ())
        if text in "+-&|" and not is_binary(before) or text == "&" and before is not None and before.group() == ")" and \
                source[token.end()] != " ":
            changes = ()
        if token.group("number") and not re.search(r"sizeof\([^()]*$", source[source.rfind("\n", 0, token.start()):token.start()]):
            changes = (str(int(text.rstrip("ULul"), 0) + 1),)
        in_case = (in_case or text == "case") and text != ":"
        for change in () if in_case else changes:
            yield token.start(), token.end(), change, f"{text} to {change or 'nothing'}"
        before = token


def closing(source, at):
    """Where the parenthesis that opens at `at` closes."""
    depth = 0
    for i in range(at, len(source)):
        depth += {"(": 1, ")": -1}.get(source[i], 0)
        if depth == 0:
            return i
    raise ValueError("unbalanced")


def mutants_of_lines(source, start, end):
    """Branches forced, and statements left out."""
    for match in re.finditer(r"\bif (\()", source[start:end]):
        at = start + match.start(1)
        to = closing(source, at)
        yield at, to, source[at:to].replace("(", "(0 && (", 1) + ")", "never"
        yield at, to, source[at:to].replace("(", "(1 || (", 1) + ")", "always"
    for match in re.finditer(r"^ +((?:continue|[*\w.>\[\]()-]+ [|+]?= [^;{]*|[\w.>-]+(?:\+\+|--)|\(void\)\w+\([^;]*|\w+\([^;{}]*\));)",
                             source[start:end], re.M):
        yield start + match.start(1), start + match.end(1), ";", "left out"


def mutants_of_rows(where, source, start, end):
    """Rows of a table: each left out, and each in the place of the next."""
    rows = list(re.finditer(r"^    \{[^\n]*\},(?: /\*[^\n]*\*/)?\n", source[start:end], re.M))
    for i, row in enumerate(rows):
        yield start + row.start(), start + row.end(), "", "row left out"
        if where in ORDERED and i + 1 < len(rows) and rows[i + 1].start() == row.end():
            after = rows[i + 1]
            yield start + row.start(), start + after.end(), after.group() + row.group(), "row after the next"


def regions(source):
    """(name, start, end) of each function's body and each table."""
    for match in re.finditer(r"^[a-z][^;{}#/]*?(\w+)\([^;{}]*?\)\n\{\n(.*?)^\}", source, re.M | re.S):
        yield match.group(1), match.start(2), match.end(2)
    for match in re.finditer(r"^static const [^;]*?(?:\{[^}]*\} )?(\w+)\[\w*\] = \{\n(.*?)^\};", source, re.M | re.S):
        yield match.group(1), match.start(2), match.end(2)


def all_mutants():
    found = []
    for file, wanted in TARGETS.items():
        source = (CORE / file).read_text()
        tokens = list(TOKEN.finditer(source))
        names = set()
        for where, start, end in regions(source):
            if wanted is not None and where not in wanted:
                continue
            names.add(where)
            inside = [token for token in tokens if start <= token.start() < end]
            for change in (*mutants_of_tokens(file, where, source, inside), *mutants_of_lines(source, start, end),
                           *mutants_of_rows(where, source, start, end)):
                found.append(Mutant(file, where, source, *change))
        if not names or (wanted is not None and names != wanted):
            sys.exit(f"mutate: {file}: not found: {', '.join(sorted((wanted or {'any function'}) - names))}")
    count = Counter()
    for mutant in found: # the second of the same change on one line is another mutant
        count[mutant.name] += 1
        if count[mutant.name] > 1:
            mutant.name += f" ({count[mutant.name]})"
    return found


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Bench:
    """Compiles, links and runs, in a directory of its own."""

    def __init__(self, cc, directory):
        self.cc, self.directory = cc, Path(directory)
        self.flags = ["-std=c11", "-D_GNU_SOURCE", '-DCM_VERSION="0"', f"-I{CORE}/include", f"-I{CORE.parent}/base/include",
                      f"-I{LAW}", "-w", "-O1"]
        # What reads beyond a table is not left to chance.
        self.mutant_flags = ["-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"]
        self.programs = []

    def call(self, *command):
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)

    def compile(self, source, name, *more):
        target = self.directory / name
        done = self.call(self.cc, *self.flags, *more, "-c", str(source), "-o", str(target))
        return target if done.returncode == 0 else None

    def must(self, source, name):
        return self.compile(source, name) or sys.exit(f"mutate: {source} does not compile")

    def prepare(self):
        """The archive of all that stays as it is, and the objects of the tests."""
        plain = [self.must(file, f"{room}_{file.stem}.o") for room in ("base", "core")
                 for file in sorted((CORE.parent / room).glob("*.c"))]
        self.archive = self.directory / "rest.a"
        self.call("ar", "qcs", str(self.archive), *map(str, plain))
        units = [(f"unit {unit}", [self.must(ROOT / f"tests/unit/core/test_{unit}.c", f"unit_{unit}.o")], ("-lcmocka",), ())
                 for unit in UNITS]
        laws = [(name, [self.must(LAW / file, f"{name}_{file}.o") for file in files], (), arguments)
                for name, files, arguments in LAW_TESTS]
        self.programs = [*units[:1], laws[0], *units[1:], *laws[1:]]

    def caught_by(self, mutant, number):
        """The test that fails, "" if none does, or None if the mutant is no program."""
        files = [self.directory / f"mutant_{number}{suffix}" for suffix in (".c", ".o", "")]
        try:
            return self.try_one(mutant, *files)
        finally:
            for file in files:
                file.unlink(missing_ok=True)

    def try_one(self, mutant, source, target, program):
        source.write_text(mutant.apply((CORE / mutant.file).read_text()) if mutant else "int nothing;\n")
        changed = self.compile(source, target.name, *self.mutant_flags)
        if changed is None:
            return None
        for name, objects, libraries, arguments in self.programs:
            linked = self.call(self.cc, "-o", str(program), *map(str, objects), str(changed), str(self.archive), *libraries)
            if linked.returncode != 0:
                sys.exit(f"mutate: {name} cannot be linked\n{linked.stdout}")
            try:
                done = subprocess.run([str(program), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, timeout=TIMEOUT_S, preexec_fn=limit_memory,
                                      env={**os.environ, "CM_SEED": "1"}, check=False)
            except subprocess.TimeoutExpired:
                return f"{name} (it does not end)"
            if done.returncode != 0:
                return name
        return ""


def read_listed():
    """Mutant and reason: two lines each, divided by empty ones; '#' begins a comment."""
    listed = {}
    text = LISTED.read_text() if LISTED.exists() else ""
    for block in re.split(r"\n{2,}", text):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            reason = " ".join(line.strip() for line in lines if line.startswith(" "))
            for name in (line for line in lines if not line.startswith(" ")):
                listed[name] = reason
    return listed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="so many mutants at random instead of all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", default="", help="mutants whose name holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--list", action="store_true", help="print the mutants' names and end")
    options = parser.parse_args()

    listed = read_listed()
    everything = all_mutants()
    stale = sorted(set(listed) - {mutant.name for mutant in everything})
    unreasoned = sorted(name for name, reason in listed.items() if not reason)
    mutants = [mutant for mutant in everything if options.only in mutant.name]
    if options.sample:
        print(f"seed {options.seed}")
        mutants = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    if options.list:
        print("\n".join(mutant.name for mutant in mutants))
        return 0

    caught, survived, needless, invalid = Counter(), [], [], 0
    with tempfile.TemporaryDirectory(prefix="mutate-") as directory:
        bench = Bench(options.cc, directory)
        bench.prepare()
        if bench.caught_by(None, "none") != "":
            print("mutate: the unchanged sources do not pass")
            return 2
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = pool.map(bench.caught_by, mutants, range(len(mutants)))
            for mutant, test in zip(mutants, results):
                if test is None:
                    invalid += 1
                elif test:
                    caught[test] += 1
                    needless += [mutant.name] if mutant.name in listed else []
                elif mutant.name not in listed:
                    survived.append(mutant.name)
                    print(f"SURVIVED {mutant.name}", flush=True)
    for name in needless:
        print(f"LISTED, BUT CAUGHT {name}")
    for name in stale:
        print(f"LISTED, BUT NO MUTANT {name}")
    for name in unreasoned:
        print(f"LISTED WITHOUT A REASON {name}")
    programs = len(mutants) - invalid
    equivalent = programs - sum(caught.values()) - len(survived)
    print(f"{programs} mutants ({invalid} more do not compile): {sum(caught.values())} caught, {equivalent} equivalent, "
          f"{len(survived)} survived")
    print("caught by: " + ", ".join(f"{test} {count}" for test, count in caught.most_common()))
    return 1 if survived or needless or stale or unreasoned else 0


if __name__ == "__main__":
    sys.exit(main())
