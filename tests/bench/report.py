"""From single results to medians of paired ratios, aims and a table for people."""

import math
import statistics

PAIRS = (("c", "b"), ("b", "a"), ("c", "a"), ("d", "c"), ("e", "c"))


def interval(values):
    """The order statistics next to the extremes: a 96 % interval for the median at nine rounds."""
    ordered = sorted(values)
    cut = 1 if len(ordered) >= 7 else 0
    return ordered[cut], ordered[-1 - cut]


def ratios(cell, upper, lower, key):
    """Median and interval of upper/lower within the rounds; None where a party was not measured."""
    rounds = cell["rounds"]
    if upper not in rounds or lower not in rounds:
        return None
    values = [u[key] / l[key] for u, l in zip(rounds[upper], rounds[lower]) if l[key] > 0]
    if not values:
        return None
    low, high = interval(values)
    return {"median": statistics.median(values), "low": low, "high": high}


def summarise_cell(cell):
    out = {"connections": cell["connections"], "recipients": cell["recipients"], "parties": {}, "ratios": {}}
    for letter, rounds in cell["rounds"].items():
        answered = sum(r["rcpt_count"] for r in rounds)
        out["parties"][letter] = {
            key: statistics.median(r[key] for r in rounds)
            for key in ("rcpt_per_s", "rcpt_p50_us", "rcpt_p99_us", "rcpt_p999_us", "eom_p50_us")}
        out["parties"][letter]["cpu_us_per_rcpt"] = sum(r["filter_cpu_s"] for r in rounds) / max(1, answered) * 1e6
        out["parties"][letter]["answered"] = answered
    for upper, lower in PAIRS:
        for key in ("rcpt_per_s", "rcpt_p50_us", "rcpt_p99_us"):
            found = ratios(cell, upper, lower, key)
            if found is not None:
                out["ratios"][f"{upper}/{lower} {key}"] = found
    return out


def judge(text, value, limit, at_least, low=None, high=None):
    """One aim. The interval, where there is one, tells a miss from noise."""
    met = value >= limit if at_least else value <= limit
    within_noise = low is not None and (high >= limit if at_least else low <= limit)
    return {"aim": text, "value": value, "low": low, "high": high, "limit": limit,
            "state": "met" if met else "unclear" if within_noise else "missed"}


def aims_of_cells(matrix, pinned):
    for cell in pinned:
        ratio = cell["ratios"].get("c/b rcpt_p50_us")
        if ratio:
            yield judge(f"one core, {cell['connections']}x{cell['recipients']}: RCPT p50 of c at most 1.25 of b",
                        ratio["median"], 1.25, False, ratio["low"], ratio["high"])
    for cell in matrix:
        ratio = cell["ratios"].get("c/b rcpt_per_s")
        if ratio:
            limit = 0.9 if cell["connections"] <= 8 else 1.0
            yield judge(f"{cell['connections']}x{cell['recipients']}: recipients/s of c at least {limit} of b",
                        ratio["median"], limit, True, ratio["low"], ratio["high"])


def aims_of_streams(streams):
    for cell in streams:
        for letter, title in (("d", "1,000"), ("e", "4,000")):
            ratio = cell["ratios"].get(f"{letter}/c rcpt_per_s")
            if ratio:
                yield judge(f"{cell['connections']}x{cell['recipients']}: recipients/s with {title} streams at least 0.95 "
                            "of one", ratio["median"], 0.95, True, ratio["low"], ratio["high"])


def aims(results, matrix, pinned, streams):
    out = list(aims_of_cells(matrix, pinned)) + list(aims_of_streams(streams))
    if "c" in results["memory"]:
        out.append(judge("RSS of c after all runs at most 20 MiB", results["memory"]["c"]["after"]["rss_mib"], 20.0, False))
    hung = results.get("hung_redis", {}).get("c")
    if hung:
        out.append(judge("hung Redis, 64 clients: longest wait at most 1000 ms", hung["wait_max_ms"], 1000.0, False))
    out.append(judge("wrong verdicts, missing replies, refused connections, needless 4xx: none", len(results["faults"]),
                     0, False))
    return out


def summarise(results):
    matrix = [summarise_cell(c) for c in results["matrix"]]
    pinned = [summarise_cell(c) for c in results["pinned"]]
    sustained = [summarise_cell(c) for c in results["sustained"]]
    streams = [summarise_cell(c) for c in results["streams"]]
    return {"matrix": matrix, "pinned": pinned, "sustained": sustained, "streams": streams,
            "aims": aims(results, matrix, pinned, streams),
            "geometric_means": geometric_means(matrix)}


def geometric_means(matrix):
    """c/b in recipients per second, for each number of connections over all numbers of recipients."""
    out = {}
    for connections in sorted({c["connections"] for c in matrix}):
        found = [c["ratios"]["c/b rcpt_per_s"]["median"] for c in matrix
                 if c["connections"] == connections and "c/b rcpt_per_s" in c["ratios"]]
        if found:
            out[str(connections)] = math.exp(sum(map(math.log, found)) / len(found))
    return out


# ---- text ----

def ratio_text(ratio):
    return "-" if ratio is None else f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def cells_text(cells, letters):
    head = ["conns", "rcpts"]
    for what in ("rcpt/s", "p50 us", "p99 us"):
        head += [f"{letter} {what}" for letter in letters]
    head += ["c/b rcpt/s", "c/b p50", "c/b p99", "b/a rcpt/s"]
    head += [f"{letter} cpu us" for letter in letters]
    rows = [head]
    for cell in cells:
        parties = cell["parties"]
        row = [str(cell["connections"]), str(cell["recipients"])]
        row += [f"{parties[p]['rcpt_per_s']:.0f}" for p in letters]
        row += [f"{parties[p]['rcpt_p50_us']:.1f}" for p in letters]
        row += [f"{parties[p]['rcpt_p99_us']:.0f}" for p in letters]
        row += [ratio_text(cell["ratios"].get(key)) for key in ("c/b rcpt_per_s", "c/b rcpt_p50_us", "c/b rcpt_p99_us",
                                                               "b/a rcpt_per_s")]
        row += [f"{parties[p]['cpu_us_per_rcpt']:.1f}" for p in letters]
        rows.append(row)
    return table(rows)


def streams_text(cells, titles):
    rows = [["conns", "rcpts", "c rcpt/s"] + [f"{letter}/c {what}" for letter in titles
                                             for what in ("rcpt/s", "p50", "p99")]]
    for cell in cells:
        row = [str(cell["connections"]), str(cell["recipients"]), f"{cell['parties']['c']['rcpt_per_s']:.0f}"]
        row += [ratio_text(cell["ratios"].get(f"{letter}/c {key}")) for letter in titles
                for key in ("rcpt_per_s", "rcpt_p50_us", "rcpt_p99_us")]
        rows.append(row)
    return [f"({letter}) {title}" for letter, title in titles.items()] + table(rows)


def round_trip_text(results):
    free, pinned = results["round_trip"], results["round_trip_pinned"]
    rows = [["Redis round trip, us", "p50", "p99", "one core p50", "p99"]]
    for key in free:
        if key.endswith("_p50_us"):
            name = key[:-len("_p50_us")]
            rows.append([name, f"{free[key]:.1f}", f"{free[name + '_p99_us']:.1f}", f"{pinned[key]:.1f}",
                         f"{pinned[name + '_p99_us']:.1f}"])
    return table(rows) if len(rows) > 1 else []


def memory_text(results):
    rows = [["filter", "RSS MiB fresh", "after all runs", "peak", "threads after"]]
    for letter, memory in results["memory"].items():
        rows.append([letter, f"{memory['fresh']['rss_mib']:.1f}", f"{memory['after']['rss_mib']:.1f}",
                     f"{memory['after']['rss_peak_mib']:.1f}", str(memory["after"]["threads"])])
    return table(rows)


def hung_text(results):
    rows = [["hung Redis for 3 s, 64 clients", "longest wait ms", "median client ms", "clients over 1 s", "4xx",
             "answers", "clean again after s"]]
    for letter, hung in results.get("hung_redis", {}).items():
        if hung:
            again = hung["clean_again_s"]
            rows.append([letter, f"{hung['wait_max_ms']:.0f}", f"{hung['wait_median_ms']:.0f}", str(hung["over_limit"]),
                         str(hung["deferred"]), str(hung["recipients"]), "-" if again is None else f"{again:.1f}"])
    return table(rows) if len(rows) > 1 else []


def aims_text(summary):
    lines = []
    for aim in summary["aims"]:
        spread = "" if aim["low"] is None else f" ({aim['low']:.2f}-{aim['high']:.2f})"
        lines.append(f"{aim['state']:>8}  {aim['aim']}: {aim['value']:.2f}{spread}")
    return lines


def as_text(results, summary):
    m, o = results["machine"], results["options"]
    letters = sorted(results["titles"])
    lines = [f"consent-milter bench, {m['date']}", f"{m['cpus']} cpus, {m['model']}, Linux {m['kernel']}, load before "
             f"{m['load_before']:.2f}; {o['rounds']} interleaved rounds of {o['duration_ms']} ms, seed {o['seed']}"]
    lines += [f"({letter}) {results['titles'][letter]}" for letter in letters]
    lines += ["", "Ratios are medians of the ratios within a round (interval of the median). 30 % of the recipients have no",
              "consent. cpu: of the filter process for each recipient, its Redis not included.", ""]
    lines += ["Free scheduling"] + cells_text(summary["matrix"], letters) + [""]
    lines += ["All parties on one core"] + cells_text(summary["pinned"], letters) + [""]
    if summary["sustained"]:
        lines += ["Seconds on end (free scheduling, with the work that was put off)"]
        lines += cells_text(summary["sustained"], letters) + [""]
    if summary["streams"]:
        lines += ["Many streams"] + streams_text(summary["streams"], results["many"]) + [""]
    for block in (round_trip_text(results), memory_text(results), hung_text(results)):
        if block:
            lines += block + [""]
    if summary["geometric_means"]:
        lines += ["c/b recipients/s, geometric mean by connections: " +
                  ", ".join(f"{k}: {v:.2f}" for k, v in summary["geometric_means"].items()), ""]
    lines += ["Aims"] + aims_text(summary)
    for letter, lost in results["refusals_lost"].items():
        if lost:
            lines.append(f"   NOTE  ({letter}) lost {lost} refusals: `consentctl explain` does not know them (LAW-13)")
    for fault in results["faults"]:
        lines.append("  FAULT  " + fault)
    return "\n".join(lines)
