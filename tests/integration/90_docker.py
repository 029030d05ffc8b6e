#!/usr/bin/env python3
"""docker/: the image and compose.yaml on a real Docker engine.

Produces from a container, subscribes from outside, restarts and kills the gateway's container, comes back with the last id, and counts: every
event exactly once. Where no engine can be started it says so and is counted as skipped. Writes TAP.
"""

import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "90_docker"))
import engine  # noqa: E402
from engine import run  # noqa: E402
from subscriber import Subscriber  # noqa: E402

COMPOSE = ["docker-compose", "-f", "docker/compose.yaml", "-f", "tests/integration/90_docker/compose.yaml"]
HEALTHY_S = 120
USERS = [f"tester-{n}" for n in range(7)]
BATCH = 2000
FIRST, LAST = -2, -1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def compose(*arguments):
    return run(*COMPOSE, *arguments)


def container(service):
    return compose("ps", "-a", "-q", service)


def wait_until_healthy(service):
    deadline = time.monotonic() + HEALTHY_S
    name = container(service)
    while run("docker", "inspect", "-f", "{{.State.Health.Status}}", name) != "healthy":
        assert time.monotonic() < deadline, f"{service}: " + run("docker", "inspect", "-f", "{{json .State}}", name)
        time.sleep(0.2)


def order(number, user):
    return f'{user}\t{{"order":{number},"user_id":"{user}","item":"kite","state":"paid"}}\n'


def produce(lines):
    """By the sample producer's container, slowly enough for something to happen meanwhile."""
    command = ["docker", "exec", "-i", container("producer"), "sluice", "produce", "orders"]
    producer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for start in range(0, len(lines), 100):
        producer.stdin.write("".join(lines[start:start + 100]))
        producer.stdin.flush()
        time.sleep(0.1)
    said = producer.communicate()[0]
    assert said == f"{len(lines)} records delivered to orders\n", said


def produce_batch(batch):
    produce([order(n, USERS[n % len(USERS)]) for n in range(batch * BATCH, (batch + 1) * BATCH)])


def orders_of(events, user):
    """All but FIRST, which is there so that every subscriber has an id to come back with."""
    orders = [data["order"] for name, data in events if name != "connected" and data["user_id"] == user]
    return [number for number in orders if number != FIRST]


def last_of_all(users=len(USERS)):
    """Whether LAST has come for so many of them; asked after each event."""
    seen = set()

    def look(events):
        if events and events[-1][1].get("order") == LAST:
            seen.add(events[-1][1]["user_id"])
        return len(seen) == users

    return look


def query(sql):
    return run("docker", "exec", container("postgres"), "psql", "-U", "sluice", "-A", "-t", "-c", sql)


class Tests:
    def __init__(self):
        self.port = free_port()
        os.environ.update(engine.IMAGES, COMPOSE_PROJECT_NAME="sluice-test", COMPOSE_DOCKER_CLI_BUILD="1",
                          SLUICE_PUBLISH=f"127.0.0.1:{self.port}")

    def compose_file_is_valid(self):
        """For docker-compose 1.29, with and without what the test adds, and for the plugin where that is installed."""
        run("docker-compose", "-f", "docker/compose.yaml", "config", "-q")
        compose("config", "-q")
        if subprocess.run(["docker", "compose", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            run("docker", "compose", "-f", "docker/compose.yaml", "config", "-q")

    def image_is_built(self):
        """As compose.yaml says, and its user is not root."""
        compose("build", "-q", "gateway")
        assert run("docker", "image", "inspect", "-f", "{{.Config.User}}", engine.IMAGES["SLUICE_IMAGE"]) == "10001"

    def everything_starts(self):
        """Each waits for what it needs; sluice migrate ends well before the gateway begins."""
        compose("up", "-d", "--no-build")
        wait_until_healthy("gateway")
        assert run("docker", "inspect", "-f", "{{.State.ExitCode}}", container("migrate")) == "0"

    def sample_events_arrive(self):
        """What the page shows is there without anybody's doing."""
        Subscriber(self.port, "/orders").follow(lambda events: any(name == "shipped" for name, _ in events))
        Subscriber(self.port, "/host/metrics").follow(lambda events: any("load_1m" in data for _, data in events))

    def no_event_is_lost_or_doubled(self):
        """One subscriber stays while the gateway's container is restarted and killed, another one comes back after it all."""
        everything = Subscriber(self.port, "/orders")
        one = Subscriber(self.port, f"/users/{USERS[0]}/orders")
        produce([order(FIRST, user) for user in USERS])
        for subscriber in everything, one:
            subscriber.follow(lambda events: subscriber.last_id)
        with concurrent.futures.ThreadPoolExecutor() as threads:
            following = threads.submit(everything.follow, last_of_all())
            for batch, breaks in enumerate([[], ["restart"], ["kill", "start"]]):
                producing = threads.submit(produce_batch, batch)
                for command in breaks:
                    compose(command, "gateway")
                producing.result()
            produce([order(LAST, user) for user in USERS])
            following.result()
        one.follow(last_of_all(1))
        for index, user in enumerate(USERS):
            assert orders_of(everything.events, user) == list(range(index, 3 * BATCH, len(USERS))) + [LAST], user
        assert orders_of(one.events, USERS[0]) == list(range(0, 3 * BATCH, len(USERS))) + [LAST]
        assert everything.connections >= 4 and one.connections == 2, (everything.connections, one.connections)

    def journal_has_them_all(self):
        """Each once, through the same restarts; the sample's events are there, too."""
        deadline = time.monotonic() + HEALTHY_S
        rows = distinct = 0
        while rows < 3 * BATCH + 2 * len(USERS):
            assert time.monotonic() < deadline, f"{rows} rows in the journal"
            rows, distinct = map(int, query('select count(*), count(distinct (partition, "offset")) from journal_event').split("|"))
        assert rows == distinct

    def gateway_writes_nothing_and_has_no_rights(self):
        """Its root is read-only, its user nobody, and no capability is left."""
        name = container("gateway")
        assert run("docker", "inspect", "-f", "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Tmpfs}}", name) == "true map[]"
        status = run("docker", "exec", name, "cat", "/proc/1/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == ["10001"] * 4 and fields["NoNewPrivs"] == "1", status
        assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {0}, status

    def gateway_stops_by_itself(self):
        """On SIGTERM, with exit code 0."""
        name = container("gateway")
        compose("stop", "gateway")
        assert run("docker", "inspect", "-f", "{{.State.ExitCode}}", name) == "0"


NAMES = [name for name in vars(Tests) if not name.startswith("_")]


def run_tests():
    tests = Tests()
    run(*COMPOSE, "down", "-v", "--remove-orphans", "-t", "1")
    for number, name in enumerate(NAMES, 1):
        started = time.monotonic()
        try:
            getattr(tests, name)()
        except Exception:
            print(f"not ok {number} - test_docker_{name}", flush=True)
            raise
        print(f"ok {number} - test_docker_{name}")
        print(f"# took {time.monotonic() - started:.0f} s", flush=True)


def keep_logs():
    with open(os.path.join(engine.LOGS, "containers.log"), "w") as log:
        subprocess.run([*COMPOSE, "logs", "--no-color", "--tail", "60"], stdout=log, stderr=log)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"1..{len(NAMES)}")
    try:
        docker = engine.Engine()
    except engine.NoEngine as why:
        for number, name in enumerate(NAMES, 1):
            print(f"ok {number} - test_docker_{name} # SKIP no Docker engine: {why}")
        return
    try:
        engine.make_images()
        print("# images made", flush=True)
        run_tests()
    finally:
        keep_logs()
        subprocess.run([*COMPOSE, "down", "-v", "-t", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        docker.stop()


main()
