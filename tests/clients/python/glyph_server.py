"""A real `glyph serve` for a test: a process of its own on a free port."""

import http.client
import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import openai

ROOT = Path(__file__).resolve().parents[3]
MODEL_DIRECTORY = ROOT / "models" / "glyph-mini"

CHAT = "/v1/chat/completions"

# Makes an answer long whatever the weights are. At this temperature any token may be the first;
# once it is in the answer, it is by far the most likely one at every later place.
ENDLESS = {"temperature": 10, "presence_penalty": -100, "frequency_penalty": -100}
# One of so many seeds draws a first token that does not end the answer.
N_SEEDS = 32

# A server that does not answer within this time never will.
START_TIMEOUT_S = 60
REQUEST_TIMEOUT_S = 60


def binary():
    """The `glyph` to test; `cargo xtask clients` builds it and names it here."""
    path = os.environ.get("GLYPH_BINARY")
    if not path:
        raise RuntimeError("GLYPH_BINARY is not set. Run these tests with cargo xtask clients")
    return path


class Answer:
    """A whole HTTP answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The error object; a body that is none fails the test."""
        error = self.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        return error


class Server:
    """A running server. `command` goes in front of `glyph`, to change what it runs in."""

    def __init__(self, *options, command=(), port=0, popen_options=None):
        self.log = tempfile.TemporaryFile()
        # Options of the caller's environment would change what is tested.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("GLYPH_")
        }
        arguments = [*command, binary(), "serve", "--host", "127.0.0.1", "--port", str(port)]
        self.process = subprocess.Popen(
            [*arguments, *options],
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
            **(popen_options or {}),
        )
        try:
            self.url = self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_ready(self):
        lines = queue.Queue()

        def read():
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise RuntimeError(f"glyph serve is not ready after {START_TIMEOUT_S} s") from None
            if line is None:
                raise RuntimeError(f"glyph serve has ended: {self.log_text()}")
            found = re.search(r"is ready at (http://\S+)", line)
            if found:
                return found[1]

    @property
    def port(self):
        return urlsplit(self.url).port

    def log_text(self):
        """What the server has written to standard error."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def client(self, api_key="none", **options):
        """OpenAI's client for this server. It asks once only, so that errors are seen."""
        options = {"max_retries": 0, "timeout": REQUEST_TIMEOUT_S, **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=api_key, **options)

    def connect(self):
        """A connection for what no client would send."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)

    def request(self, method, path, body=None, headers=None):
        """One request on a connection of its own. The body is an object, bytes, or pieces of them,
        which are sent without a length."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        connection = self.connect()
        try:
            headers = {"content-type": "application/json", **(headers or {})}
            connection.request(method, path, body=body, headers=headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def post(self, path, body, headers=None):
        return self.request("POST", path, body, headers)

    def metrics(self, headers=None):
        """All series of /metrics by name and labels, as written there."""
        answer = self.request("GET", "/metrics", headers=headers)
        assert answer.status == 200, answer.body
        lines = answer.body.decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def resident_bytes(self):
        """The memory that the process has now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s*(\d+) kB$", status, re.MULTILINE)[1]) << 10

    def peak_bytes(self):
        """The most memory that the process has had at once."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) << 10

    def wait_for(self, what, is_so, timeout_s=20):
        """Waits until the metrics are as asked; returns the seconds that it took."""
        start = time.monotonic()
        while not is_so(self.metrics()):
            assert time.monotonic() - start < timeout_s, f"not yet after {timeout_s} s: {what}"
            time.sleep(0.02)
        return time.monotonic() - start

    def wait_running(self, n_requests, timeout_s=20):
        """Waits until so many requests have a place in the batch."""
        name = "glyph_requests_running"
        what = f"{name} is {n_requests}"
        return self.wait_for(what, lambda series: series[name] == n_requests, timeout_s)

    def assert_answers(self):
        """A good request is answered."""
        answer = self.post(CHAT, {**question("Are you there?"), "max_tokens": 4})
        assert answer.status == 200, answer.body
        assert answer.json()["usage"]["completion_tokens"] >= 1

    def endless(self, text="Tell me more.", **fields):
        """The body of a chat request whose answer goes on until it is as long as it may be."""
        for seed in range(N_SEEDS):
            body = {**question(text), **ENDLESS, "seed": seed, **fields}
            probe = {**body, "max_tokens": 4, "stream": False}
            answer = self.post(CHAT, probe)
            assert answer.status == 200, answer.body
            if answer.json()["choices"][0]["finish_reason"] == "length":
                return body
        raise AssertionError(f"every first token of {N_SEEDS} draws ends the answer")

    @contextmanager
    def streaming(self, body):
        """An open connection with a streamed answer under way: at least one token has come."""
        connection = self.connect()
        try:
            data = json.dumps({**body, "stream": True}).encode()
            connection.request("POST", CHAT, data, {"content-type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            for line in response:
                if b'"content":"' in line and b'"content":""' not in line:
                    break
            yield response
        finally:
            connection.close()

    def terminate(self):
        """Tells it to stop, as an orchestrator does."""
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, timeout_s=60):
        """Waits for its end."""
        return self.process.wait(timeout=timeout_s)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


@contextmanager
def serving(*options, **how):
    """A server for the length of a block."""
    server = Server(*options, **how)
    try:
        yield server
    finally:
        server.kill()


def question(text):
    """The body of a chat request with one question."""
    return {"messages": [{"role": "user", "content": text}]}
