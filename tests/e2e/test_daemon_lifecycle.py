# SPDX-License-Identifier: Apache-2.0
"""The daemon's life: settings and their priority, what keeps it from starting, what it tells the
service manager, and how it ends."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from daemon import ROOT, SLUICED, Daemon, free_port, run_sluiced

LONG = {"prompt": "The old woman took the", "max_tokens": 500, "ignore_eos": True, "stream": True}


def start_stream(daemon, fields):
    """Begins a streamed completion; returns the connection and its file after the first chunk."""
    body = json.dumps(fields).encode()
    connection = daemon.connect()
    connection.sendall(
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    stream = connection.makefile("rb")
    while not stream.readline().startswith(b"data: "):
        pass
    return connection, stream


class StartTest(unittest.TestCase):
    def fails(self, status, *args, env=None):
        """sluiced must end with this status and one message; returns the message."""
        result = run_sluiced(*args, env=env)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        lines = result.stderr.strip().split("\n")
        self.assertTrue(all(line.startswith("sluiced: ") for line in lines), result.stderr)
        return lines[-1]

    def config(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False)
        self.addCleanup(os.unlink, file.name)
        with file:
            file.write(text)
        return file.name

    def test_port_in_use(self):
        with Daemon() as daemon:
            message = self.fails(1, "--port", daemon.port)
            self.assertIn(str(daemon.port), message)
            self.assertIn("in use", message.lower())
        with socket.create_server(("127.0.0.1", 0)) as other:
            self.fails(1, "--port", other.getsockname()[1])

    def test_an_address_that_is_not_ours(self):
        self.assertIn("192.0.2.1", self.fails(1, "--host", "192.0.2.1", "--port", 0))
        self.assertIn("no.such.host.invalid", self.fails(1, "--host", "no.such.host.invalid"))

    def test_missing_and_broken_models(self):
        self.assertIn("/no/model.gguf", self.fails(1, "--port", 0, "-m", "/no/model.gguf"))
        self.assertIn(ROOT, self.fails(1, "--port", 0, "-m", ROOT))
        self.assertIn("README", self.fails(1, "--port", 0, "-m", self.not_a_model()))

    def not_a_model(self):
        path = os.path.join(tempfile.mkdtemp(), "README")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        with open(path, "w", encoding="ascii") as file:
            file.write("This is no model. " * 100)
        return path

    def test_wrong_usage(self):
        self.assertIn("--prot", self.fails(2, "--prot", 80))
        self.assertIn("extra", self.fails(2, "--", "extra"))
        self.assertIn("--port", self.fails(2, "--port"))
        for value in ("x", "65536", "1e3", "", "0x50", "99999999999999999999"):
            message = self.fails(2, f"--port={value}")
            self.assertIn("port", message, value)
        self.assertIn("debug|info|warn|error", self.fails(2, "--log-level", "loud"))
        self.assertIn("auto|cpu|emu", self.fails(2, "--device", "abacus"))
        self.assertIn("max_batch_tokens",
                      self.fails(2, "--max-batch-tokens", 16, "--max-sequences", 17))
        self.assertIn("SLUICED_THREADS", self.fails(2, env={"SLUICED_THREADS": "many"}))
        self.assertIn("control", self.fails(2, "--cors-origin", "a\r\nx: y"))

    def test_wrong_configuration_files(self):
        for text, expected in (
            ("port = 8080\nprot = 8081\n", ":2: prot: no such setting"),
            ('port = "8080"\n', ":1: port: expected a whole number"),
            ("port = 80.5\n", "expected a whole number"),
            ("\nmax_queue = -1\n", ":2: max_queue: expected a whole number from 1"),
            ("model = 7\n", "model: expected a string"),
            ("[server]\nport = 80\n", "server: no such setting"),
            ('config = "other.toml"\n', "config: no such setting"),
            ("port = \n", ":1: "),
            ('model = "a"\nmodel = "b"\n', ":2: "),
        ):
            path = self.config(text)
            message = self.fails(2, "--config", path)
            self.assertIn(path, message)
            self.assertIn(expected, message)
        self.assertIn("/no/file.toml", self.fails(1, "--config", "/no/file.toml"))
        self.fails(1, "--config", ROOT)

    def test_key_files(self):
        self.assertIn("/no/keys", self.fails(1, "--port", 0, "--api-key-file", "/no/keys"))
        empty = self.config("# nothing\n")
        self.assertIn("no API key", self.fails(1, "--port", 0, "--api-key-file", empty))

    def test_help_and_version(self):
        result = run_sluiced("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for flag in ("-m", "--model", "--config", "--drain-seconds", "-t", "[8080]", "auto|cpu|emu"):
            self.assertIn(flag, result.stdout)
        result = run_sluiced("--version")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        with open(os.path.join(ROOT, "VERSION"), encoding="ascii") as version:
            self.assertEqual(result.stdout.strip(), f"sluiced {version.read().strip()}")

    def test_priority_of_settings(self):
        """The model's name shows which source won."""
        path = self.config('model_name = "of-the-file"\nmax_queue = 3\n')

        def serve(*args, **env):
            with Daemon(*args, env=env) as daemon:
                too_many = daemon.post("/v1/completions", {"prompt": ["a"] * 4})
                name = daemon.get("/v1/models").json()["data"][0]["id"]
                return name, too_many.status

        self.assertEqual(serve(), ("tales-7m", 200))
        self.assertEqual(serve("--config", path), ("of-the-file", 400))
        self.assertEqual(serve(SLUICED_CONFIG=path), ("of-the-file", 400))
        self.assertEqual(
            serve("--config", path, SLUICED_MODEL_NAME="of-the-environment"),
            ("of-the-environment", 400),
        )
        self.assertEqual(
            serve("--config", path, "--model-name", "of the flags",
                  SLUICED_MODEL_NAME="of-the-environment", SLUICED_MAX_QUEUE="4"),
            ("of the flags", 200),
        )

    def test_weights_may_be_in_huge_pages(self):
        request = {"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}
        for place in ("mapped", "huge-pages"):
            with Daemon("--weights", place) as daemon:
                text = daemon.post("/v1/completions", request).json()["choices"][0]["text"]
                self.assertEqual(text, " there was a man who had a daughter")
        self.assertIn("weights", self.fails(2, "--weights", "on-disk"))

    def test_the_shipped_settings_file_shows_the_defaults(self):
        with open(os.path.join(ROOT, "daemon/systemd/sluiced.toml"), encoding="utf-8") as file:
            text = file.read()
        shown, n_settings = re.subn(r"^# (\w+ = )", r"\1", text, flags=re.M)
        self.assertGreater(n_settings, 10)
        shown = re.sub(r"^(model|port) = .*", "", shown, flags=re.M)
        with Daemon("--config", self.config(shown)) as daemon:
            self.assertEqual(daemon.health()["status"], "ok")

    def test_a_model_from_a_file(self):
        with Daemon("-m", os.path.join(ROOT, "models/tales-7m-f16.gguf"), "-t", 1) as daemon:
            listed = daemon.get("/v1/models").json()["data"][0]
            self.assertEqual(listed["meta"]["threads"], 1)
            daemon.complete(prompt="Once", max_tokens=2)

    def test_a_terminal_gets_a_hint(self):
        main, terminal = os.openpty()
        process = subprocess.Popen([SLUICED, "--port", str(free_port())], stderr=terminal,
                                   stdin=subprocess.DEVNULL)
        os.close(terminal)
        shown = ""
        try:
            while "stream" not in shown:
                shown += os.read(main, 4096).decode()
        finally:
            process.terminate()
            self.assertEqual(process.wait(20), 0)
            os.close(main)
        self.assertIn("curl http://127.0.0.1:", shown)


class EndTest(unittest.TestCase):
    def test_sigterm_lets_a_stream_finish(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Daemon() as daemon:
                idle = daemon.connect()
                connection, stream = start_stream(daemon, {**LONG, "max_tokens": 200})
                daemon.signal(number)
                deadline = time.monotonic() + 5
                while time.monotonic() < deadline:  # until nobody can come in
                    try:
                        daemon.connect().close()
                    except ConnectionResetError:
                        pass  # came in the moment the port closed
                    except ConnectionRefusedError:
                        break
                with self.assertRaises(ConnectionRefusedError):
                    daemon.connect()
                rest = stream.read()
                self.assertIn(b"data: [DONE]", rest)
                self.assertIn(b'"completion_tokens":200', rest)
                self.assertEqual(idle.recv(10), b"")
                self.assertEqual(daemon.wait(), 0)
                connection.close()
                while "STOPPING" not in daemon.states[-1]:
                    daemon.next_state()

    def test_queued_requests_finish_too(self):
        with Daemon("--max-sequences", 1) as daemon:
            streams = [start_stream(daemon, {**LONG, "max_tokens": 400})]
            body = json.dumps({"prompt": "a", "max_tokens": 5}).encode()
            waiting = daemon.connect()
            waiting.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
                            % len(body) + body)
            daemon.wait_for(lambda health: health["waiting"] == 1, "one waiting")
            daemon.signal()
            received = b"".join(iter(lambda: waiting.recv(65536), b""))
            self.assertIn(b"200 OK", received)
            self.assertIn(b"connection: close", received)
            self.assertIn(b"[DONE]", streams[0][1].read())
            self.assertEqual(daemon.wait(), 0)

    def test_drain_has_a_limit(self):
        with Daemon("--drain-seconds", 0) as daemon:
            connection, stream = start_stream(daemon, {**LONG, "n": 64})
            started = time.monotonic()
            daemon.signal()
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - started, 5)
            self.assertNotIn(b"[DONE]", stream.read())
            connection.close()
            self.assertIn("did not finish in time", daemon.log())

    def test_a_second_signal_ends_at_once(self):
        daemon = Daemon()
        try:
            connection, _ = start_stream(daemon, {**LONG, "n": 64})
            daemon.signal()
            while "STOPPING" not in daemon.next_state():
                pass
            daemon.signal()
            self.assertEqual(daemon.wait(5), 1)
            connection.close()
        finally:
            daemon.kill()


class ServiceTest(unittest.TestCase):
    def test_notifications(self):
        with Daemon() as daemon:
            self.assertEqual(daemon.states[0], {"STATUS": "Loading the model"})
            self.assertEqual(daemon.states[-1]["READY"], "1")
            self.assertIn("tales-7m", daemon.states[-1]["STATUS"])
            daemon.connect().close()  # ready means that the port is open
            daemon.signal()
            state = daemon.next_state()
            self.assertEqual(state["STOPPING"], "1")
            self.assertIn("Draining", state["STATUS"])
            with self.assertRaises(TimeoutError):
                daemon.next_state(timeout=0.5)  # and no watchdog that nobody asked for

    def test_watchdog(self):
        with Daemon(env={"WATCHDOG_USEC": "600000"}) as daemon:
            started = time.monotonic()
            for _ in range(5):  # while idle
                self.assertEqual(daemon.next_state(timeout=0.6), {"WATCHDOG": "1"})
            self.assertGreater(time.monotonic() - started, 0.3)
            connection, stream = start_stream(daemon, LONG)
            for _ in range(3):  # and while at work
                self.assertEqual(daemon.next_state(timeout=0.6), {"WATCHDOG": "1"})
            connection.close()
            stream.close()

    def test_a_stopped_process_pings_no_more(self):
        with Daemon(env={"WATCHDOG_USEC": "600000"}) as daemon:
            daemon.next_state(timeout=1)
            daemon.signal(signal.SIGSTOP)
            try:
                with self.assertRaises(TimeoutError):
                    for _ in range(3):
                        daemon.next_state(timeout=1)
            finally:
                daemon.signal(signal.SIGCONT)

    def test_unit_file(self):
        """systemd-analyze wants the program where the unit says, so it gets the built one's path."""
        with open(os.path.join(ROOT, "daemon/systemd/sluiced.service"), encoding="utf-8") as file:
            unit = file.read()
        self.assertIn("\nType=notify\n", unit)
        self.assertEqual(unit.count("/usr/bin/sluiced"), 1)
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "sluiced.service")
        with open(path, "w", encoding="utf-8") as file:
            file.write(unit.replace("/usr/bin/sluiced", SLUICED))
        verify = subprocess.run(["systemd-analyze", "verify", "--man=no", path],
                                capture_output=True, text=True, check=False)
        self.assertEqual((verify.returncode, verify.stdout + verify.stderr), (0, ""))
        security = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
            capture_output=True, text=True, check=False)
        self.assertEqual(security.returncode, 0, security.stdout[-200:])

    def test_man_page(self):
        page = os.path.join(ROOT, "docs/man/sluiced.8")
        result = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page],
                                capture_output=True, text=True, env={**os.environ, "MANWIDTH": "80"},
                                check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        plain = re.sub(r".\x08", "", result.stdout).replace("\u2010", "-")
        for flag in re.findall(r"--[a-z-]+", run_sluiced("--help").stdout):
            self.assertIn(flag, plain)


if __name__ == "__main__":
    unittest.main()
