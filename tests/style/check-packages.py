#!/usr/bin/env python3
"""What CMake and the scripts use is what scripts/packages installs: a fresh machine must not miss anything.

  check-packages.py ROOT

Exit 0 without a finding (or while there is no scripts/packages), 1 with some, 2 if there was nothing to check.
"""
import ast
import re
import sys
from pathlib import Path

# pkg-config modules, CMake packages and libraries -> the package that brings them (one of several is enough).
LIBRARIES = {
    "milter": ["libmilter-dev"],
    "hiredis": ["libhiredis-dev"],
    "libconfig": ["libconfig-dev"],
    "libcrypto": ["libssl-dev"],
    "libssl": ["libssl-dev"],
    "libidn2": ["libidn2-dev"],
    "unistring": ["libunistring-dev"],
    "jansson": ["libjansson-dev"],
    "cmocka": ["libcmocka-dev"],
    "libmicrohttpd": ["libmicrohttpd-dev"],
    "libcurl": ["libcurl4-openssl-dev", "libcurl4-gnutls-dev"],
    "gmime-3.0": ["libgmime-3.0-dev"],
    "csv": ["libcsv-dev"],
    "PkgConfig": ["pkgconf", "pkg-config"],
    "Threads": ["libc6-dev", "build-essential"],
    "Python3": ["python3"],
}

# Commands that are on no minimal machine -> their package. Those of coreutils, findutils, grep, sed, bash, dpkg and apt
# are everywhere.
TOOLS = {
    "cmake": ["cmake"],
    "ctest": ["cmake"],
    "ninja": ["ninja-build"],
    "Ninja": ["ninja-build"],
    "gcc": ["gcc", "build-essential"],
    "clang": ["clang"],
    "clang-format": ["clang-format"],
    "clang-tidy": ["clang-tidy"],
    "cppcheck": ["cppcheck"],
    "shellcheck": ["shellcheck"],
    "nm": ["binutils", "gcc", "build-essential"],
    "python3": ["python3"],
    "redis-server": ["redis-server"],
    "redis-cli": ["redis-tools", "redis-server"],
    "postfix": ["postfix"],
    "postconf": ["postfix"],
    "sendmail": ["postfix", "sendmail-bin"],
    "ip": ["iproute2"],
    "ss": ["iproute2"],
    "unshare": ["util-linux"],
    "nsenter": ["util-linux"],
    "taskset": ["util-linux"],
    "setpriv": ["util-linux"],
    "strace": ["strace"],
    "gdb": ["gdb"],
    "valgrind": ["valgrind"],
    "perf": ["linux-perf"],
    "curl": ["curl"],
    "openssl": ["openssl"],
    "swaks": ["swaks"],
    "socat": ["socat"],
    "nc": ["netcat-openbsd"],
    "jq": ["jq"],
    "git": ["git"],
    "make": ["make", "build-essential"],
    "llvm-symbolizer": ["llvm"],
    "perl": ["perl"],
    "lua": ["lua5.1"],
    "luac": ["lua5.1"],
    "mandoc": ["mandoc"],
    "systemd-analyze": ["systemd"],
    "systemd-sysusers": ["systemd"],
    "systemd-tmpfiles": ["systemd"],
}

# Modules of Python that tests import beside its own.
MODULES = {"yaml": ["python3-yaml"]}

# Essential, or required by what is: there on every Debian.
ALWAYS = {"util-linux", "bash", "coreutils", "perl-base"}

# A word is taken for a command at the start of one: after a line start, a pipe, a list operator, $( or certain words.
SHELL_COMMAND = re.compile(r"(?:^|[|&;(!]|\b(?:then|do|else|exec|sudo|if|while|xargs(?: -\S+(?: \d+)?)*))\s*"
                           r"(?:[A-Z_]+=\S*\s+)*([A-Za-z][A-Za-z0-9_.-]*)(?=\s|$|\))")
# Quoted text holds no command, unless it holds $(.
SHELL_QUOTED = re.compile(r"""'[^']*'|"(?:(?!\$\()[^"])*\"""")
CMAKE_LIBRARY = (re.compile(r"pkg_check_modules\(\s*\w+\s+((?:[^()]|\$\{\w+\})*)\)"),
                 re.compile(r"find_library\(\s*\w+\s+(?:NAMES\s+)?([\w.-]+)"),
                 re.compile(r"find_package\(\s*(\w+)"))
CMAKE_WORDS = {"REQUIRED", "IMPORTED_TARGET", "QUIET", "GLOBAL", "NO_CMAKE_PATH"}


class Checker:
    def __init__(self, root, packages):
        self.root, self.packages = root, packages
        self.findings = []
        self.used = 0

    def need(self, path, line, what, choices):
        self.used += 1
        if not any(choice in self.packages or choice in ALWAYS for choice in choices):
            self.findings.append(f"{path.relative_to(self.root)}:{line}: uses {what}, "
                                 f"so scripts/packages needs {' or '.join(choices)}")

    def cmake(self, path):
        text = path.read_text(encoding="utf-8")
        for pattern in CMAKE_LIBRARY:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                for word in match[1].split():
                    name = re.split(r"[<>=]", word)[0]
                    if word in CMAKE_WORDS or not name:
                        continue
                    if name not in LIBRARIES:
                        self.findings.append(f"{path.relative_to(self.root)}:{line}: {name} is of no package known "
                                             "here: name it in LIBRARIES of check-packages.py and in scripts/packages")
                    else:
                        self.need(path, line, name, LIBRARIES[name])
        for tool in ("python3", "cmake"):
            for match in re.finditer(rf"COMMAND\s+{tool}\b", text):
                self.need(path, text.count("\n", 0, match.start()) + 1, tool, TOOLS[tool])

    def shell(self, path):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            for match in SHELL_COMMAND.finditer(SHELL_QUOTED.sub("''", line)):
                if match[1] in TOOLS:
                    self.need(path, number, match[1], TOOLS[match[1]])

    def python(self, path):
        """Modules outside the standard library, and the first word of lists and strings that name a command."""
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        own = {p.stem for p in self.root.glob("tests/**/*.py")} | {"rig"}
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in (n.split(".")[0] for n in names):
                if name in MODULES:
                    self.need(path, node.lineno, name, MODULES[name])
                elif name not in sys.stdlib_module_names and name not in own:
                    self.findings.append(f"{path.relative_to(self.root)}:{node.lineno}: imports {name}, which is "
                                         "neither ours nor of Python itself; the tests use nothing else")
            if isinstance(node, ast.List) and node.elts and isinstance(node.elts[0], ast.Constant):
                word = str(node.elts[0].value).rsplit("/", 1)[-1]
                if word in TOOLS:
                    self.need(path, node.lineno, word, TOOLS[word])


def is_shell(path):
    if path.suffix:
        return path.suffix in (".sh", ".bash")
    first = path.read_bytes()[:64].split(b"\n")[0]
    return first.startswith(b"#!") and b"sh" in first


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(sys.argv[1]).resolve()
    listing = root / "scripts" / "packages"
    if not listing.is_file():
        print("there is no scripts/packages; nothing to compare with")
        return 0
    packages = {line.split()[0] for line in listing.read_text(encoding="utf-8").splitlines()
                if line.strip() and not line.startswith("#")}
    checker = Checker(root, packages)
    for path in [root / "CMakeLists.txt", *sorted(root.glob("milter/**/CMakeLists.txt")),
                 *sorted(root.glob("tests/**/CMakeLists.txt"))]:
        checker.cmake(path)
    for room in ("scripts", ".ci", "tests", "config"):
        for path in sorted((root / room).rglob("*")):
            if not path.is_file() or "corpus" in path.parts or path.name == "check-packages.py":
                continue
            if path.suffix == ".py":
                checker.python(path)
            elif is_shell(path):
                checker.shell(path)
    if checker.used == 0:
        print(f"{root}: nothing found that needs a package", file=sys.stderr)
        return 2
    for finding in sorted(set(checker.findings)):
        print(finding)
    print(f"{checker.used} uses, {len(packages)} packages, {len(set(checker.findings))} findings")
    return 1 if checker.findings else 0


if __name__ == "__main__":
    sys.exit(main())
