# SPDX-License-Identifier: Apache-2.0
"""HTTP as hostile, slow and merely unusual clients speak it. Whatever they do, the daemon answers
by the book or hangs up, and goes on serving the others."""

import json
import random
import socket
import time
import unittest

from daemon import Daemon

FIELDS = {"prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}


def completion(body=None, version="1.1", extra=""):
    body = json.dumps(FIELDS) if body is None else body
    return (
        f"POST /v1/completions HTTP/{version}\r\nHost: x\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def read_all(connection):
    """Everything until the daemon hangs up."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def read_response(stream):
    """One response with a length from a binary file: status line, headers, body."""
    status = stream.readline().decode().strip()
    headers = {}
    while line := stream.readline().decode().strip():
        name, value = line.split(": ", 1)
        headers[name.lower()] = value
    return status, headers, stream.read(int(headers.get("content-length", 0)))


class HttpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--max-body-bytes", 65536, "--header-seconds", 1, "--body-seconds", 1,
                            "--keep-alive-seconds", 2, "--max-connections", 40)

    @classmethod
    def tearDownClass(cls):
        with cls.daemon:
            cls.daemon.complete(**FIELDS)

    def exchange(self, *pieces, pause=0.0):
        """Sends raw bytes, returns all that comes back until the daemon hangs up."""
        with self.daemon.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            return read_all(connection)

    def refused(self, status, *pieces):
        """The daemon must answer with `status` and an error object, and hang up."""
        received = self.exchange(*pieces)
        head, _, body = received.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 %d " % status), received[:200])
        self.assertIn(b"connection: close", head)
        self.assertTrue(json.loads(body)["error"]["message"])

    # --- limits
    def test_body_too_large(self):
        self.refused(413, completion("x" * 65537))
        self.refused(413, b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1" + b"0" * 15 +
                     b"\r\n\r\n")
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        self.refused(413, b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
                          b"\r\n\r\n" + chunk * 5)

    def test_a_body_of_the_largest_size(self):
        body = json.dumps(FIELDS)
        body += " " * (65536 - len(body))
        self.assertEqual(self.daemon.request("POST", "/v1/completions", body=body).status, 200)

    def test_header_too_large(self):
        self.refused(431, b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20000 + b"\r\n\r\n")
        self.refused(431, b"GET /" + b"a" * 20000)
        many = b"".join(b"X-%d: 1\r\n" % i for i in range(3000))
        self.refused(431, b"GET /health HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")

    def test_slow_header(self):
        started = time.monotonic()
        with self.daemon.connect() as connection:
            try:
                for byte in b"GET /health HTTP/1.1\r\nHost: " + b"x" * 100:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.03)
            except OSError:
                pass
            self.assertIn(b"408", read_all(connection)[:20])
        self.assertLess(time.monotonic() - started, 6)

    def test_slow_body(self):
        started = time.monotonic()
        self.refused(408, completion()[:-10])
        self.assertLess(time.monotonic() - started, 5)

    def test_silence(self):
        started = time.monotonic()
        self.assertEqual(self.exchange(), b"")
        self.assertLess(time.monotonic() - started, 4)

    def test_a_slow_client_does_not_slow_others(self):
        slow = [self.daemon.connect() for _ in range(20)]
        for connection in slow:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
        started = time.monotonic()
        self.daemon.complete(**FIELDS)
        self.assertLess(time.monotonic() - started, 2)
        for connection in slow:
            connection.close()

    def test_a_client_that_does_not_read(self):
        with Daemon("--write-seconds", 1, "--kv-tokens", 16384) as daemon:
            with socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(("127.0.0.1", daemon.port))
                # Pipelined answers of 64 KB pile up until nothing more fits into the socket.
                request = completion(json.dumps({"prompt": ["a" * 400] * 128, "max_tokens": 0,
                                                 "echo": True}))
                connection.settimeout(0.2)
                try:
                    for _ in range(200):
                        connection.sendall(request)
                except OSError:
                    pass
                deadline = time.monotonic() + 15
                while "client left" not in daemon.log() and time.monotonic() < deadline:
                    time.sleep(0.1)
                self.assertIn("client left", daemon.log())
            daemon.complete(**FIELDS)

    def test_too_many_connections(self):
        idle = [self.daemon.connect() for _ in range(40)]
        time.sleep(0.2)
        with self.daemon.connect() as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            received = read_all(connection)
        self.assertTrue(received.startswith(b"HTTP/1.1 503 "), received[:200])
        self.assertIn(b"retry-after", received)
        for connection in idle:
            connection.close()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and self.daemon.get("/health").status != 200:
            time.sleep(0.1)
        self.assertEqual(self.daemon.get("/health").status, 200)

    # --- connections
    def test_keep_alive_and_its_end(self):
        with self.daemon.connect() as connection, connection.makefile("rb") as stream:
            for _ in range(3):
                connection.sendall(completion())
                status, headers, _ = read_response(stream)
                self.assertEqual(status, "HTTP/1.1 200 OK")
                self.assertEqual(headers["connection"], "keep-alive")
            self.assertEqual(stream.read(1), b"")  # after --keep-alive-seconds

    def test_connection_close(self):
        received = self.exchange(completion(extra="Connection: close\r\n"))
        self.assertIn(b"connection: close", received)

    def test_pipelining(self):
        requests = [completion(), b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", completion(),
                    b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
        for pieces in ([b"".join(requests)], requests,
                       [bytes([byte]) for byte in b"".join(requests[1:])]):
            received = self.exchange(*pieces)
            expected = 4 if pieces[0] != b"G" else 3
            self.assertEqual(received.count(b"HTTP/1.1 "), expected, received)
            self.assertLess(received.index(b'"status":"ok"'), received.index(b"HTTP/1.1 404"))

    def test_http_1_0(self):
        received = self.exchange(completion(version="1.0"))
        self.assertIn(b"200 OK", received)
        stream = json.dumps({**FIELDS, "stream": True})
        received = self.exchange(completion(stream, version="1.0"))
        self.assertNotIn(b"chunked", received)
        self.assertTrue(received.endswith(b"data: [DONE]\n\n"), received)

    def test_chunked_request(self):
        body = json.dumps(FIELDS).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7])
                          for i in range(0, len(body), 7))
        received = self.exchange(
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n" + chunks + b"0\r\n\r\n"
        )
        self.assertIn(b"200 OK", received)

    def test_expect_continue(self):
        body = json.dumps(FIELDS).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        with self.daemon.connect() as connection, connection.makefile("rb") as stream:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
            self.assertEqual(stream.readline(), b"HTTP/1.1 100 Continue\r\n")
            self.assertEqual(stream.readline(), b"\r\n")
            connection.sendall(body)
            self.assertEqual(read_response(stream)[0], "HTTP/1.1 200 OK")
        self.refused(413, head + b"Content-Length: 99999999\r\n\r\n")
        self.refused(417, head.replace(b"100-continue", b"200-ok") + b"Content-Length: 1\r\n\r\n")

    def test_target_in_absolute_form(self):
        received = self.exchange(
            b"GET http://x:80/health?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        self.assertIn(b"200 OK", received)

    # --- what is not HTTP
    def test_malformed_requests(self):
        for request in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\nBad Name: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\x00y\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",  # no host
            b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n"
            b"\r\n{} ",
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n{}",
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ):
            with self.subTest(request=request[:90]):
                self.refused(400, request)

    def test_codings_that_are_not_spoken(self):
        post = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
        self.refused(415, post + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")
        for coding in (b"gzip, chunked", b"gzip", b"chunked, chunked", b"identity"):
            received = self.exchange(post + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n")
            self.assertRegex(received[:13], rb"^HTTP/1.1 (501|400) ", coding)

    def test_random_bytes(self):
        source = random.Random(1)
        for _ in range(150):
            with self.daemon.connect() as connection:
                connection.sendall(source.randbytes(source.randrange(1, 3000)))
                connection.shutdown(socket.SHUT_WR)
                read_all(connection)
        self.assertEqual(self.daemon.health()["status"], "ok")

    def test_mutated_requests(self):
        """A valid request with a few bytes changed, dropped, doubled or cut off."""
        source = random.Random(2)
        originals = [
            completion(), completion(json.dumps({**FIELDS, "stream": True, "stop": ["a", "."]})),
            completion(json.dumps({**FIELDS, "prompt": [[1, 5], [1, 6]], "n": 2, "logit_bias": {}})),
            b"GET /v1/models/x%20y HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\n\r\n",
        ]
        for round_ in range(350):
            request = bytearray(source.choice(originals))
            for _ in range(source.randrange(1, 6)):
                at = source.randrange(len(request))
                kind = source.randrange(4)
                if kind == 0:
                    request[at] = source.randrange(256)
                elif kind == 1:
                    del request[at : at + source.randrange(1, 8)]
                elif kind == 2:
                    request[at:at] = request[at : at + source.randrange(1, 40)] * 2
                else:
                    request[at:at] = source.choice([b"[", b"{", b"9" * 30, b"\xff", b"\r\n", b"-", b'"'])
            with self.daemon.connect() as connection:
                try:
                    connection.sendall(request)
                    if round_ % 10:  # the others wait for their answer, or for a time limit
                        connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                received = read_all(connection)
            if received:
                self.assertTrue(received.startswith(b"HTTP/1.1 "), received[:100])
                self.assertNotIn(b"HTTP/1.1 500", received)
        self.assertEqual(self.daemon.health()["status"], "ok")
        self.daemon.complete(**FIELDS)


if __name__ == "__main__":
    unittest.main()
