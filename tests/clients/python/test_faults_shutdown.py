"""SIGTERM under load: what runs is finished, nothing new is taken, the exit code is 0."""

import json
import threading
import time

from glyph_server import serving

N_CALLERS = 4
N_TOKENS = 400


def chunks(response):
    lines = [line.strip() for line in response if line.startswith(b"data: ")]
    assert lines.pop() == b"data: [DONE]"
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def test_running_answers_finish_and_the_port_is_free_again():
    with serving("--max-batch", "8") as server:
        options = {"stream_options": {"include_usage": True}}
        bodies = [
            server.endless(f"Caller {index}", max_tokens=N_TOKENS, **options)
            for index in range(N_CALLERS)
        ]
        running = threading.Barrier(N_CALLERS + 1)
        ends = [None] * N_CALLERS

        def call(index):
            with server.streaming(bodies[index]) as response:
                running.wait(timeout=30)
                ends[index] = chunks(response)

        threads = [threading.Thread(target=call, args=[index]) for index in range(N_CALLERS)]
        for thread in threads:
            thread.start()
        running.wait(timeout=30)
        server.terminate()
        refused = refusal(server)
        for thread in threads:
            thread.join(timeout=60)
        assert server.exit_code() == 0
        for end in ends:
            assert end is not None, "an answer was cut off"
            assert end[-2]["choices"][0]["finish_reason"] == "length"
            assert end[-1]["usage"]["completion_tokens"] == N_TOKENS
        assert refused in ("server_draining", "not connected")
        with serving(port=server.port) as again:
            again.assert_answers()


def refusal(server):
    """How a request is refused while the server stops."""
    while True:
        try:
            answer = server.post(
                "/v1/chat/completions",
                {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
            )
        except OSError:
            return "not connected"
        if answer.status != 200:
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) >= 1
            return answer.error["code"]


def test_the_time_to_finish_is_bounded():
    with serving("--drain-timeout", "1") as server:
        body = server.endless()
        with server.streaming(body):
            start = time.monotonic()
            server.terminate()
            assert server.exit_code() == 0
            # One second for the answer, five for connections.
            assert time.monotonic() - start < 8


def test_without_load_it_ends_at_once():
    with serving() as server:
        idle = server.connect()
        idle.connect()
        start = time.monotonic()
        server.terminate()
        assert server.exit_code() == 0
        assert time.monotonic() - start < 8
        idle.close()
