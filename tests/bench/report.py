"""What run.py measured, as a table and as a plot."""

import math
import statistics

TARGETS = {
    "one": "one event at a time, 1,000 subscribers, HTTP/1.1: of the raw limit, at least 0.9",
    "burst": "bursts, 1,000 events/s to 1,000 subscribers: every delivery, at least 3 times nchan",
    "http1": "an idle subscriber, HTTP/1.1: at most 1,536 bytes",
    "http2": "an idle subscriber, HTTP/2: at most 2,048 bytes",
    "filter": "an event for one of many: the same cost at 1,000 and at 10,000 subscribers",
}


def median(values):
    return statistics.median(list(values))


class Figures:
    """Medians of the rounds; ratios are taken within a round."""

    def __init__(self, results):
        self.results = results
        self.labels = results["labels"]
        self.servers = list(self.labels)
        self.counts = sorted({run["subscribers"] for run in results["one"]})

    def runs(self, kind, server, subscribers=None):
        return [run for run in self.results[kind]
                if run["server"] == server and subscribers in (None, run["subscribers"])]

    def value(self, kind, server, field, subscribers=None):
        return median(run[field] for run in self.runs(kind, server, subscribers))

    def ratio(self, kind, server, base, field, subscribers=None):
        pairs = zip(self.runs(kind, server, subscribers), self.runs(kind, base, subscribers))
        return median(run[field] / other[field] for run, other in pairs)

    def lost(self, kind, server):
        return sum(run["expected"] - run["total"] for run in self.runs(kind, server))

    def nchan(self):
        """What nchan manages: it is asked for more."""
        return self.value("burst", "nchan", "deliveries_per_second")

    def idle(self, server):
        return next(entry["bytes"] for entry in self.results["idle"] if entry["server"] == server)


def one_rows(figures):
    yield "| subscribers | server | deliveries/s | of raw | deliveries a CPU second | of raw | busy |"
    yield "| ---: | --- | ---: | ---: | ---: | ---: | ---: |"
    for count in figures.counts:
        for server in figures.servers:
            def value(field):
                return figures.value("one", server, field, count)

            def ratio(field):
                return figures.ratio("one", server, "raw", field, count)

            yield (f"| {count:,} | {figures.labels[server]} | {value('deliveries_per_second'):,.0f} "
                   f"| {ratio('deliveries_per_second'):.2f} | {value('deliveries_per_cpu_second'):,.0f} "
                   f"| {ratio('deliveries_per_cpu_second'):.2f} | {value('busy'):.0%} |")


def burst_rows(figures, kind, rate):
    yield f"{rate:,} events/s to 1,000 subscribers:"
    yield ""
    yield "| server | deliveries/s | delivered in the time | times nchan | busy |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for server in figures.servers:
        if not figures.runs(kind, server):
            continue
        made = median(run["total"] / run["expected"] for run in figures.runs(kind, server))
        times = figures.value(kind, server, "deliveries_per_second") / figures.nchan()
        yield (f"| {figures.labels[server]} | {figures.value(kind, server, 'deliveries_per_second'):,.0f} "
               f"| {made:.1%} | {times:.1f} | {figures.value(kind, server, 'busy'):.0%} |")


def target_rows(figures):
    burst = figures.value("burst", "sluice", "deliveries_per_second") / figures.nchan()
    flood = figures.value("flood", "sluice", "deliveries_per_second") / figures.nchan()
    costs = [f"{cost['instructions']:,.0f} instructions at {cost['subscribers']:,}"
             for cost in figures.results["cost"]]
    measured = {
        "one": f"{figures.ratio('one', 'sluice', 'raw', 'deliveries_per_second', 1000):.2f}; "
               f"{figures.ratio('one', 'sluice', 'raw', 'deliveries_per_cpu_second', 1000):.2f} by CPU time",
        "burst": f"{figures.lost('burst', 'sluice')} missing; {burst:.1f} times nchan, and "
                 f"{flood:.1f} times at {figures.results['conditions']['flood_rate']:,} events/s",
        "http1": f"{figures.idle('sluice'):,.0f} bytes",
        "http2": f"{figures.idle('sluice-h2'):,.0f} bytes",
        "filter": ", ".join(costs),
    }
    yield "| what must hold | measured |"
    yield "| --- | --- |"
    for name, text in TARGETS.items():
        yield f"| {text} | {measured[name]} |"


def wrong(results):
    """Deliveries that did not follow upon the subscriber's last."""
    runs = [run for kind in ("one", "burst", "flood") for run in results[kind]]
    return sum(run["wrong"] for run in [*runs, results["filtered"]])


def mistakes(results):
    """What the gateway must not do at any speed; empty where it did not."""
    figures = Figures(results)
    filtered = results["filtered"]
    found = []
    if wrong(results):
        found.append(f"{wrong(results)} deliveries are out of order, twice or left out")
    if figures.lost("burst", "sluice") or figures.lost("burst", "sluice-h2"):
        found.append("deliveries of a burst are missing")
    if filtered["total"] != filtered["expected"]:
        found.append("deliveries to the filtered subscriber are missing")
    if any(cost["deliveries"] != cost["events"] for cost in results["cost"]):
        found.append("events were not dispatched")
    return ", ".join(found)


def table(results):
    figures = Figures(results)
    conditions = results["conditions"]
    filtered = results["filtered"]
    lines = [
        "# Benchmark", "",
        f"{conditions['processors']} processors for everything: server, subscribers, publisher, {conditions['kafka']}. "
        f"Linux {conditions['kernel']}. Loopback. Values of {conditions['payload_bytes']} bytes, frames of "
        f"{conditions['frame_bytes']}. One thread a server. Medians of {conditions['rounds']} rounds. "
        f"How it is measured: tests/bench/run.py.", "",
        *target_rows(figures), "",
        "## One event at a time", "", *one_rows(figures), "",
        "## Bursts", "", *burst_rows(figures, "burst", conditions["burst_rate"]), "",
        *burst_rows(figures, "flood", conditions["flood_rate"]), "",
        "## Memory of an idle subscriber", "",
        "The process's own (Private_Dirty), without the kernel's socket.", "",
        "| server | bytes |", "| --- | ---: |",
        *(f"| {figures.labels[entry['server']]} | {entry['bytes']:,.0f} |" for entry in results["idle"]), "",
        "## Filtered", "",
        f"{filtered['subscribers']:,} subscribers with a filter of their own, {filtered['expected']} events for one of them: "
        f"{filtered['total']} delivered to it, {filtered['cpu_process'] / filtered['expected'] * 1e6:,.0f} µs of the "
        f"process's CPU time an event.", "",
        f"Events out of order, twice or left out, in all runs: {wrong(results)}.", ""]
    return "\n".join(lines)


COLOURS = {"sluice": "#1b6ca8", "sluice-h2": "#7fb3d9", "raw": "#555555", "nchan": "#d98c3f"}
WIDTH, LEFT = 760, 70
DECADE = 44  # height; the scale is logarithmic, from 1,000 to 10 million
DECADES = 4
PANEL = DECADES * DECADE
BAR = 32
GROUP_GAP = 36


def short(value):
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def text(x, y, content, size=11, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{content}</text>')


def bar(x, base, server, value):
    height = DECADE * math.log10(max(value, 1000) / 1000)
    return (f'<rect x="{x}" y="{base - height:.1f}" width="{BAR - 3}" height="{height:.1f}" fill="{COLOURS[server]}"/>'
            + text(x + BAR / 2 - 1.5, base - height - 3, short(value), 9, "middle"))


def grid(base):
    for decade in range(DECADES + 1):
        y = base - decade * DECADE
        yield f'<line x1="{LEFT - 6}" y1="{y}" x2="{WIDTH - 20}" y2="{y}" stroke="#ddd"/>'
        yield text(LEFT - 10, y + 4, short(10 ** (3 + decade)), 9, "end")


def panel(title, groups, top):
    base = top + PANEL + 22
    yield text(LEFT, top, title, 13, weight="bold")
    yield from grid(base)
    x = LEFT
    for name, values in groups:
        yield text(x + BAR * len(values) / 2, base + 15, name, 11, "middle")
        for server, value in values.items():
            yield bar(x, base, server, value)
            x += BAR
        x += GROUP_GAP


def legend(figures, top):
    for number, server in enumerate(figures.servers):
        y = top + 18 * number
        yield f'<rect x="{LEFT}" y="{y}" width="12" height="12" fill="{COLOURS[server]}"/>'
        yield text(LEFT + 18, y + 10, figures.labels[server])


def plot(results):
    figures = Figures(results)

    def groups(field):
        return [(f"{count:,} subscribers" if count > 1 else "1 subscriber",
                 {server: figures.value("one", server, field, count) for server in figures.servers})
                for count in figures.counts]

    bursts = [(f"{results['conditions'][f'{kind}_rate']:,} events/s",
               {server: figures.value(kind, server, "deliveries_per_second")
                for server in figures.servers if figures.runs(kind, server)})
              for kind in ("burst", "flood")]
    parts = [*panel("One event at a time: deliveries a second", groups("deliveries_per_second"), 24),
             *panel("The same for each second of CPU time of the server's busiest thread",
                    groups("deliveries_per_cpu_second"), 274),
             *panel("Bursts to 1,000 subscribers: deliveries a second", bursts, 524),
             *legend(figures, 770)]
    height = 770 + 18 * len(figures.servers) + 10
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="sans-serif">\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
            + "\n".join(parts) + "\n</svg>\n")
