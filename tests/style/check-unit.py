#!/usr/bin/env python3
"""What is installed besides the programs: is it all there, does systemd understand it, and is it tight?

  check-unit.py ROOT BUILD

Installs BUILD into a scratch directory, then: each man page, unit and completion of config/ is there; each program that
a unit names is there and takes the options; Type=notify for programs that notify, and for no other; systemd-analyze
verify is content; the exposure is at most 1.5; sysusers makes the accounts that the units and tmpfiles name, and no
other; tmpfiles makes the directories with their owners.

Exit 0 without a finding, 1 with some, 2 if there was nothing to check.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MOST_EXPOSED = 1.5
DIRECTORIES = {  # mode, owner, group
    "var/spool/postfix/consent-milter": (0o2750, "consent-milter", "postfix"),
    "run/consent-milter": (0o755, "consent-milter", "consent-milter"),
    "var/lib/consent-milter": (0o750, "consent-milter", "consent-milter"),
    "etc/consent-milter": (0o750, "root", "consent-milter"),
}
ACCOUNTS = {"root": 0, "postfix": 101, "consent-milter": 102, "consent-keeper": 103}
# Trouble of a machine without these services, not of the units.
NOT_OURS = re.compile(r"(postfix|sendmail|redis-server)\.service|^$")


def run(command, **environment):
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def installed(root, build, destination, findings):
    done = run(["cmake", "--install", str(build)], DESTDIR=str(destination))
    if done.returncode != 0:
        findings.append(f"cmake --install: {done.stderr.strip()}")
        return {}
    there = {}
    for path in destination.rglob("*"):
        if path.is_file():
            there.setdefault(path.name, []).append(path)
    for room in ("systemd", "man", "completion", "sysusers", "tmpfiles"):
        for path in sorted((root / "config" / room).iterdir()):
            # A unit differs by the paths of the programs, all else is as it was.
            if not any(room == "systemd" or found.read_bytes() == path.read_bytes()
                       for found in there.get(path.name, [])):
                findings.append(f"config/{room}/{path.name}: is not installed; see install() in CMakeLists.txt")
    return there


def check_programs(root, destination, name, text, findings):
    taken = re.search(r'getopt\(argc, argv, "([\w:]+)"', (root / "milter/ops/options.c").read_text("utf-8"))[1]
    for line in re.findall(r"^Exec(?:StartPre|Start)=(.*)$", text, re.M):
        program, *arguments = line.split()
        if not os.access(destination / program.lstrip("/"), os.X_OK):
            findings.append(f"{name}: {program} is not installed")
        for argument in arguments:
            if argument.startswith("-") and argument[1:] not in taken.replace(":", ""):
                findings.append(f"{name}: the program takes no {argument}")
    sources = root / "milter" / name.removesuffix(".service")
    notifies = any("ops/notify.h" in path.read_text(encoding="utf-8") for path in sources.glob("*.[ch]"))
    if notifies != ("Type=notify\n" in text):
        findings.append(f"{name}: Type=notify belongs to a program that includes ops/notify.h, and to no other")


def check_unit(root, destination, units, name, findings):
    text = (units / name).read_text(encoding="utf-8")
    check_programs(root, destination, name, text, findings)
    for page, section in re.findall(r"man:(\S+)\((\d)\)", text):
        if not (root / f"config/man/{page}.{section}").is_file():
            findings.append(f"{name}: there is no page {page}({section})")
    # As it would be with its programs in place.
    copy = destination / "units" / name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(re.sub(r"^(Exec(?:StartPre|Start|Reload)=)(\S*/consent\S*)", rf"\1{destination}\2", text,
                           flags=re.M), encoding="utf-8")
    done = run(["systemd-analyze", "security", "--offline=yes", "--no-pager", str(units / name)])
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    if not score:
        findings.append(f"{name}: systemd-analyze tells no exposure: {done.stderr.strip()}")
        return None
    if float(score[1]) > MOST_EXPOSED:
        findings.append(f"{name}: exposure {score[1]}, at most {MOST_EXPOSED} is right")
    return float(score[1])


def check_verify(destination, findings):
    units = sorted(map(str, (destination / "units").iterdir()))
    done = run(["systemd-analyze", "verify", "--man=no", *units], SYSTEMD_LOG_LEVEL="warning")
    said = [line for line in (done.stdout + done.stderr).splitlines() if not NOT_OURS.search(line)]
    findings.extend(f"systemd-analyze verify: {line}" for line in said)
    if done.returncode != 0 and not said:
        findings.append(f"systemd-analyze verify: exit {done.returncode}")


def check_accounts(root, destination, findings):
    base = destination / "accounts"
    (base / "etc").mkdir(parents=True)
    done = run(["systemd-sysusers", f"--root={base}", "--dry-run", str(root / "config/sysusers/consent-milter.conf")])
    made = set(re.findall(r"Creating (user|group) '([\w-]+)'", done.stdout + done.stderr))
    needed = {("user", "consent-milter"), ("group", "consent-milter"), ("group", "consent-keeper")}
    if made != needed:
        findings.append(f"sysusers: makes {sorted(made)}, and {sorted(needed)} are needed: {done.stderr.strip()}")
    if os.geteuid() != 0:
        print("not root: the directories of tmpfiles were not made")
        return
    for table, rest in (("passwd", "::/:/bin/false"), ("group", "")):
        (base / "etc" / table).write_text("".join(
            f"{name}:x:{number}:{f'{number}' if table == 'passwd' else ''}{rest}\n"
            for name, number in ACCOUNTS.items()), encoding="utf-8")
    done = run(["systemd-tmpfiles", f"--root={base}", "--create", str(root / "config/tmpfiles/consent-milter.conf")])
    if done.returncode != 0 or done.stderr.strip():
        findings.append(f"tmpfiles: {done.stderr.strip()}")
    for name, (mode, owner, group) in DIRECTORIES.items():
        path = base / name
        found = path.stat() if path.is_dir() else None
        if not found or (found.st_mode & 0o7777, found.st_uid, found.st_gid) != (mode, ACCOUNTS[owner],
                                                                                ACCOUNTS[group]):
            findings.append(f"tmpfiles: /{name} is not made with mode {mode:o}, owner {owner}, group {group}")


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    root, build = (Path(argument).resolve() for argument in sys.argv[1:])
    findings, scores = [], []
    with tempfile.TemporaryDirectory(prefix="check-unit-") as scratch:
        destination = Path(scratch)
        there = installed(root, build, destination, findings)
        for unit in sorted((root / "config/systemd").glob("*.service")):
            for path in there.get(unit.name, []):
                score = check_unit(root, destination, path.parent, unit.name, findings)
                scores.append(f"{unit.name} {score}")
        if not scores:
            print("\n".join(findings) or "no units found", file=sys.stderr)
            return 2
        check_verify(destination, findings)
        check_accounts(root, destination, findings)
    for finding in findings:
        print(finding)
    print(f"exposure: {', '.join(scores)}; {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
