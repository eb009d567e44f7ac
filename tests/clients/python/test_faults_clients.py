"""Callers that go away, that are too many, or that do not read what they asked for."""

import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from glyph_server import CHAT, serving

# Streams an answer and says when its first token has come.
STREAMING_CLIENT = """
import json, sys
import openai
url, body = sys.argv[1], json.loads(sys.argv[2])
client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
for chunk in client.chat.completions.create(model="", stream=True, **body):
    if chunk.choices and chunk.choices[0].delta.content:
        print("token", flush=True)
"""


SHORT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}


def test_a_client_that_is_killed_frees_its_place(server):
    body = json.dumps(server.endless())
    command = [sys.executable, "-c", STREAMING_CLIENT, f"{server.url}/v1", body]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout.readline() == "token\n"
        server.wait_running(1)
        client.send_signal(signal.SIGKILL)
        # Its answer had thousands of tokens to go.
        assert server.wait_running(0) < 2
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
    server.assert_answers()


def test_a_client_that_closes_its_stream_frees_its_place(client, model, server):
    body = {**server.endless(), "model": model, "stream": True}
    with client.chat.completions.create(**body) as stream:
        for _ in range(3):
            next(stream)
        server.wait_running(1)
    assert server.wait_running(0) < 2
    server.assert_answers()


def test_the_log_says_what_a_client_took_before_it_went_away(tmp_path):
    def lines_of_the_client():
        # Behind the last line break a line may be unfinished.
        whole = (tmp_path / "glyph.log").read_text().split("\n")[:-1]
        return [line for line in map(json.loads, whole) if line.get("status") == 499]

    with serving("--log-format", "json", "--log-file", str(tmp_path)) as server:
        with server.streaming(server.endless()):
            server.wait_running(1)
        server.wait_for("its line in the log", lambda _series: lines_of_the_client())
        [line] = lines_of_the_client()
        assert line["prompt_tokens"] > 0
        assert line["completion_tokens"] > 0


def test_the_log_says_whose_head_was_refused(tmp_path):
    def lines_of_the_head():
        # Behind the last line break a line may be unfinished.
        whole = (tmp_path / "glyph.log").read_text().split("\n")[:-1]
        return [line for line in map(json.loads, whole) if line.get("reason") == "malformed"]

    with serving("--log-format", "json", "--log-file", str(tmp_path)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            host, port = connection.getsockname()
            connection.sendall(b"no request\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        server.wait_for("its line in the log", lambda _series: lines_of_the_head())
        [line] = lines_of_the_head()
        assert line["address"] == f"{host}:{port}"


def test_a_caller_that_waits_and_goes_away_leaves_the_queue():
    with serving("--max-batch", "1", "--queue", "4") as server:
        with server.streaming(server.endless()):
            waiting = server.connect()
            waiting.request("POST", CHAT, json.dumps(SHORT))
            server.wait_for("one waits", lambda series: series["glyph_queue_length"] == 1)
            waiting.close()
            server.wait_for("none waits", lambda series: series["glyph_queue_length"] == 0)
        server.wait_running(0)
        server.assert_answers()


def test_a_full_queue_says_when_to_come_again():
    with serving("--max-batch", "1", "--queue", "1") as server:
        body = server.endless()
        with server.streaming(body):
            waiting = server.connect()
            waiting.request("POST", CHAT, json.dumps(SHORT))
            server.wait_for("one waits", lambda series: series["glyph_queue_length"] == 1)
            with pytest.raises(openai.RateLimitError) as caught:
                server.client().chat.completions.create(model="", **SHORT)
            error = caught.value
            assert (error.code, error.type) == ("queue_full", "rate_limit_error")
            assert int(error.response.headers["retry-after"]) >= 1
            assert server.metrics()['glyph_rejections_total{reason="queue_full"}'] == 1
        # Who ran has gone away: who waited is answered.
        answer = waiting.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["choices"]
        waiting.close()
        server.assert_answers()


def test_the_client_comes_again_by_itself():
    """OpenAI's client honours Retry-After: a queue that is full for a while is no error to it."""
    with serving("--max-batch", "1", "--queue", "1") as server, ThreadPoolExecutor() as pool:
        patient = server.client(max_retries=10)
        with server.streaming(server.endless()):
            waiting = pool.submit(server.post, CHAT, SHORT)
            server.wait_for("one waits", lambda series: series["glyph_queue_length"] == 1)
            coming_again = pool.submit(patient.chat.completions.create, model="", **SHORT)
            refused = 'glyph_rejections_total{reason="queue_full"}'
            server.wait_for("one is refused", lambda series: series.get(refused, 0) >= 1)
        assert waiting.result().status == 200
        assert coming_again.result().usage.completion_tokens >= 1


def test_a_client_that_does_not_read_holds_nobody_up(server):
    body = json.dumps({**server.endless(), "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    silent = []
    for _ in range(4):
        connection = socket.create_connection(("127.0.0.1", server.port))
        # A small buffer is full after a few tokens.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head + body)
        silent.append(connection)
    server.wait_running(4)
    start = time.monotonic()
    server.assert_answers()
    assert time.monotonic() - start < 10
    for connection in silent:
        connection.close()
    server.wait_running(0)
    server.assert_answers()
