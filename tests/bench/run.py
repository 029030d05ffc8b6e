#!/usr/bin/env python3
"""The benchmark, in one go: `make bench`.

Fan-out of one feed, one event at a time: the load client pays for the next event when the first subscriber has the
last one. So a server never finds two events at once, each of its writes carries one, and yet the next event is on its
way while the last is being written. Where a round trip through Kafka takes longer than writing an event to all
subscribers (1 and 100 of them), the server waits, as the column "busy" shows: the share of the time that its busiest
thread ran. There the deliveries for each second of that thread's CPU time say more.

Bursts: so many events a second, whatever the server can do.

The raw limit is a loop over write(2) with the gateway's own bytes, paid in the same way. All servers are on one
thread, get the same payloads, have the same load client, and take turns; ratios are between neighbours in time, and
medians. Where there are few processors the load client and Kafka share them with the server, and the deliveries a
second are what all of that manages together; CPU time is the server's alone.

It fails where an event came twice, out of order, or not at all.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import report

SUBSCRIBERS = (1, 100, 1000, 5000)
ROUNDS = 5
WARM_MS = 300
RUN_MS = 1000
PAYLOAD = 200
STREAMS = 100  # of an HTTP/2 connection
BURST_SUBSCRIBERS = 1000
BURST_RATE = 1000
BURST_SECONDS = 3
BURST_ROUNDS = 3
BURST_PATIENCE_S = 8
FLOOD_RATE = 8000  # for those that can
CLIENT_NICE = 5  # what brings the next event goes first
FILES = 12000
IDLE_FIRST = 500
IDLE_MORE = 5000
FILTERED = 10000
FILTERED_EVENTS = 500
COST_SUBSCRIBERS = (1000, 10000)
COST_EVENTS = 1000
SETTLE_S = 0.3


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(child, ready, patience_s=30):
    deadline = time.monotonic() + patience_s
    while not ready():
        if child.process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"bench: {child.name} does not start")
        time.sleep(0.02)


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES:
        sys.exit(f"bench: {FILES} open files are needed, the limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def answers(port, path="/", status=None):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
            return status in (None, response.status)
    except urllib.error.HTTPError as error:
        return status in (None, error.code)
    except OSError:
        return False


def cpu_seconds(pid):
    """CPU time of each thread."""
    seconds = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        seconds[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def private_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    sys.exit("bench: no Private_Dirty in smaps_rollup")


class Child:
    """A process that talks lines of JSON."""

    def __init__(self, *arguments, **options):
        options.setdefault("stdin", subprocess.PIPE)
        self.name = pathlib.Path(arguments[0]).name
        self.process = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.PIPE, **options)
        self.pid = self.process.pid

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            sys.exit(f"bench: {self.name} ended with {self.process.wait()}")
        return json.loads(text)

    def go(self):
        self.process.stdin.write(b"g")
        self.process.stdin.flush()

    def end(self):
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.stop()
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Server:
    """What is measured: how to subscribe to it, how to publish, which process works."""

    http2 = False

    def __init__(self, bench):
        self.bench = bench

    def begin(self, subscribers, *pace, **options):
        """Before the subscribers come."""

    def publisher(self, *pace, **options):
        raise NotImplementedError


class Gateway(Server):
    name = "sluice"
    path = "/bench"
    label = "Sluice, HTTP/1.1"

    @property
    def port(self):
        return self.bench.gateway_port

    @property
    def pid(self):
        return self.bench.gateway.pid

    def publisher(self, *pace, **options):
        return Child(self.bench.program("publisher"), "--brokers", self.bench.servers, "--topic", "bench",
                     "--payload", PAYLOAD, *pace, **options)


class GatewayHttp2(Gateway):
    name = "sluice-h2"
    label = f"Sluice, HTTP/2, up to {STREAMS} streams a connection"
    http2 = True


class Raw(Server):
    name = "raw"
    label = "raw limit"
    path = "/"

    def begin(self, subscribers, *pace, **options):
        self.port = free_port()
        self.child = Child(self.bench.program("raw_limit"), "--port", self.port, "--subscribers", subscribers,
                           "--frame", self.bench.output / "frame", *pace, **options)
        self.pid = self.child.pid
        self.child.line()

    def publisher(self, *pace, **options):
        return self.child


class Nchan(Server):
    name = "nchan"
    label = "nchan, HTTP/1.1"
    path = "/sub"

    @property
    def port(self):
        return self.bench.nginx_port

    @property
    def pid(self):
        return self.bench.nginx_worker

    def publisher(self, *pace, **options):
        return Child(self.bench.program("publisher"), "--http", self.port, "--path", "/pub", "--payload", PAYLOAD,
                     *pace, **options)


NGINX_CONF = """
load_module {folder}/ngx_nchan_module.so;
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 16000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /pub {{
            nchan_publisher;
            nchan_channel_id bench;
            nchan_message_buffer_length 20000;
            nchan_message_timeout 30s;
        }}
        location = /sub {{
            nchan_subscriber eventsource;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""


class Bench:
    def __init__(self, arguments):
        self.programs = arguments.programs.absolute()
        self.sluice = arguments.sluice.absolute()
        self.tools = arguments.tools.absolute()
        self.output = arguments.output.absolute()
        self.output.mkdir(parents=True, exist_ok=True)
        self.gateway = self.nginx = self.broker = None

    def program(self, name):
        return self.programs / name

    def start_broker(self):
        self.broker = Child(self.program("broker"), "bench", "orders")
        said = self.broker.line()
        self.servers, self.broker_name = said["servers"], said["what"]

    def start_gateway(self):
        self.gateway_port = free_port()
        kafka = {"bootstrap.servers": self.servers}
        if self.broker_name != "Apache Kafka":
            kafka["fetch.wait.max.ms"] = 1
        configuration = {
            "listeners": [{"address": "127.0.0.1", "port": self.gateway_port}],
            "http": {"loops": 1, "drain": "0s"},
            "kafka": kafka,
            "ingest": {"warm": "0s"},
            "log": {"level": "warn"},
            "streams": {
                "bench": {"path": "/bench", "topics": ["bench"], "access": "public"},
                "orders": {"path": "/users/{user_id}/orders", "topics": ["orders"], "access": "public",
                           "filter": {"key": ["{path.user_id}"]}},
            },
        }
        path = self.output / "gateway.json"
        path.write_text(json.dumps(configuration, indent="\t"))
        self.gateway = Child(self.sluice, "--config", path)
        wait_until(self.gateway, lambda: answers(self.gateway_port, "/readyz", 200))

    def start_nginx(self):
        folder = self.output / "nginx-run"
        folder.mkdir(exist_ok=True)
        self.nginx_port = free_port()
        path = folder / "nginx.conf"
        path.write_text(NGINX_CONF.format(folder=folder, port=self.nginx_port))
        # Nchan wants a folder of the system's that only an installation makes, and refuses its own directive for
        # another. A name of the same length is one below nginx's prefix.
        module = (self.tools / "usr/lib/nginx/modules/ngx_nchan_module.so").read_bytes()
        (folder / "ngx_nchan_module.so").write_bytes(module.replace(b"/var/lib/nginx/body", b"message-temp-folder"))
        with (folder / "stderr").open("w") as log:
            self.nginx = Child(self.tools / "usr/sbin/nginx", "-p", folder, "-c", path, stderr=log)
        wait_until(self.nginx, lambda: answers(self.nginx_port))
        children = pathlib.Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children").read_text()
        self.nginx_worker = int(children.split()[0])

    def stop(self):
        for child in (self.gateway, self.nginx):
            if child:
                child.stop()
        if self.broker:
            self.broker.end()

    def catch_frame(self):
        """One event as the gateway frames it, for the raw limit to repeat."""
        with socket.create_connection(("127.0.0.1", self.gateway_port), timeout=20) as subscriber:
            subscriber.sendall(b"GET /bench HTTP/1.1\r\nHost: localhost\r\n\r\n")
            stream = subscriber.makefile("rb")
            while stream.readline() != b"event: connected\n":
                pass
            publisher = Gateway(self).publisher()
            publisher.go()
            publisher.end()
            lines = []
            while not (lines and lines[-1] == b"\n" and b'"n":' in lines[-2]):
                line = stream.readline()
                lines = [line] if line.startswith(b"id:") else lines + [line]
        frame = b"".join(lines)
        (self.output / "frame").write_bytes(frame)
        return len(frame)

    def client(self, server, subscribers, *arguments, path=None, **options):
        """Connects them; they are there when this returns."""
        http2 = ("--http2", "--streams", min(STREAMS, subscribers)) if server.http2 else ()
        options["preexec_fn"] = lambda: os.nice(CLIENT_NICE)
        child = Child(self.program("load_client"), "--port", server.port, "--path", path or server.path,
                      "--subscribers", subscribers, "--sources", 4, *http2, *arguments, **options)
        child.line()
        return child

    def measured(self, server, client, started, before):
        result = client.line()
        wall = time.monotonic() - started
        after = cpu_seconds(server.pid)
        used = {task: seconds - before.get(task, 0) for task, seconds in after.items()}
        result["server"] = server.name
        result["cpu_busiest_thread"] = max(used.values())
        result["cpu_process"] = sum(used.values())
        result["deliveries_per_second"] = result["deliveries"] / result["seconds"]
        result["deliveries_per_cpu_second"] = result["total"] / result["cpu_busiest_thread"]
        result["busy"] = result["cpu_busiest_thread"] / wall
        return result

    def one_at_a_time(self, server, subscribers):
        source, credit = os.pipe()
        server.begin(subscribers, stdin=source)
        client = self.client(server, subscribers, "--credit-fd", credit, "--warm-ms", WARM_MS,
                             "--run-ms", RUN_MS, pass_fds=(credit,))
        publisher = server.publisher(stdin=source)
        os.close(source)
        time.sleep(SETTLE_S)
        started, before = time.monotonic(), cpu_seconds(server.pid)
        client.go()
        result = self.measured(server, client, started, before)
        os.close(credit)
        client.end()
        publisher.end()
        return result

    def burst(self, server, subscribers, rate, seconds):
        total = rate * seconds
        pace = ("--rate", rate, "--total", total)
        server.begin(subscribers, *pace)
        client = self.client(server, subscribers, "--events", total, "--run-ms", BURST_PATIENCE_S * 1000)
        publisher = server.publisher(*pace)
        time.sleep(SETTLE_S)
        started, before = time.monotonic(), cpu_seconds(server.pid)
        client.go()
        publisher.go()
        result = self.measured(server, client, started, before)
        result["expected"] = total * subscribers
        # What it was slow with need not be waited for.
        client.end()
        publisher.stop()
        return result

    def idle(self, server):
        """The process's own memory for one more idle subscriber: the slope between two numbers of them."""
        first = self.client(server, IDLE_FIRST)
        time.sleep(1)
        before = private_bytes(server.pid)
        more = self.client(server, IDLE_MORE)
        time.sleep(1)
        after = private_bytes(server.pid)
        more.end()
        first.end()
        time.sleep(1)
        return {"server": server.name, "subscribers": IDLE_MORE, "bytes": (after - before) / IDLE_MORE}

    def filtered(self):
        """Many subscribers with a filter of their own, events for one of them."""
        gateway = Gateway(self)
        others = self.client(gateway, FILTERED - 1, path="/users/u%/orders")
        one = self.client(gateway, 1, "--events", FILTERED_EVENTS, "--run-ms", 10000, path="/users/one/orders")
        publisher = Child(self.program("publisher"), "--brokers", self.servers, "--topic", "orders", "--key", "one",
                          "--payload", PAYLOAD, "--rate", FILTERED_EVENTS, "--total", FILTERED_EVENTS)
        time.sleep(SETTLE_S)
        started, before = time.monotonic(), cpu_seconds(gateway.pid)
        one.go()
        publisher.go()
        result = self.measured(gateway, one, started, before)
        result.update(subscribers=FILTERED, expected=FILTERED_EVENTS)
        one.end()
        others.end()
        publisher.end()
        return result

    def dispatch_cost(self, subscribers):
        """Instructions for an event that one of many gets, counted by callgrind."""
        counted = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=deliver_event",
             f"--callgrind-out-file={self.output}/callgrind.{subscribers}", self.program("dispatch_cost"),
             "equal", str(subscribers), "1", str(COST_EVENTS)],
            capture_output=True, text=True, check=True)
        said = json.loads(counted.stdout)
        collected = next(line for line in counted.stderr.splitlines() if "Collected :" in line)
        return {"subscribers": subscribers, "deliveries": said["deliveries"], "events": said["events"],
                "instructions": int(collected.split()[-1]) / said["events"]}


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def measure(bench):
    results = {"one": [], "burst": [], "flood": [], "idle": [], "cost": []}
    bench.start_broker()
    bench.start_gateway()
    say("memory of idle subscribers")
    results["idle"].append(bench.idle(Gateway(bench)))
    bench.gateway.stop()
    bench.start_gateway()
    results["idle"].append(bench.idle(GatewayHttp2(bench)))
    bench.gateway.stop()
    bench.start_gateway()
    bench.start_nginx()
    results["idle"].append(bench.idle(Nchan(bench)))
    frame = bench.catch_frame()
    servers = [Gateway(bench), Raw(bench), GatewayHttp2(bench), Nchan(bench)]
    for number in range(ROUNDS):
        say(f"one event at a time, round {number + 1} of {ROUNDS}")
        for subscribers in SUBSCRIBERS:
            for server in servers if number % 2 == 0 else reversed(servers):
                results["one"].append({"round": number, **bench.one_at_a_time(server, subscribers)})
    for number in range(BURST_ROUNDS):
        say(f"bursts, round {number + 1} of {BURST_ROUNDS}")
        for server in servers:
            result = bench.burst(server, BURST_SUBSCRIBERS, BURST_RATE, BURST_SECONDS)
            results["burst"].append({"round": number, **result})
    for server in servers[:-1]:
        results["flood"].append(bench.burst(server, BURST_SUBSCRIBERS, FLOOD_RATE, BURST_SECONDS))
    say("filtered subscribers")
    results["filtered"] = bench.filtered()
    for subscribers in COST_SUBSCRIBERS:
        results["cost"].append(bench.dispatch_cost(subscribers))
    results["conditions"] = {
        "processors": os.cpu_count(), "kernel": platform.release(), "kafka": bench.broker_name,
        "payload_bytes": PAYLOAD, "frame_bytes": frame, "rounds": ROUNDS,
        "burst_rate": BURST_RATE, "flood_rate": FLOOD_RATE, "burst_seconds": BURST_SECONDS,
    }
    results["labels"] = {server.name: server.label for server in servers}
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("programs", "sluice", "tools", "output"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    bench = Bench(parser.parse_args())
    raise_file_limit()
    try:
        results = measure(bench)
    finally:
        bench.stop()
    (bench.output / "results.json").write_text(json.dumps(results, indent="\t") + "\n")
    table = report.table(results)
    (bench.output / "results.md").write_text(table)
    (bench.output / "results.svg").write_text(report.plot(results))
    print(table)
    mistakes = report.mistakes(results)
    if mistakes:
        sys.exit(f"bench: {mistakes}")


if __name__ == "__main__":
    main()
