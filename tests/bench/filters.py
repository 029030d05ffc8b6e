#!/usr/bin/env python3
"""What an event costs among many subscribers with filters of their own: `make bench-filters`.

From the record to the subscribers' bytes, by dispatch_cost: instructions, which callgrind counts, and time. What must
hold: the instructions at 100,000 subscribers are those at 1,000. The time grows with what the processor's caches do not
hold; the last column, where the events are for the same few users among 100,000 subscribers, tells that from a cost
that grows with their number.

It fails where an event was delivered to too many or too few, or the instructions grow.
"""

import argparse
import json
import pathlib
import subprocess
import sys

SUBSCRIBERS = (1000, 10000, 100000)
MATCHES = (1, 10)
KINDS = {
    "equal": "the key is the user: route keys",
    "bound": "and an amount and a prefix of the request's: a bound filter each",
    "checks": "and a pattern of the user's own, as in `user_filter`",
}
COUNTED_EVENTS = 2000
TIMED_EVENTS = 100000
ROUNDS = 5
FEW_USERS = 90  # fewer than the least number of subscribers has
GROWTH = 1.02


class Bench:
    def __init__(self, arguments):
        self.program = arguments.programs / "dispatch_cost"
        self.output = arguments.output
        self.output.mkdir(parents=True, exist_ok=True)

    def command(self, kind, subscribers, matches, events, *users):
        return [str(word) for word in (self.program, kind, subscribers, matches, events, *users)]

    @staticmethod
    def check(said, matches):
        if said["deliveries"] != said["events"] * matches:
            sys.exit(f"bench: {said['deliveries']} deliveries of {said['events']} events to {matches}")
        return said

    def instructions(self, kind, subscribers, matches):
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=deliver_event",
             f"--callgrind-out-file={self.output}/callgrind.{kind}.{subscribers}.{matches}",
             *self.command(kind, subscribers, matches, COUNTED_EVENTS)], capture_output=True, text=True, check=True)
        self.check(json.loads(run.stdout), matches)
        collected = next(line for line in run.stderr.splitlines() if "Collected :" in line)
        return int(collected.split()[-1]) / COUNTED_EVENTS

    def microseconds(self, kind, subscribers, matches, *users):
        times = []
        for _ in range(ROUNDS):
            run = subprocess.run(self.command(kind, subscribers, matches, TIMED_EVENTS, *users), capture_output=True,
                                 text=True, check=True)
            times.append(self.check(json.loads(run.stdout), matches)["ns"] / TIMED_EVENTS / 1000)
        return min(times)

    def measure(self, kind, matches):
        print(f"bench: filters, {kind}, {matches} of many", file=sys.stderr, flush=True)
        return {
            "kind": kind, "matches": matches,
            "instructions": [self.instructions(kind, subscribers, matches) for subscribers in SUBSCRIBERS],
            "us": [self.microseconds(kind, subscribers, matches) for subscribers in SUBSCRIBERS],
            "us_few_users": self.microseconds(kind, SUBSCRIBERS[-1], matches, FEW_USERS),
        }


def row(result):
    instructions = " | ".join(f"{count:,.0f}" for count in result["instructions"])
    times = " | ".join(f"{time:.2f}" for time in result["us"])
    return (f"| {KINDS[result['kind']]} | {result['matches']} | {instructions} | {times} "
            f"| {result['us_few_users']:.2f} |")


def table(results):
    columns = [f"{kind} at {subscribers:,}" for kind in ("instructions", "µs") for subscribers in SUBSCRIBERS]
    return "\n".join([
        "# An event among subscribers with filters of their own", "",
        f"{COUNTED_EVENTS:,} events counted, {TIMED_EVENTS:,} timed, the least of {ROUNDS} rounds; one event a turn. "
        "How it is measured: tests/bench/filters.py.", "",
        f"| filter | matches | {' | '.join(columns)} | µs, for {FEW_USERS} users of {SUBSCRIBERS[-1]:,} |",
        "| --- |" + " ---: |" * (len(columns) + 2),
        *(row(result) for result in results), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("programs", "output"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    bench = Bench(parser.parse_args())
    results = [bench.measure(kind, matches) for kind in KINDS for matches in MATCHES]
    (bench.output / "filters.json").write_text(json.dumps(results, indent="\t") + "\n")
    text = table(results)
    (bench.output / "filters.md").write_text(text)
    print(text)
    if any(max(result["instructions"]) > GROWTH * result["instructions"][0] for result in results):
        sys.exit("bench: an event costs more instructions among more subscribers")


if __name__ == "__main__":
    main()
