#!/usr/bin/env python3
"""What the programs take is what the manual, the completion and the sample configuration say, by exact names and in
both directions: nothing undocumented, nothing invented.

  check-manual.py ROOT

  keys       the tables of milter/settings/*.c        consent-milter.conf(5), with type, default, bounds and words;
                                                      config/consent-milter.conf
  commands   the tables of milter/consentctl/main.c   consentctl(1), the completion (also run in a real bash)
  options    the usage in milter/ops/options.c        the pages of the daemons
  log        booking.c, reason.c, trouble.c           consent-milter(8)
  pages      mandoc -Tlint, and that each page named by another is there

Exit 0 without a finding, 1 with some, 2 if there was nothing to compare.
"""
import re
import subprocess
import sys
from pathlib import Path

STRING = r'"((?:[^"\\]|\\.)*)"'
# Types of keys as the page calls them.
TYPES = {"TEXT": "Text", "PARSED": "Text", "FLAG": "Flag", "COUNT": "Number", "DURATION": "Duration", "DAYS": "Days",
         "OCTAL": "Mode", "WORD": "Word", "WORDS": "Words", "PATTERNS": "Patterns", "NETWORKS": "Networks",
         "LIST": "Groups"}
UNITS = {"Number": "", "Duration": "ms", "Days": "d"}
FOREIGN_PAGES = {"sendmail.8", "syslog.3", "systemd.1", "postconf.1"}
COMMON = {"json", "quiet", "help"}


class Findings(list):
    def compare(self, what, code, where, text):
        """Two sets of names that must be one."""
        if not code:
            raise ValueError(f"{what}: nothing found in the code")
        self.extend(f"{where}: {what} {name} is not documented" for name in sorted(set(code) - set(text)))
        self.extend(f"{where}: {what} {name} is not in the code" for name in sorted(set(text) - set(code)))


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


# --- the code ---

def settings_keys(root):
    """path -> row text, of all tables; a table's own name goes in front."""
    keys = {}
    for path in sorted((root / "milter/settings").glob("*.c")):
        text = without_comments(path.read_text(encoding="utf-8"))
        prefixes = dict(re.findall(r"\.keys = (\w+),.*?\.name = \"([\w.]*)\"", text, re.S))
        for table, body in re.findall(r"struct cm_key (\w+)\[\] = \{(.*?)\n\};", text, re.S):
            for row in re.split(r"(?=\{\.path = )", body)[1:]:
                kind = re.search(r"\.type = CM_KEY_(\w+)", row)[1]
                name = re.search(r'\.path = "([\w.]+)"', row)[1]
                prefix = prefixes.get(table, "")
                keys[f"{prefix}.{name}" if prefix else name] = row
    return keys


def word_tables(root):
    """name -> the words of a `struct cm_word`."""
    tables = {}
    for path in (root / "milter/settings").glob("*.c"):
        for name, body in re.findall(r"struct cm_word (\w+)\[\] = \{(.*?)\};", path.read_text("utf-8"), re.S):
            tables[name] = set(re.findall(r"\{" + STRING, body))
    return tables


def consentctl_commands(root):
    """"word word" -> its options."""
    text = (root / "milter/consentctl/main.c").read_text(encoding="utf-8")
    body = re.search(r"\} commands\[\] = \{(.*?)\n\};", text, re.S)[1]
    row = re.compile(r'\{\{' + STRING + r'(?:,\s*' + STRING + r')?\},\s*\w+,\s*\w+,\s*\w+,\s*(cm_ctl_\w+),((?:\s*'
                     + STRING + r')+),')
    commands = {}
    for match in row.finditer(body):
        options = "".join(re.findall(STRING, match[4]))
        commands[" ".join(filter(None, match.group(1, 2)))] = set(options.split())
    if len(commands) != len(re.findall(r"cm_ctl_\w+", body)):
        raise ValueError("milter/consentctl/main.c: the table of commands is not understood")
    return commands


def valued_options(root):
    text = (root / "milter/consentctl/main.c").read_text(encoding="utf-8")
    tables = re.findall(r"\} (?:texts|lists)\[\] = \{(.*?)\n\};", text, re.S)
    return set(re.findall(r'\{"([\w-]+)", offsetof', "".join(tables)))


def daemon_options(root):
    text = (root / "milter/ops/options.c").read_text(encoding="utf-8")
    return set(re.search(r'getopt\(argc, argv, "([\w:]+)"', text)[1].replace(":", ""))


def defined_numbers(root):
    numbers = {}
    for path in [*root.glob("milter/base/include/base/limits.h"), *root.glob("milter/settings/*.[ch]")]:
        for name, value in re.findall(r"#define (\w+)\s+\(?([\d*\s+]+)\)?\s*(?:/\*|$)", path.read_text("utf-8"), re.M):
            numbers[name] = eval(value, {"__builtins__": {}})  # digits, * and + only
    return numbers


# --- the pages ---

def plain(line):
    """The words of an mdoc line without its macros."""
    return re.sub(r"\\[&]|^\.(?:Li|Ql|Ic|Cm|Sy) ", "", line).strip()


def items(text, macro):
    """The argument of each `.It MACRO` with the lines below it."""
    found = {}
    for part in re.split(r"^\.It ", text, flags=re.M)[1:]:
        head, _, rest = part.partition("\n")
        if head.startswith(macro + " "):
            found.setdefault(head[len(macro) + 1:], []).append(re.split(r"^\.(?:It|El|Sh|Ss)\b", rest, flags=re.M)[0])
    return found


def page_commands(text, known):
    """Command -> options of all its items."""
    commands = {}
    for head in items(text, "Ic"):
        words = re.match(r"[\w-]+(?: [\w-]+)*", re.split(r" (?:Ar|Op|Oo|Fl)\b", head)[0])[0]
        options = commands.setdefault(words, set())
        options.update(re.findall(r"Fl -([\w-]+)", head))
    return commands


def check_key(findings, name, row, below, numbers):
    """The paragraph of a key: its type, bounds and default stand in its first sentence."""
    first = " ".join(plain(line) for line in below.splitlines())
    first = re.split(r"\.\s+(?=[A-Z.])|\.$", first)[0]
    where = f"consent-milter.conf.5: {name}"
    kind = TYPES[re.search(r"CM_KEY_(\w+)", row)[1]]
    if not re.match(rf"{kind}[,;]", first):
        findings.append(f'{where}: its paragraph must begin with "{kind}"')

    def number_of(field):
        match = re.search(rf"\.{field} = (\w+)( \+ \d+)?", row)
        if not match:
            return None
        value = match[1]
        if value.isdigit():
            return value if len(value) > 1 and value.startswith("0") else int(value)
        return numbers[value] + int((match[2] or "+ 0").strip(" +"))

    least, most = number_of("min"), number_of("max")
    if kind == "Text" and most:
        spelled = f"{least} to {most} bytes" if least else f"at most {most} bytes"
        if spelled not in first:
            findings.append(f'{where}: must say "{spelled}"')
    if kind == "Patterns" and most and f"at most {most}" not in first:
        findings.append(f'{where}: must say "at most {most}"')
    if ".required = true" in row:
        if "required" not in first:
            findings.append(f"{where}: does not say that it is required")
        return
    if "default" not in first:
        findings.append(f"{where}: does not say its default")
    text = re.search(r"\.text = " + STRING, row)
    if text and f"default {text[1]}" not in first:
        findings.append(f"{where}: the default is {text[1]}")
    if kind == "Mode" and f"default {number_of('number')}" not in first:
        findings.append(f"{where}: the default is {number_of('number')}")
    if kind not in UNITS:
        return
    for word, field in (("", "min"), ("to ", "max"), ("default ", "number")):
        value = number_of(field)
        value = 0 if value is None and field != "max" else value
        spelled = [f"{word}{value}{UNITS[kind]}"]
        if kind == "Duration" and value is not None and value % 1000 == 0:
            spelled.append(f"{word}{value // 1000}s")
        if value is not None and not any(re.search(rf"\b{re.escape(s)}\b", first) for s in spelled):
            findings.append(f'{where}: the code says {field} {value}, and the page "{first}"')


def check_settings(findings, root):
    keys = settings_keys(root)
    page = items((root / "config/man/consent-milter.conf.5").read_text(encoding="utf-8"), "Ic")
    findings.compare("key", keys, "consent-milter.conf.5", page)
    numbers = defined_numbers(root)
    words = word_tables(root)
    for name in sorted(set(keys) & set(page)):
        if len(page[name]) != 1:
            findings.append(f"consent-milter.conf.5: {name} is described {len(page[name])} times")
        check_key(findings, name, keys[name], page[name][0], numbers)
        table = re.search(r"\.words = (\w+)", keys[name])
        if table:
            said = re.findall(r"[a-z]\w*", " ".join(re.findall(r"^\.Li (.*)$", page[name][0], re.M)))
            findings.compare(f"{name}: word", words[table[1]], "consent-milter.conf.5", said)
    findings.compare("key", {k for k in keys}, "config/consent-milter.conf", sample_keys(root, set(keys)))
    return len(keys)


def sample_keys(root, known):
    """Keys of the sample, those that are commented out included; a group alone is no key. A comment counts as
    configuration if it looks like it: NAME =, NAME: with a bracket or nothing behind, or a bracket alone."""
    looks = re.compile(r"\s*(?:\w+\s*=\s*[^=]|\w+:\s*(?:[{(]|$)|[{(]\s*(?:\w+\s*=|$)|[})\]])")
    lines = []
    for line in (root / "config/consent-milter.conf").read_text(encoding="utf-8").splitlines():
        commented = re.match(r"\s*#(.*)", line)
        if commented:
            line = commented[1] if looks.match(commented[1]) else ""
        lines.append(re.sub(r'"[^"]*"', '""', line).split("#")[0])
    found, stack, name = set(), [], None
    for token in re.findall(r'\w+(?=\s*[=:])|[{}()\[\];,]', "\n".join(lines)):
        if token in "{([":
            stack.append(name)
            name = None
        elif token in "})]":
            if not stack:
                raise ValueError("config/consent-milter.conf: its brackets are not understood")
            stack.pop()
            name = None
        elif token not in ";,":
            name = token
            path = ".".join([*filter(None, stack), token])
            found.add(path)
    groups = {".".join(k.split(".")[:n]) for k in known for n in range(1, k.count(".") + 1)} - known
    return found - groups


def check_commands(findings, root):
    commands = consentctl_commands(root)
    page = page_commands((root / "config/man/consentctl.1").read_text(encoding="utf-8"), commands)
    completion = (root / "config/completion/consentctl").read_text(encoding="utf-8")
    table = re.search(r"_consentctl_commands='\n(.*?)'", completion, re.S)[1]
    completed = {line.split(":")[0]: set(re.findall(r"--([\w-]+)", line)) for line in table.splitlines()}
    for where, found in (("consentctl.1", page), ("completion/consentctl", completed)):
        findings.compare("command", commands, where, found)
        for name in sorted(set(commands) & set(found)):
            for option in sorted(commands[name] ^ found[name]):
                which = "is not documented" if option in commands[name] else "is not in the code"
                findings.append(f"{where}: {name}: --{option} {which}")
    valued = set(re.findall(r"--([\w-]+)", re.search(r"_consentctl_valued='(.*?)'", completion, re.S)[1]))
    findings.compare("option with an argument", valued_options(root), "completion/consentctl", valued)
    check_bash(findings, root, commands)
    return len(commands)


def check_bash(findings, root, commands):
    """Asks a real bash what it would offer."""
    firsts = {}
    for name in commands:
        first, _, second = name.partition(" ")
        firsts.setdefault(first, set())
        if second:
            firsts[first].add(second)
    cases = [([""], set(firsts)), (["-c", "/etc/x.conf", "sen"], {w for w in firsts if w.startswith("sen")}),
             (["--json", "sender", ""], firsts["sender"])]
    cases += [([first[:2]], {w for w in firsts if w.startswith(first[:2])}) for first in sorted(firsts)]
    cases += [([first, ""], seconds) for first, seconds in sorted(firsts.items())]
    cases += [([*name.split(), "--"], {"--" + o for o in options | COMMON}) for name, options in commands.items()]
    script = ["source " + repr(str(root / "config/completion/consentctl"))]
    for words, _ in cases:
        quoted = " ".join(f"'{w}'" for w in ["consentctl", *words])
        script.append(f'COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _consentctl; echo "${{COMPREPLY[*]}}"')
    run = subprocess.run(["bash", "--norc", "-c", "\n".join(script)], capture_output=True, text=True, check=False)
    if run.returncode != 0 or run.stderr:
        findings.append(f"completion/consentctl: bash says {run.stderr.strip()}")
        return
    for (words, expected), line in zip(cases, run.stdout.splitlines(), strict=True):
        if set(line.split()) != expected:
            findings.append(f'completion/consentctl: "consentctl {" ".join(words)}<TAB>" offers {line!r}, and not '
                            f"{' '.join(sorted(expected))!r}")


def check_daemons(findings, root):
    options = daemon_options(root)
    for page in ("consent-milter.8", "consent-keeper.8"):
        text = (root / "config/man" / page).read_text(encoding="utf-8")
        findings.compare("option", {"-" + o for o in options}, page,
                         {"-" + head.split()[0] for head in items(text, "Fl")})
    text = (root / "config/man/consent-milter.8").read_text(encoding="utf-8")
    booking = (root / "milter/service/booking.c").read_text(encoding="utf-8")
    body = re.search(r"static void log_decision\(.*?\n\}", booking, re.S)[0]
    log = re.search(r"^\.Sh LOG\n(.*?)^\.Ss Trouble\n(.*?)^\.Sh", text, re.S | re.M)
    findings.compare("log key", re.findall(r'cm_log_add\(&line, "(\w+)"|" (\w+)=%', body) and
                     {a or b for a, b in re.findall(r'cm_log_add\(&line, "(\w+)"|" (\w+)=%', body)},
                     "consent-milter.8", items(log[1], "Sy"))
    verdicts = re.search(r"^\.Sh VERDICTS\n(.*?)^\.Ss Replies", text, re.S | re.M)[1]
    reasons = re.findall(r"\[CM_REASON_\w+\] = \{\s*" + STRING, (root / "milter/core/reason.c").read_text("utf-8"))
    findings.compare("reason", set(reasons) - {"undecided"}, "consent-milter.8", items(verdicts, "Sy"))
    troubles = re.findall(r"\[CM_TROUBLE_\w+\] = \{\s*" + STRING, (root / "milter/core/trouble.c").read_text("utf-8"))
    findings.compare("trouble", set(troubles) - {"not_asked", "none"}, "consent-milter.8", items(log[2], "Sy"))


def check_pages(findings, root):
    pages = {path.name: path for path in sorted((root / "config/man").iterdir())}
    for name, path in pages.items():
        run = subprocess.run(["mandoc", "-Tlint", "-Wstyle", str(path)], capture_output=True, text=True, check=False)
        for line in run.stdout.splitlines():
            if "referenced manual not found" not in line:  # that depends on the machine; below we look ourselves
                findings.append(line.removeprefix("mandoc: ").replace(str(root) + "/", ""))
        for title, section in re.findall(r"^\.Xr (\S+) (\d)", path.read_text(encoding="utf-8"), re.M):
            if f"{title}.{section}" not in pages and f"{title}.{section}" not in FOREIGN_PAGES:
                findings.append(f"{name}: names {title}({section}), which is no page of ours")
    return len(pages)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(sys.argv[1]).resolve()
    findings = Findings()
    try:
        keys = check_settings(findings, root)
        commands = check_commands(findings, root)
        check_daemons(findings, root)
        pages = check_pages(findings, root)
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    print(f"{keys} keys, {commands} commands, {pages} pages, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
