"""Requests that are meant to do harm. Each is refused, and the next good one is answered."""

import base64
import json
import time

import pytest

from documents import data_url, image_part, pages, user_message
from glyph_server import CHAT, question
from images import black, chunk, compressed_zeros, png

GIB = 1 << 30
# What a request of a megabyte may make the server take at once: far less than any bomb here holds.
MOST_GROWTH_BYTES = GIB // 4


@pytest.fixture(autouse=True)
def the_next_request_is_answered(server):
    yield
    server.assert_answers()


def image_request(data):
    return {"messages": [user_message([image_part(data_url(data))])], "max_tokens": 2}


def test_a_body_of_100_mb_is_refused(server):
    answer = server.post(CHAT, bytes(100_000_000))
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


def test_a_body_of_100_mb_without_a_length_is_refused(server):
    block = bytes(1_000_000)
    answer = server.post(CHAT, (block for _ in range(100)))
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


def test_a_client_that_leaves_in_the_middle_of_100_mb_does_no_harm(server):
    connection = server.connect()
    connection.putrequest("POST", CHAT)
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", "100000000")
    connection.endheaders(bytes(1_000_000))
    connection.close()


def test_a_truncated_png_is_refused(server):
    page = base64.b64decode(pages(server)["pages"][0]["png"])
    for n_bytes in (9, 40, len(page) // 2, len(page) - 20):
        answer = server.post(CHAT, image_request(page[:n_bytes]))
        assert (answer.status, answer.error["code"]) == (400, "invalid_image"), n_bytes
        assert answer.error["param"] == "messages[0].content[0].image_url.url"


BOMBS = {
    "a header that claims 10,000×10,000": lambda: png(10_000, 10_000, compressed_zeros(100)),
    "10,000×10,000 black pixels": lambda: black(10_000, 10_000),
    "a header that claims 2,000,000×2,000,000": lambda: png(2_000_000, 2_000_000, b""),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(server, name):
    body = image_request(BOMBS[name]())
    start = time.monotonic()
    answer = server.post(CHAT, body)
    assert time.monotonic() - start < 5
    assert (answer.status, answer.error["code"]) == (413, "image_too_large")


HIDDEN = {
    "a gigabyte behind 64×64 pixels": lambda: png(64, 64, compressed_zeros(GIB)),
    "a gigabyte of comment": lambda: png(
        64, 64, compressed_zeros(64 * 193), chunk(b"zTXt", b"Comment\0\0" + compressed_zeros(GIB))
    ),
    "a gigabyte of colour profile": lambda: png(
        64, 64, compressed_zeros(64 * 193), chunk(b"iCCP", b"profile\0\0" + compressed_zeros(GIB))
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden_behind_a_small_picture_takes_no_memory(server, name):
    body = image_request(HIDDEN[name]())
    before = server.peak_bytes()
    start = time.monotonic()
    answer = server.post(CHAT, body)
    assert time.monotonic() - start < 5
    # Decoders may pass over what is more than the picture needs, or refuse the file.
    assert answer.status in (200, 400), answer.body
    assert server.peak_bytes() - before < MOST_GROWTH_BYTES


def test_styles_of_large_pages_leave_little_behind(server):
    before = server.resident_bytes()
    for margin in range(16):
        # 48 million bytes while it is drawn, in a style that nobody has asked for before.
        style = {
            "page-size": "4000,4000",
            "dpi": 72,
            "font-color": "#FF0000",
            "margin-x": 100 + margin,
        }
        answer = server.post("/v1/pages", {"text": "A line of text.\n" * 300, "style": style})
        assert answer.status == 200, answer.body
        # And one whose pages the model may be given, if the plan has room for what is left of them.
        style = {**style, "auto-crop-width": True, "margin-x": 200 + margin}
        document = {"type": "document", "text": "word\n" * 100, "style": style}
        answer = server.post("/v1/tokenize", {"messages": [user_message([document])]})
        assert answer.status in (200, 422), answer.body
    assert server.resident_bytes() - before < MOST_GROWTH_BYTES


def test_what_is_not_utf_8_is_refused(server):
    for body in (b'{"messages": "\xff\xfe"}', b"\x80", b'{"a": "\xc3"}', b"\xff" * 1000):
        answer = server.post(CHAT, body)
        assert (answer.status, answer.error["code"]) == (400, "invalid_json"), body[:20]
        assert "UTF-8" in answer.error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{} {}",
        b"[" * 100_000,
        b'{"messages": ' + b'[{"a":' * 50_000,
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": 99999999999999999999}',
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": NaN}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_a_request_is_refused(server, body):
    answer = server.post(CHAT, body)
    assert answer.status == 400, answer.body
    assert answer.error["code"] in ("invalid_json", "invalid_value")


def test_characters_of_every_kind_are_read(server):
    text = "\0 \x01 \x7f \u200b \u202e \ufeff \ufffd \U0001f469\u200d\U0001f4bb \U0010ffff e\u0301"
    for part in ({"type": "text", "text": text}, {"type": "document", "text": text}):
        body = {"messages": [{"role": "user", "content": [part]}], "max_tokens": 2}
        answer = server.post(CHAT, body)
        assert answer.status == 200, answer.body


def test_a_body_that_stops_in_the_middle_holds_nobody_up(server):
    connections = [server.connect() for _ in range(20)]
    for connection in connections:
        connection.putrequest("POST", CHAT)
        connection.putheader("content-length", "1000")
        connection.endheaders(b'{"messages"')
    start = time.monotonic()
    server.assert_answers()
    assert time.monotonic() - start < 10
    for connection in connections:
        connection.close()
    name = "glyph_requests_in_flight"
    # The request for the metrics is in flight itself.
    server.wait_for("all given up", lambda series: series[name] == 1)


def test_many_broken_requests_at_once_leave_nothing_behind(server):
    body = json.dumps(question("Hello")).encode()
    for _ in range(30):
        for cut in (0, 1, len(body) // 2):
            connection = server.connect()
            connection.putrequest("POST", CHAT)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body[:cut])
            connection.close()
    server.wait_for("all given up", lambda series: series["glyph_requests_in_flight"] == 1)
    server.wait_running(0)
