"""EventSource by the letter of the HTML standard, as far as a count needs it."""

import http.client
import json
import time

RETRY_S = 0.2
SILENCE_S = 30  # longer than a heartbeat


class Subscriber:
    """Remembers the last id and all events; reconnects until it has what it waits for."""

    def __init__(self, port, path):
        self.port, self.path = port, path
        self.last_id = None
        self.events = []
        self.connections = 0

    def follow(self, until, timeout_s=120):
        """Reads until until(events); leaves the connection in the middle of whatever comes then."""
        deadline = time.monotonic() + timeout_s
        while not until(self.events):
            try:
                self._read(until, deadline)
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.path}: {len(self.events)} events and not what was waited for; last id {self.last_id}")
            if not until(self.events):
                time.sleep(RETRY_S)
        return self

    def _read(self, until, deadline):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SILENCE_S)
        try:
            connection.request("GET", self.path, headers={"Last-Event-ID": self.last_id} if self.last_id else {})
            response = connection.getresponse()
            if response.status == 200:
                self.connections += 1
                self._read_blocks(response, until, deadline)
        finally:
            connection.close()

    def _read_blocks(self, response, until, deadline):
        block = {}
        while time.monotonic() < deadline:
            line = response.readline()
            if not line.endswith(b"\n"):
                return
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name:
                block.setdefault(name, []).append(value.removeprefix(" "))
                continue
            self._dispatch(block)
            block = {}
            if until(self.events):
                return

    def _dispatch(self, block):
        self.last_id = block.get("id", [self.last_id])[-1]
        if "data" in block:
            self.events.append((block.get("event", ["message"])[-1], json.loads("\n".join(block["data"]))))
