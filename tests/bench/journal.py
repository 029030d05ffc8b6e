#!/usr/bin/env python3
"""The journal's benchmark, in one go: `make bench-journal`.

Throughput: a topic is full, the gateway starts, and the time runs until journal_offset has reached the topic's end. Its
own start, its consumer group's and the making of the tables are in it; "once it writes" is without them. Beside it,
round by round: the same rows, taken out in binary, with one COPY into the same emptied table with its indexes.
PostgreSQL is on the same machine with fsync; the journal's batches are committed as the gateway does. "PostgreSQL's CPU"
is what its processes ran for it, which other work on the machine changes less than the time. A first round, in which
Kafka makes its topic for consumer groups and PostgreSQL, for the journal but not for the COPY after it, its first WAL
files, is told apart.

Missed events: the topic has so many events of so many users, in turn. A gateway that has none of them in memory is
asked for all of one user's, another user each time; the time runs from the request until the last of them is there,
for a stream with a journal and for one without, which reads Kafka from there.

A crowd: so many users reconnect at once with an id from before their events, each with a filter of its own. The time
runs from the start of the load client until the last of them has its events, first from a gateway that has them in its
window, then from one that was started anew.

It fails where an event came twice, out of order, or not at all, or from somewhere else than is said.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from run import (CLIENT_NICE, PAYLOAD, Child, answers, cpu_seconds, free_port, raise_file_limit, say,
                 wait_until)

ROWS = 1000000
ROW_KEYS = 1000
COPY_ROUNDS = 5
EACH = 10  # events of a user
USERS = 100001  # of whom one is asked for
MISSED_ROUNDS = 5
CROWD = 5000
CROWD_ROUNDS = 3
AT_ONCE = 4000  # connections without an answer: what the gateway's backlog holds
CROWD_PATIENCE_S = 120
JOURNAL_PATIENCE_S = 300
PARTITIONS = 4
POLL_S = 0.02
RATE = 10**9  # as fast as it goes
COLUMNS = 'feed_id, route, topic, partition, "offset", event_time, event_id, key, headers, value'


class Database:
    """A database of its own, and a session in it."""

    def __init__(self, url, name):
        subprocess.run(["psql", "-qX", url, "-c", f"create database {name}"], check=True)
        self.url = url.replace("///postgres?", f"///{name}?")

    def connect(self):
        self.session = subprocess.Popen(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", self.url], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def run(self, command):
        """What it answers, in lines."""
        self.session.stdin.write(f"{command}\n\\echo done\n")
        self.session.stdin.flush()
        lines = []
        while True:
            line = self.session.stdout.readline()
            if not line:
                sys.exit(f"bench: psql ended at: {command}")
            if line == "done\n":
                return lines
            lines.append(line.strip())

    def pid(self):
        return self.number("select pg_backend_pid();")

    def number(self, query):
        return int(self.run(query)[0])

    def close(self):
        self.session.stdin.close()
        self.session.wait()


class Bench:
    def __init__(self, arguments):
        self.programs = arguments.programs.absolute()
        self.sluice = arguments.sluice.absolute()
        self.output = arguments.output.absolute()
        self.output.mkdir(parents=True, exist_ok=True)
        # PostgreSQL's user, who is another one where this is root, must be able to enter it.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        self.folder.chmod(0o755)
        self.gateway = self.broker = self.postgres = None

    def start(self):
        self.broker = Child(self.programs / "broker",
                            *(f"{topic}:{PARTITIONS}" for topic in ("copied", "missed", "crowd")))
        said = self.broker.line()
        self.servers, self.broker_name = said["servers"], said["what"]
        self.postgres = Child(self.programs / "postgres", self.folder / "postgres")
        self.url = self.postgres.line()["url"]

    def stop(self):
        if self.gateway:
            self.gateway.stop()
        for child in (self.postgres, self.broker):
            if child:
                child.end()
        shutil.rmtree(self.folder)

    def postgres_cpu(self, without=None):
        """Seconds of the processes that are there, but for the session that only looks on."""
        def children(pid):
            return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

        server = children(self.postgres.pid)[0]
        return sum(sum(cpu_seconds(pid).values()) for pid in (server, *children(server)) if int(pid) != without)

    def database(self, name):
        database = Database(self.url, name)
        database.connect()
        return database

    def publish(self, topic, key, keys, total):
        publisher = Child(self.programs / "publisher", "--brokers", self.servers, "--topic", topic, "--key", key,
                          "--keys", keys, "--payload", PAYLOAD, "--rate", RATE, "--total", total)
        publisher.go()
        publisher.line()
        publisher.end()

    def configure(self, database, streams):
        """With the tables there."""
        self.port = free_port()
        configuration = {
            "listeners": [{"address": "127.0.0.1", "port": self.port}],
            "http": {"loops": 1, "drain": "0s"},
            "kafka": {"bootstrap.servers": self.servers},
            "ingest": {"warm": "0s"},
            "postgres": {"url": database.url},
            "log": {"level": "warn"},
            "streams": streams,
        }
        self.configuration = self.output / "journal-gateway.json"
        self.configuration.write_text(json.dumps(configuration, indent="\t"))
        subprocess.run([self.sluice, "migrate", "--config", self.configuration], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_gateway(self):
        self.gateway = Child(self.sluice, "--config", self.configuration)

    def wait_for_gateway(self):
        wait_until(self.gateway, lambda: answers(self.port, "/readyz", 200))

    def replays(self, source):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            for line in response.read().decode().splitlines():
                if line.startswith(f'sluice_replays_total{{source="{source}"}}'):
                    return float(line.split()[-1])
        return 0

    def subscribe(self, path, last_id=None):
        subscriber = socket.create_connection(("127.0.0.1", self.port), timeout=CROWD_PATIENCE_S)
        field = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        subscriber.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n".encode())
        return subscriber

    def id_now(self, path):
        """Where a subscriber stands that comes now."""
        with self.subscribe(path) as subscriber, subscriber.makefile("r") as stream:
            event_id = None
            for line in stream:
                if line.startswith("id:"):
                    event_id = line[3:].strip()
                if line == "\n" and event_id:
                    return event_id
        sys.exit(f"bench: {path} gave no id")


def stream(topic, name, **more):
    return {"path": f"/{name}/{{user}}", "topics": [topic], "access": "public",
            "filter": {"key": ["{path.user}"]}, **more}


def wait_journaled(database, feed, total):
    """When the first of them and when all of them were there, and how many were first."""
    query = ("select coalesce(sum(next_offset - first_offset), 0) from journal_offset"
             f" join journal_feed using (feed_id) where stream = '{feed}';")
    deadline = time.monotonic() + JOURNAL_PATIENCE_S
    first = None
    while True:
        reached, now = database.number(query), time.monotonic()
        if reached and not first:
            first = (now, reached)
        if reached >= total:
            return {"first": first[0], "first_rows": first[1], "end": now}
        if now > deadline:
            sys.exit(f"bench: the journal has {reached} of {total} events")
        time.sleep(POLL_S)


def copy_again(bench, database):
    """The same rows into the same table, emptied, by COPY alone."""
    path = bench.folder / "rows"
    database.run(f"\\copy (select {COLUMNS} from journal_event) to '{path}' (format binary)")
    database.run("truncate journal_event;")
    database.run("checkpoint;")
    started, before = time.monotonic(), bench.postgres_cpu()
    database.run(f"\\copy journal_event ({COLUMNS}) from '{path}' (format binary)")
    seconds, cpu = time.monotonic() - started, bench.postgres_cpu() - before
    path.unlink()
    return seconds, cpu


def throughput(bench, name):
    database = bench.database(name)
    bench.configure(database, {"copied": stream("copied", "copied", journal={"retain": "24h"})})
    database.run("checkpoint;")
    looking_on = database.pid()
    started, before = time.monotonic(), bench.postgres_cpu(looking_on)
    bench.start_gateway()
    times = wait_journaled(database, "copied", ROWS)
    cpu = bench.postgres_cpu(looking_on) - before
    bench.gateway.stop()
    rows = database.number("select count(*) from journal_event;")
    copied, copy_cpu = copy_again(bench, database)
    rows_again = database.number("select count(*) from journal_event;")
    bytes_of_row = database.number("select round(avg(pg_column_size(e.*))) from journal_event e;")
    database.close()
    return {"rows": rows, "rows_copied": rows_again, "row_bytes": bytes_of_row,
            "journal": ROWS / (times["end"] - started),
            "steady": (ROWS - times["first_rows"]) / max(times["end"] - times["first"], POLL_S),
            "until_first_seconds": times["first"] - started, "copy": ROWS / copied,
            "journal_cpu": ROWS / cpu, "copy_cpu": ROWS / copy_cpu}


def missed(bench, name, user, last_id):
    """Milliseconds until the last event is there, and how many of them are not the one that follows."""
    started = time.monotonic()
    wrong = count = 0
    with bench.subscribe(f"/{name}/u{user}", last_id) as subscriber, subscriber.makefile("r") as lines:
        for line in lines:
            if not line.startswith('data: {"n":1'):
                continue
            wrong += int(line[len('data: {"n":1'):][:8]) != count
            count += 1
            if count == EACH:
                return {"ms": (time.monotonic() - started) * 1000, "wrong": wrong}
    sys.exit(f"bench: /{name} ended after {count} events")


def all_missed(bench, ids):
    results = {"journal": [], "kafka": []}
    for number in range(MISSED_ROUNDS):
        for name in results:
            before = bench.replays(name)
            result = missed(bench, name, 1000 + 7919 * number, ids[name])
            results[name].append({**result, "replays": bench.replays(name) - before})
    return results


def crowd(bench, source, last_id):
    before = bench.replays(source)
    path = f"/crowd/u%?last_event_id={urllib.parse.quote(last_id, safe='')}"
    started = time.monotonic()
    client = Child(bench.programs / "load_client", "--port", bench.port, "--path", path, "--subscribers", CROWD,
                   "--sources", 4, "--at-once", AT_ONCE, "--events", EACH, "--run-ms", CROWD_PATIENCE_S * 1000,
                   preexec_fn=lambda: os.nice(CLIENT_NICE))
    client.go()
    client.line()
    answered = time.monotonic() - started
    result = client.line()
    seconds = time.monotonic() - started
    client.end()
    return {"answered_seconds": answered, "seconds": seconds, "total": result["total"], "wrong": result["wrong"],
            "replays": bench.replays(source) - before}


def measure_reconnects(bench):
    database = bench.database("missed")
    journaled = {"journal": {"retain": "24h"}}
    bench.configure(database, {"journal": stream("missed", "journal", **journaled),
                               "kafka": stream("missed", "kafka"),
                               "crowd": stream("crowd", "crowd", **journaled)})
    bench.start_gateway()
    bench.wait_for_gateway()
    ids = {name: bench.id_now(f"/{name}/u0") for name in ("journal", "kafka", "crowd")}
    bench.publish("crowd", "u%", CROWD, CROWD * EACH)
    bench.publish("missed", "u%", USERS, USERS * EACH)
    wait_journaled(database, "crowd", CROWD * EACH)
    wait_journaled(database, "journal", USERS * EACH)
    database.run("analyze;")
    say("a crowd, from the window")
    results = {"crowd": {"window": [crowd(bench, "window", ids["crowd"]) for _ in range(CROWD_ROUNDS)]}}
    bench.gateway.stop()
    bench.start_gateway()
    bench.wait_for_gateway()
    say("one user's missed events")
    results["missed"] = all_missed(bench, ids)
    say("a crowd, from the journal")
    results["crowd"]["journal"] = [crowd(bench, "journal", ids["crowd"]) for _ in range(CROWD_ROUNDS)]
    bench.gateway.stop()
    database.close()
    return results


def measure(bench):
    bench.start()
    bench.publish("copied", "u%", ROW_KEYS, ROWS)
    say("the journal's throughput, the first round")
    results = {"cold": throughput(bench, "cold"), "throughput": []}
    for number in range(COPY_ROUNDS):
        say(f"the journal's throughput, round {number + 1} of {COPY_ROUNDS}")
        results["throughput"].append(throughput(bench, f"copied{number}"))
    results.update(measure_reconnects(bench))
    results["conditions"] = {"processors": os.cpu_count(), "kernel": platform.release(), "kafka": bench.broker_name,
                             "load": os.getloadavg(), "payload_bytes": PAYLOAD}
    return results


def median(runs, field):
    return statistics.median(run[field] for run in runs)


def table(results):
    conditions = results["conditions"]
    cold, copies, asked, crowds = (results[name] for name in ("cold", "throughput", "missed", "crowd"))
    ratio, steady, cpu = (statistics.median(run[field] / run[base] for run in copies) for field, base in
                          (("journal", "copy"), ("steady", "copy"), ("journal_cpu", "copy_cpu")))
    journal_ms, kafka_ms = median(asked["journal"], "ms"), median(asked["kafka"], "ms")
    return "\n".join([
        "# Benchmark of the journal", "",
        f"{conditions['processors']} processors for everything: gateway, subscribers, PostgreSQL with fsync, "
        f"{conditions['kafka']}. Linux {conditions['kernel']}, load average {conditions['load'][0]:.1f} at the end. "
        f"Values of {conditions['payload_bytes']} bytes. Medians. How it is measured: tests/bench/journal.py.", "",
        "| what must hold | measured |", "| --- | --- |",
        f"| the journal's throughput: of plain COPY, at least 0.6 | {ratio:.2f}; {steady:.2f} once it writes; "
        f"{cpu:.2f} by PostgreSQL's CPU time |", "",
        "## Throughput", "",
        f"{ROWS:,} rows of {copies[0]['row_bytes']} bytes, {PARTITIONS} partitions, {COPY_ROUNDS} rounds.", "",
        "| | rows/s | of COPY | rows a second of PostgreSQL's CPU | of COPY |", "| --- | ---: | ---: | ---: | ---: |",
        f"| the journal, from the gateway's start | {median(copies, 'journal'):,.0f} | {ratio:.2f} "
        f"| {median(copies, 'journal_cpu'):,.0f} | {cpu:.2f} |",
        f"| the journal, once it writes | {median(copies, 'steady'):,.0f} | {steady:.2f} | | |",
        f"| COPY | {median(copies, 'copy'):,.0f} | | {median(copies, 'copy_cpu'):,.0f} | |", "",
        f"The first round: {cold['journal']:,.0f} rows/s from the gateway's start, {cold['copy']:,.0f} by COPY.", "",
        "## One user's missed events", "",
        f"{EACH} events among {EACH * (USERS - 1):,} of others, {MISSED_ROUNDS} rounds.", "",
        "| from | milliseconds until the last | most |", "| --- | ---: | ---: |",
        *(f"| {name} | {median(runs, 'ms'):,.1f} | {max(run['ms'] for run in runs):,.1f} |"
          for name, runs in (("the journal", asked["journal"]), ("Kafka", asked["kafka"]))), "",
        f"From the journal {kafka_ms / journal_ms:,.0f} times as fast.", "",
        "## A crowd", "",
        f"{CROWD:,} subscribers reconnect at once, each has missed {EACH} events of {CROWD * EACH:,}; "
        f"{CROWD_ROUNDS} rounds.", "",
        "| from | seconds until the last is live | most |", "| --- | ---: | ---: |",
        *(f"| the {name} | {median(crowds[name], 'seconds'):.2f} | {max(run['seconds'] for run in crowds[name]):.2f} |"
          for name in ("window", "journal")), ""])


def mistakes(results):
    """What the gateway must not do at any speed; empty where it did not."""
    found = []
    if any(run["rows"] != ROWS or run["rows_copied"] != ROWS for run in (results["cold"], *results["throughput"])):
        found.append("rows are missing in the journal, or double")
    if any(run["wrong"] or run["replays"] != 1 for runs in results["missed"].values() for run in runs):
        found.append("missed events are out of order, twice, left out, or from elsewhere")
    if any(run["wrong"] or run["total"] != CROWD * EACH or run["replays"] != CROWD
           for runs in results["crowd"].values() for run in runs):
        found.append("the crowd's events are out of order, twice, left out, or from elsewhere")
    return ", ".join(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("programs", "sluice", "output"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    bench = Bench(parser.parse_args())
    raise_file_limit()
    try:
        results = measure(bench)
    finally:
        bench.stop()
    (bench.output / "journal.json").write_text(json.dumps(results, indent="\t") + "\n")
    text = table(results)
    (bench.output / "journal.md").write_text(text)
    print(text)
    found = mistakes(results)
    if found:
        sys.exit(f"bench: {found}")


if __name__ == "__main__":
    main()
