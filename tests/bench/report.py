"""What run.py measured, as a table and as a plot."""

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


def burst_rows(figures):
    yield "| server | deliveries/s | of what was asked, within the time | times nchan | busy |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for server in figures.servers:
        made = median(run["total"] / run["expected"] for run in figures.runs("burst", server))
        yield (f"| {figures.labels[server]} | {figures.value('burst', server, 'deliveries_per_second'):,.0f} "
               f"| {made:.1%} | {figures.ratio('burst', server, 'nchan', 'deliveries_per_second'):.1f} "
               f"| {figures.value('burst', server, 'busy'):.0%} |")


def target_rows(figures):
    burst = figures.ratio("burst", "sluice", "nchan", "deliveries_per_second")
    costs = [f"{cost['instructions']:,.0f} instructions at {cost['subscribers']:,}"
             for cost in figures.results["cost"]]
    measured = {
        "one": f"{figures.ratio('one', 'sluice', 'raw', 'deliveries_per_second', 1000):.2f}",
        "burst": f"{figures.lost('burst', 'sluice')} missing, {burst:.1f} times nchan",
        "http1": f"{figures.idle('sluice'):,.0f} bytes",
        "http2": f"{figures.idle('sluice-h2'):,.0f} bytes",
        "filter": ", ".join(costs),
    }
    yield "| what must hold | measured |"
    yield "| --- | --- |"
    for name, text in TARGETS.items():
        yield f"| {text} | {measured[name]} |"


def table(results):
    figures = Figures(results)
    conditions = results["conditions"]
    filtered = results["filtered"]
    wrong = sum(run["wrong"] for kind in ("one", "burst") for run in results[kind])
    lines = [
        "# Benchmark", "",
        f"{conditions['processors']} processors for everything: server, subscribers, publisher, {conditions['kafka']}. "
        f"Linux {conditions['kernel']}. Loopback. Values of {conditions['payload_bytes']} bytes, frames of "
        f"{conditions['frame_bytes']}. One thread a server. Medians of {conditions['rounds']} rounds. "
        f"How it is measured: tests/bench/run.py.", "",
        *target_rows(figures), "",
        "## One event at a time", "", *one_rows(figures), "",
        f"## Bursts: {conditions['burst_rate']:,} events/s to {1000:,} subscribers", "", *burst_rows(figures), "",
        "## Memory of an idle subscriber", "",
        "The process's own (Private_Dirty), without the kernel's socket.", "",
        "| server | bytes |", "| --- | ---: |",
        *(f"| {figures.labels[entry['server']]} | {entry['bytes']:,.0f} |" for entry in results["idle"]), "",
        "## Filtered", "",
        f"{filtered['subscribers']:,} subscribers with a filter of their own, {filtered['expected']} events for one of them: "
        f"{filtered['total']} delivered to it, {filtered['cpu_process'] / filtered['expected'] * 1e6:,.0f} µs of the "
        f"process's CPU time an event.", "",
        f"Events out of order, twice or left out, in all runs: {wrong}.", ""]
    return "\n".join(lines)


COLOURS = {"sluice": "#1b6ca8", "sluice-h2": "#7fb3d9", "raw": "#555555", "nchan": "#d98c3f"}
PANEL_HEIGHT = 220
LEFT = 70
BAR = 26
GROUP_GAP = 34


def bar(x, base, height, colour, text):
    return (f'<rect x="{x}" y="{base - height:.1f}" width="{BAR - 3}" height="{height:.1f}" fill="{colour}"/>'
            f'<text x="{x + BAR / 2 - 1.5}" y="{base - height - 4:.1f}" text-anchor="middle" font-size="9">{text}</text>')


def short(value):
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def panel(title, groups, top, colours):
    """Groups of bars, each group scaled by the panel's largest value."""
    base = top + PANEL_HEIGHT
    scale = (PANEL_HEIGHT - 40) / max(value for _, values in groups for value in values.values())
    parts = [f'<text x="{LEFT}" y="{top + 6}" font-size="13" font-weight="bold">{title}</text>']
    x = LEFT
    for name, values in groups:
        width = BAR * len(values)
        parts.append(f'<text x="{x + width / 2}" y="{base + 16}" text-anchor="middle" font-size="11">{name}</text>')
        for server, value in values.items():
            parts.append(bar(x, base, value * scale, colours[server], short(value)))
            x += BAR
        x += GROUP_GAP
    parts.append(f'<line x1="{LEFT - 10}" y1="{base}" x2="{x - GROUP_GAP + 10}" y2="{base}" stroke="#000"/>')
    return "\n".join(parts)


def legend(figures, top):
    parts = []
    for number, server in enumerate(figures.servers):
        y = top + 18 * number
        parts.append(f'<rect x="{LEFT}" y="{y}" width="12" height="12" fill="{COLOURS[server]}"/>'
                     f'<text x="{LEFT + 18}" y="{y + 10}" font-size="11">{figures.labels[server]}</text>')
    return "\n".join(parts)


def plot(results):
    figures = Figures(results)

    def groups(field):
        return [(f"{count:,} subscribers",
                 {server: figures.value("one", server, field, count) for server in figures.servers})
                for count in figures.counts]

    rate = results["conditions"]["burst_rate"]
    bursts = [(f"{rate:,} events/s to 1,000 subscribers",
               {server: figures.value("burst", server, "deliveries_per_second") for server in figures.servers})]
    panels = [panel("One event at a time: deliveries a second", groups("deliveries_per_second"), 30, COLOURS),
              panel("The same for each second of CPU time of the busiest thread",
                    groups("deliveries_per_cpu_second"), 300, COLOURS),
              panel("Bursts: deliveries a second", bursts, 570, COLOURS)]
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="700" height="910" viewBox="0 0 700 910" '
            'font-family="sans-serif">\n<rect width="700" height="910" fill="#fff"/>\n'
            + "\n".join(panels) + "\n" + legend(figures, 830) + "\n</svg>\n")
