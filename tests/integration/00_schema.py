#!/usr/bin/env python3
"""The JSON Schema and the gateway say the same of a table of configurations.

Each row puts one value at one place of a configuration that is right. GOOD and BAD rows: both say so. BEYOND: what a schema can't know,
so the gateway alone refuses it. Besides, the samples are right for both. Writes TAP.
"""

import copy
import glob
import json
import os
import subprocess
import sys
import tempfile

import jsonschema

BINARY = os.environ.get("SLUICE_BINARY", "build/release/sluice")
SCHEMA = "conf/sluice.schema.json"
SAMPLES = ["conf/sluice.json", "conf/dev.json", *sorted(glob.glob("conf/examples/*.json"))]
ABSENT = object()
SECRET = "0123456789abcdef0123456789abcdef"

BASE = {
    "listeners": [{"address": "127.0.0.1", "port": 8080}],
    "kafka": {"bootstrap.servers": "localhost:9092"},
    "auth": {"issuers": [{"algorithms": ["HS256"], "secret": SECRET}]},
    "streams": {"s": {"path": "/u/{id}", "topics": ["t"], "params": {"q": {"in": "query", "type": "integer"}}}},
}

GOOD = [
    ("/$schema", "sluice.schema.json"),
    ("/listeners", ABSENT),
    ("/listeners/0/port", 0),
    ("/listeners/0/port", 8080.0),
    ("/listeners/0/port", "${NOT_SET:-8080}"),
    ("/listeners/0/serve", ["admin"]),
    ("/listeners/0/tls", {"certificate_file": "c.pem", "key_file": "k.pem"}),
    ("/http", {"drain": "10s", "max_head": "64KiB"}),
    ("/http", {"drain": 1500, "max_head": 2048}),
    ("/http", {"loops": "${NOT_SET:-4}"}),
    ("/cors", {"origins": ["https://a.example"], "credentials": True}),
    ("/cors", {"credentials": "${NOT_SET:-false}"}),
    ("/kafka", ABSENT),
    ("/kafka/fetch.wait.max.ms", 5),
    ("/kafka/fetch.wait.max.ms", "5"),
    ("/kafka/socket.keepalive.enable", True),
    ("/ingest", {"warm": "5m"}),
    ("/replay", {"readers": 8, "chunk": "128KiB", "chunks": 9}),
    ("/journal", {"group": "g", "batch": 500, "batch_bytes": "1MiB", "linger": "10ms"}),
    ("/auth", ABSENT),
    ("/auth/cookie", "session"),
    ("/auth/leeway", "1m"),
    ("/log", {"level": "debug"}),
    ("/log", {"level": "${NOT_SET:-warn}"}),
    ("/streams", {}),
    ("/streams/s/access", "public"),
    ("/streams/s/access", {"claims": {"sub": ["{path.id}"]}}),
    ("/streams/s/filter", {"key": ["{path.id}"], "value": {"a": {"b": [1, None, True]}}}),
    ("/streams/s/interval", {"every": "1s"}),
    ("/streams/s/interval", {"every": 250, "per_key": True}),
    ("/streams/s/interval", {"every": "{query.q}", "min": "200ms", "max": "10s"}),
    ("/streams/s/interval", {"every": "${NOT_SET:-2s}"}),
    ("/streams/s/event", {"event": "/value/type", "retry": 5000}),
    ("/streams/s/event", {"retry": "/value/retry"}),
    ("/streams/s/start", "earliest"),
    ("/streams/s/start", {"last": 10}),
    ("/streams/s/start", {"last": "{query.q}"}),
    ("/streams/s/end_when", {"value": {"id": ["{path.id}"], "status": ["done"]}}),
    ("/streams/s2", {"path": "/s2", "topics": ["t"], "params": {"f": {"type": "boolean"}}, "follow": "{query.f}"}),
    ("/streams/s/on_gap", "close"),
    ("/streams/s/heartbeat", "250ms"),
    ("/streams/s/heartbeat", {}),
    ("/streams/s/heartbeat", {"every": "${NOT_SET:-250ms}", "as": "${NOT_SET:-comment}"}),
    ("/streams/s/heartbeat", {"every": 250, "as": "event", "event": "beat"}),
    ("/streams/s/welcome", {"data": None}),
    ("/streams/s/welcome", {"event": "hello", "data": {"me": ["{claims.sub}", 1, "of {path.id}{query.q}"]}}),
    ("/streams/s/max_age", "1h"),
    ("/streams/s/idle_timeout", 5000),
    ("/server_id", "gw-1.eu_west:a"),
    ("/streams/s/window", "1GiB"),
    ("/streams/s/params/q", {}),
    ("/streams/s/params/q", {"type": "number", "minimum": 0.5, "maximum": 2, "default": 1, "enum": [1, 2]}),
    ("/streams/s/params/q", {"in": "header", "required": True, "description": "d"}),
    ("/streams/s/params/q", {"enum": ["info", "warn"], "ordered": True}),
]

BAD = [
    ("/streams/s/interval", {}),
    ("/streams/s/interval", "1s"),
    ("/streams/s/interval", {"every": 50}),
    ("/streams/s/interval", {"every": True}),
    ("/streams/s/interval", {"every": "query.q"}),
    ("/streams/s/interval", {"every": "1s", "key": True}),
    ("", []),
    ("/listener", []),
    ("/listeners", []),
    ("/listeners", {}),
    ("/listeners/0/port", 65536),
    ("/listeners/0/port", -1),
    ("/listeners/0/port", 1.5),
    ("/listeners/0/port", "8080"),
    ("/listeners/0/port", None),
    ("/listeners/0/address", ""),
    ("/listeners/0/adress", "::"),
    ("/listeners/0/serve", []),
    ("/listeners/0/serve", ["page", "page"]),
    ("/listeners/0/serve", ["pages"]),
    ("/listeners/0/tls", {"certificate_file": "c.pem"}),
    ("/listeners/0/tls", {"certificate_file": "", "key_file": "k.pem"}),
    ("/http", {"drain": "10"}),
    ("/http", {"drain": "10 s"}),
    ("/http", {"max_head": "64KB"}),
    ("/http", {"max_head": 1}),
    ("/http", {"loops": True}),
    ("/cors", {"origins": "*"}),
    ("/cors", {"origins": ["https://a", "https://a"]}),
    ("/cors", {"origins": [1]}),
    ("/cors", {"credentials": "yes"}),
    ("/kafka", {}),
    ("/kafka/client.id", {}),
    ("/kafka/client.id", None),
    ("/auth/issuers/0/algorithms", ABSENT),
    ("/auth/issuers/0/algorithms", []),
    ("/auth/issuers/0/algorithms", ["none"]),
    ("/auth/issuers/0/secret", 1),
    ("/auth/issuers/0/secret_file", "f"),
    ("/auth/issuers/0/refresh", 999),
    ("/auth/query", 1),
    ("/log", {"level": "trace"}),
    ("/streams", ABSENT),
    ("/streams", []),
    ("/streams/a b", {"path": "/x", "topics": ["t"]}),
    ("/streams/s/path", ABSENT),
    ("/streams/s/path", 1),
    ("/streams/s/path", "u"),
    ("/streams/s/topics", ABSENT),
    ("/streams/s/topics", []),
    ("/streams/s/topics", "t"),
    ("/streams/s/topics", ["t", "t"]),
    ("/streams/s/topics", [""]),
    ("/streams/s/access", "all"),
    ("/streams/s/access", {"claims": {"sub": "x"}}),
    ("/streams/s/filter", []),
    ("/streams/s/filter", {"value": {"a": 1}}),
    ("/streams/s/event", {"type": "x"}),
    ("/streams/s/event", {"retry": -1}),
    ("/streams/s/event", {"retry": 1.5}),
    ("/streams/s/event", "x"),
    ("/streams/s/start", "first"),
    ("/streams/s/start", {"last": 0}),
    ("/streams/s/start", {}),
    ("/streams/s/start", {"last": "10"}),
    ("/streams/s/start", {"last": "query.q"}),
    ("/streams/s/end_when", "done"),
    ("/streams/s/end_when", {"value": {"status": "done"}}),
    ("/streams/s/follow", False),
    ("/streams/s/follow", "follow"),
    ("/streams/s/on_gap", "skip"),
    ("/streams/s/heartbeat", 0),
    ("/streams/s/heartbeat", {"every": 0}),
    ("/streams/s/heartbeat", {"as": "retry"}),
    ("/streams/s/heartbeat", {"as": "event", "event": ""}),
    ("/streams/s/heartbeat", {"ever": "1s"}),
    ("/streams/s/heartbeat", []),
    ("/streams/s/welcome", {"event": "hello"}),
    ("/streams/s/welcome", {"event": "", "data": 1}),
    ("/streams/s/welcome", {"type": "hello", "data": 1}),
    ("/streams/s/welcome", "hello"),
    ("/streams/s/max_age", 0),
    ("/streams/s/max_age", "1y"),
    ("/streams/s/idle_timeout", 999),
    ("/server_id", ""),
    ("/streams/s/hearbeat", "15s"),
    ("/streams/s/window", "64M"),
    ("/streams/s/params", []),
    ("/streams/s/params/q", {"in": "body"}),
    ("/streams/s/params/q", {"type": "text"}),
    ("/streams/s/params/q", {"required": "yes"}),
    ("/streams/s/params/q", {"enum": []}),
    ("/streams/s/params/q", {"default": None}),
    ("/streams/s/params/q", {"type": "integer", "minimum": "1"}),
]

BEYOND = [
    ("/server_id", "a b"),
    ("/streams/s/welcome", {"data": "{query.nobody}"}),
    ("/streams/s/welcome", {"event": "a\nb", "data": 1}),
    ("/streams/s/heartbeat", {"event": "beat"}),
    ("/streams/s/interval", {"every": "50ms"}),
    ("/streams/s/interval", {"every": "5m"}),
    ("/streams/s/interval", {"every": "{query.x}"}),
    ("/listeners/0/address", "localhost"),
    ("/listeners/1", {"address": "127.0.0.1"}),
    ("/listeners/0/port", "${NOT_SET}"),
    ("/listeners/0/port", "${NOT_SET:-x}"),
    ("/http", {"drain": "1000h"}),
    ("/cors", {"origins": ["*"], "credentials": True}),
    ("/kafka/fetch.wait.max.mz", 5),
    ("/kafka/fetch.wait.max.ms", -5),
    ("/kafka/group.id", "g"),
    ("/auth", {"issuers": [{"algorithms": ["ES256"]}]}),
    ("/auth/issuers/0/secret", "short"),
    ("/streams/s/path", "/u/{id}/{id}"),
    ("/streams/s/topics", ["a b"]),
    ("/streams/s/topics", ["{path.id}"]),
    ("/streams/s/allow_topics", ["t"]),
    ("/streams/s2", {"path": "/u/{x}", "topics": ["t"]}),
    ("/streams/s/filter", {"key": ["{query.q}"]}),
    ("/streams/s/filter", {"value": {"a": ["{query.r}"]}}),
    ("/streams/s/filter", {"vlue": {"a": [1]}}),
    ("/streams/s/event", {"id": "constant"}),
    ("/streams/s/start", {"last": "{query.r}"}),
    ("/streams/s/start", {"last": "{path.id}"}),
    ("/streams/s", {"path": "/s", "topics": ["t"], "start": "latest", "end_when": {"value": {"a": [1]}}}),
    ("/streams/s/end_when", {"value": {"a": ["{query.r}"]}}),
    ("/streams/s/follow", "{query.q}"),
    ("/streams/s/params/q", {"type": "integer", "minimum": 2, "maximum": 1}),
    ("/streams/s/params/q", {"type": "integer", "default": "x"}),
    ("/streams/s/params/q", {"ordered": True}),
    ("/streams/s/params/id", {"in": "query"}),
    ("/streams/s", {"path": "/s", "topics": ["t"], "window": "1MiB", "max_event": "2MiB"}),
    ("/streams/s/journal", {"retain": "24h"}),
]


def put(config, pointer, value):
    """The configuration with the value at the pointer."""
    if pointer == "":
        return value
    config = copy.deepcopy(config)
    *path, last = pointer[1:].split("/")
    place = config
    for name in path:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if isinstance(place, list):
        place.insert(int(last), value)
    elif value is ABSENT:
        place.pop(last, None)
    else:
        place[last] = value
    return config


class Tester:
    def __init__(self):
        with open(SCHEMA, encoding="utf-8") as file:
            schema = json.load(file)
        jsonschema.Draft202012Validator.check_schema(schema)
        self.validator = jsonschema.Draft202012Validator(schema)
        self.count = 0
        self.failures = 0

    def report(self, good, name, details=""):
        self.count += 1
        self.failures += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}")
        for line in "" if good else details.splitlines():
            print(f"# {line}")

    def check(self, name, config, schema_takes, gateway_takes, path):
        errors = [error.message for error in self.validator.iter_errors(config)]
        environment = {key: value for key, value in os.environ.items() if key != "NOT_SET"}
        environment.setdefault("SLUICE_KAFKA", "localhost:9092")
        run = subprocess.run([BINARY, "--check-config", path], capture_output=True, text=True, env=environment)
        good = (not errors) == schema_takes and run.returncode == (0 if gateway_takes else 1)
        if gateway_takes:
            good = good and run.stdout == f"{path}: ok\n" and run.stderr == ""
        else:
            good = good and run.stdout == "" and all(line.startswith(f"{path}:") for line in run.stderr.splitlines())
        self.report(good, name, f"schema: {errors or 'ok'}\ngateway: {run.returncode} {run.stdout}{run.stderr}")

    def check_rows(self, what, rows, schema_takes, gateway_takes):
        for pointer, value in rows:
            config = put(BASE, pointer, value)
            shown = "absent" if value is ABSENT else json.dumps(value)
            with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
                json.dump(config, file)
                file.flush()
                self.check(f"{what}: {pointer or 'the file'} {shown}", config, schema_takes, gateway_takes, file.name)


def check_all(tester):
    for sample in SAMPLES:
        with open(sample, encoding="utf-8") as file:
            tester.check(f"good: {sample}", json.load(file), True, True, sample)
    tester.check_rows("good", GOOD, True, True)
    tester.check_rows("bad", BAD, False, False)
    tester.check_rows("beyond a schema", BEYOND, True, False)


def main():
    tester = Tester()
    with tempfile.NamedTemporaryFile("w", suffix=".key", encoding="utf-8") as secret:
        secret.write(SECRET)
        secret.flush()
        os.environ["SLUICE_JWT_SECRET_FILE"] = secret.name
        check_all(tester)
    print(f"1..{tester.count}")
    sys.exit(tester.failures > 0)


if __name__ == "__main__":
    main()
