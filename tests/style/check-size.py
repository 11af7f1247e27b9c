#!/usr/bin/env python3
"""No function above 80 lines, no file above 500: what does not fit on a screen is not read.

  check-size.py ROOT

Looks at C in milter/ and tests/ (functions and files) and at Lua, Python and shell in milter/, tests/ and scripts/
(files). A function's lines are those between its braces, which the formatter puts into the first column. Exit 0
without a finding, 1 with some, 2 if there was nothing to check.
"""
import sys
from pathlib import Path

FUNCTION_LINES = 80
FILE_LINES = 500
ROOMS = ("milter", "tests", "scripts", ".ci")


def is_source(path):
    if path.suffix in (".c", ".h", ".lua", ".py", ".sh"):
        return True
    if path.suffix or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def functions(lines):
    """Yields (line of the opening brace, name, lines between the braces)."""
    start, name = None, ""
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
            head = next((text for text in reversed(lines[:number - 1]) if text and not text[0].isspace()), "?")
            name = head.split("(")[0].split()[-1].lstrip("*") if "(" in head else "?"
        elif line == "}" and start is not None:
            yield start, name, number - start - 1
            start = None


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(sys.argv[1]).resolve()
    findings = []
    lengths = []
    files = [p for room in ROOMS for p in sorted((root / room).rglob("*"))
             if p.is_file() and "corpus" not in p.parts and is_source(p)]
    for path in files:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        where = path.relative_to(root)
        if len(lines) > FILE_LINES:
            findings.append(f"{where}: {len(lines)} lines; more than {FILE_LINES}: give the second idea its own file")
        if path.suffix != ".c":
            continue
        for start, name, length in functions(lines):
            lengths.append(length)
            if length > FUNCTION_LINES:
                findings.append(f"{where}:{start}: {name} has {length} lines; more than {FUNCTION_LINES}: "
                                "decide, fetch and format in functions of their own")
    if not lengths:
        print(f"{root}: no functions found", file=sys.stderr)
        return 2
    lengths.sort()
    for finding in findings:
        print(finding)
    print(f"{len(files)} files, {len(lengths)} functions (median {lengths[len(lengths) // 2]}, "
          f"90 % below {lengths[len(lengths) * 9 // 10] + 1}, longest {lengths[-1]} lines), {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
