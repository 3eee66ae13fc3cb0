# SPDX-License-Identifier: Apache-2.0
"""What the daemon's tests share: starting one on a free port, talking to it, and stopping it. The
daemon tells its port through the notification socket, as it would tell a service manager."""

import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
SLUICED = os.path.join(BUILD, "bin", "sluiced")


def free_port():
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_sluiced(*args, env=None, timeout=20):
    """Runs sluiced to its end: for cases where it does not come to serve."""
    return subprocess.run(
        [SLUICED, *map(str, args)],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


class Response:
    """A complete response: status, headers with lower-case names, body bytes."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]


class Daemon:
    """A running sluiced. A context manager; leaving it stops the daemon and checks that it ended
    well."""

    def __init__(self, *args, env=None, wait=True):
        self.folder = tempfile.mkdtemp(prefix="sluice-e2e-")
        self.notify_path = os.path.join(self.folder, "notify")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.notify_path)
        self.notify.settimeout(20)
        self.log_path = os.path.join(self.folder, "log")
        self.states = []
        self.port = None
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [SLUICED, "--port", "0", "--log-level", "debug", *map(str, args)],
                env={**os.environ, "NOTIFY_SOCKET": self.notify_path, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            try:
                self.wait_until_ready()
            except BaseException:
                self.kill()
                raise

    def next_state(self, timeout=20):
        """The next notification as a dict of its lines."""
        self.notify.settimeout(timeout)
        lines = self.notify.recv(65536).decode().strip().split("\n")
        state = dict(line.split("=", 1) for line in lines)
        self.states.append(state)
        return state

    def wait_until_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            readable, _, _ = select.select([self.notify], [], [], 0.2)
            if readable:
                state = self.next_state()
                if state.get("READY") == "1":
                    self.port = int(re.search(r":(\d+)$", state["STATUS"]).group(1))
                    return
            elif self.process.poll() is not None:
                break
        raise AssertionError(f"sluiced did not come up:\n{self.log()}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    # --- talking to it
    def connect(self, timeout=20):
        """A plain TCP connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=40):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Response(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, value, **kwargs):
        return self.request("POST", path, body=json.dumps(value), **kwargs)

    def complete(self, **fields):
        """A completion that must succeed, as its JSON object."""
        response = self.post("/v1/completions", fields)
        assert response.status == 200, (response.status, response.body)
        return response.json()

    def stream(self, **fields):
        """A streamed completion that must succeed, as the list of its chunks; checks the framing
        and the [DONE]."""
        response = self.post("/v1/completions", {**fields, "stream": True})
        assert response.status == 200, (response.status, response.body)
        assert response.headers["content-type"].startswith("text/event-stream"), response.headers
        events = response.body.decode().split("\n\n")
        assert events.pop() == "", response.body
        assert all(event.startswith("data: ") for event in events), response.body
        payloads = [event.removeprefix("data: ") for event in events]
        assert payloads.pop() == "[DONE]", response.body
        return [json.loads(payload) for payload in payloads]

    def health(self):
        return self.get("/health").json()

    def wait_for(self, condition, what, timeout=10):
        """Polls /health until `condition(health)` holds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            health = self.health()
            if condition(health):
                return health
            time.sleep(0.02)
        raise AssertionError(f"never saw {what}; last: {health}")

    # --- ending it
    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=20):
        return self.process.wait(timeout)

    def stop(self):
        """Asks it to end and returns the exit status."""
        if self.process.poll() is None:
            self.signal()
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notify.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        try:
            if kind is None:
                status = self.stop()
                assert status == 0, f"sluiced ended with status {status}:\n{self.log()[-4000:]}"
        finally:
            self.kill()
