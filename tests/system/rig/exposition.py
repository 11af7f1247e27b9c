"""Prometheus' text format, read as strictly as its own linter reads it."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? ([0-9.e+-]+|\+Inf|NaN)")
UNITS = ("_seconds", "_bytes", "_info")


class Exposition:
    """All samples of a text: `values[name][labels]`, labels as a sorted tuple of pairs."""

    def __init__(self, text):
        self.types, self.values, self.problems = {}, {}, []
        if not text.endswith("\n"):
            self.problems.append("the text does not end with a line end")
        family = None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                if family in self.types or len(line.split(" ", 3)) < 4:
                    self.problems.append(f"{family} is announced twice, or without help")
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                if name != family:
                    self.problems.append(f"the type of {name} stands below the help of {family}")
                self.types[name] = kind
            else:
                self._sample(line, family)
        self._lint()

    def _sample(self, line, family):
        match = SAMPLE.fullmatch(line)
        if not match:
            self.problems.append(f"no sample: {line!r}")
            return
        name, raw, number = match.groups()
        base = re.sub(r"_(bucket|sum|count)$", "", name) if self.types.get(family) == "histogram" else name
        if base != family:
            self.problems.append(f"{name} stands below {family}")
        labels, rest = [], raw or ""
        while rest:
            found = LABEL.match(rest)
            if not found:
                self.problems.append(f"bad labels: {line!r}")
                break
            labels.append((found[1], found[2]))
            rest = rest[found.end():]
        series = self.values.setdefault(name, {})
        key = tuple(sorted(labels))
        if key in series:
            self.problems.append(f"twice: {name} {key}")
        series[key] = float(number)

    def _lint(self):
        for name, kind in self.types.items():
            if (kind == "counter") != name.endswith("_total"):
                self.problems.append(f"{name} is a {kind}: counters, and only they, end in _total")
            if kind == "histogram" and not name.endswith(UNITS):
                self.problems.append(f"{name} has no unit in its name")
        for name, series in self.values.items():
            if name.endswith("_bucket"):
                self._buckets(name, series)
            if len(series) > 200:
                self.problems.append(f"{name} has {len(series)} series")

    def _buckets(self, name, series):
        groups = {}
        for labels, value in series.items():
            rest = tuple(pair for pair in labels if pair[0] != "le")
            groups.setdefault(rest, []).append((float(dict(labels)["le"]), value))
        for rest, steps in groups.items():
            steps.sort()
            counts = [count for _, count in steps]
            total = self.values.get(name.replace("_bucket", "_count"), {}).get(rest)
            if counts != sorted(counts) or steps[-1] != (float("inf"), total):
                self.problems.append(f"{name}{rest}: buckets do not add up")

    def value(self, name, **labels):
        return self.values.get(name, {}).get(tuple(sorted(labels.items())), 0)
