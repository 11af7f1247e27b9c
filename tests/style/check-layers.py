#!/usr/bin/env python3
"""Arrows between the rooms of milter/ point downward only, vendor headers stay in their rooms, and no include goes in
a circle.

  check-layers.py ROOT

Exit 0 without a finding, 1 with some (each printed with file, line and what to do), 2 if there was nothing to check.
"""
import re
import sys
from pathlib import Path

# What each room may include besides itself. Programs know everything but each other.
LOWER = {
    "base": set(),
    "core": {"base"},
    "settings": {"core", "base"},
    "store": {"core", "base"},
    "journal": {"base"},
    "ops": {"core", "base"},
}
LOWER["service"] = set(LOWER)
PROGRAMS = {"consent-milter", "consent-keeper", "consentctl", "consent-web", "consent-intake"}
LOWER.update({program: set(LOWER) for program in PROGRAMS})

# Headers of others, and the only rooms that adapt them.
VENDORS = (
    (r"libmilter/", {"consent-milter"}),
    (r"hiredis/", {"store"}),
    (r"libconfig\.h$", {"settings"}),
    (r"jansson\.h$", {"store", "service", "consentctl", "consent-milter"}),
    (r"openssl/", {"core", "settings", "store", "service"}),
    (r"idn2\.h$", {"core"}),
    (r"uni(str|norm|case|ctype|conv|types|width|gbrk|wbrk|lbrk|name)\.h$", {"core"}),
    (r"microhttpd\.h$", {"ops"}),
    (r"curl/", {"ops"}),
    (r"gmime/", {"consent-intake"}),
    (r"csv\.h$", {"service"}),
)

# C11 and POSIX (with what Linux adds); anything else is a library that this table must name first.
SYSTEM = re.compile(
    r"(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic"
    r"|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|tgmath|threads|time|uchar|wchar|wctype"
    r"|dirent|fcntl|getopt|glob|grp|netdb|poll|pthread|pwd|sched|semaphore|spawn|strings|sysexits|syslog|termios|unistd|libgen"
    r"|arpa/\w+|net/\w+|netinet/\w+|sys/\w+|linux/\w+)\.h$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path, milter):
    return path.relative_to(milter).parts[0]


def resolve(name, including, milter):
    """The file that a quoted include means: beside the including file, or in the include directory of a room."""
    beside = including.parent / name
    if beside.is_file():
        return beside.resolve()
    for directory in sorted(milter.glob("*/include")):
        if (directory / name).is_file():
            return (directory / name).resolve()
    return None


class Checker:
    def __init__(self, root):
        self.root = root
        self.milter = root / "milter"
        self.findings = []
        self.edges = {}

    def say(self, path, line, text):
        self.findings.append(f"{path.relative_to(self.root)}:{line}: {text}")

    def check_vendor(self, path, line, room, name):
        for pattern, rooms in VENDORS:
            if re.match(pattern, name):
                if room not in rooms:
                    self.say(path, line, f"<{name}> belongs in {', '.join(sorted(rooms))} only; "
                                         f"call what that room offers instead of including it in {room}/")
                return
        if not SYSTEM.match(name):
            self.say(path, line, f"<{name}> is of no library known here: name its room in VENDORS of check-layers.py")

    def check_own(self, path, line, room, name):
        target = resolve(name, path, self.milter)
        if target is None:
            self.say(path, line, f'"{name}" is no header of any room; vendor and system headers go in angle brackets')
            return
        self.edges.setdefault(path.resolve(), []).append((target, line))
        if self.milter.resolve() not in target.parents:
            self.say(path, line, f'"{name}" lies outside milter/; what the product needs must be in it')
            return
        other = room_of(target, self.milter.resolve())
        if other == room:
            return
        if other not in LOWER[room]:
            allowed = ", ".join(sorted(LOWER[room])) or "nothing"
            self.say(path, line, f'{room}/ includes "{name}" of {other}/, but may include {allowed}; '
                                 "move what is needed down, or hand it in from above")
        elif target.parts[len(self.milter.resolve().parts) + 1] != "include":
            self.say(path, line, f'"{name}" is private to {other}/; only what lies in {other}/include is for others')

    def check_file(self, path):
        room = room_of(path, self.milter)
        if room not in LOWER:
            self.say(path, 1, f"{room}/ is no known room: give it a place in LOWER of check-layers.py")
            return
        for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            match = INCLUDE.match(text)
            if match and match[1] == "<":
                self.check_vendor(path, line, room, match[2])
            elif match:
                self.check_own(path, line, room, match[2])

    def check_cycles(self):
        done, path = set(), []

        def visit(node):
            if node in done:
                return
            if node in path:
                ring = path[path.index(node):] + [node]
                names = " -> ".join(str(p.relative_to(self.root.resolve())) for p in ring)
                self.findings.append(f"{names}: includes go in a circle; forward-declare a struct on one side")
                return
            path.append(node)
            for target, _ in self.edges.get(node, []):
                visit(target)
            path.pop()
            done.add(node)

        for node in sorted(self.edges):
            visit(node)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    checker = Checker(Path(sys.argv[1]).resolve())
    files = sorted(p for p in checker.milter.rglob("*.[ch]") if p.is_file())
    if not files:
        print(f"{checker.milter}: no sources there", file=sys.stderr)
        return 2
    for path in files:
        checker.check_file(path)
    checker.check_cycles()
    for finding in checker.findings:
        print(finding)
    print(f"{len(files)} files, {len(checker.findings)} findings")
    return 1 if checker.findings else 0


if __name__ == "__main__":
    sys.exit(main())
