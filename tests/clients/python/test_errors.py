"""Errors as the client's own classes, with a code, the field and what to do."""

import openai
import pytest

from conftest import API_KEY, FILE_KEY
from documents import image_part, user_message
from glyph_server import CHAT

HELLO = [{"role": "user", "content": "Hello"}]


def raised(kind, ask):
    """The error that a request ends with: of this class, and of none derived from it."""
    with pytest.raises(kind) as caught:
        ask()
    error = caught.value
    assert type(error) is kind
    assert error.body["message"]
    assert error.body["type"]
    assert error.code
    return error


def test_a_key_is_asked_for(keyed_server, server):
    for key in ("wrong", API_KEY[:-1], f"{API_KEY}x", "none"):
        error = raised(openai.AuthenticationError, keyed_server.client(key).models.list)
        assert error.code == "invalid_api_key"
        assert key not in error.message or key == "none"
    for key in (API_KEY, FILE_KEY):
        client = keyed_server.client(key)
        [model] = client.models.list().data
        answer = client.chat.completions.create(model=model.id, messages=HELLO, max_tokens=2)
        assert answer.usage.completion_tokens > 0
        # A server without keys takes any.
        assert server.client(key).models.list().data
    answer = keyed_server.post(CHAT, {"messages": HELLO})
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_is_asked_for_before_anything_else(keyed_server):
    client = keyed_server.client("wrong")
    for ask in [
        lambda: client.chat.completions.create(model="x", messages=[]),
        lambda: client.completions.create(model="x", prompt=""),
        lambda: client.models.retrieve("x"),
    ]:
        raised(openai.AuthenticationError, ask)
    assert keyed_server.request("GET", "/metrics").status == 401
    assert keyed_server.request("GET", "/health").status == 200
    assert keyed_server.request("GET", "/ready").status == 200


def test_a_model_that_is_not_served_is_not_found(client):
    def ask():
        client.chat.completions.create(model="gpt-4", messages=HELLO)

    error = raised(openai.NotFoundError, ask)
    assert (error.code, error.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"stop": [1]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"extra_body": {"top_k": -2}}, "top_k"),
        ({"extra_body": {"repetition_penalty": 0}}, "repetition_penalty"),
        ({"extra_body": {"stop_token_ids": ["a"]}}, "stop_token_ids[0]"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ],
    ids=lambda value: str(value),
)
def test_a_wrong_value_is_named(client, model, settings, param):
    def ask():
        settings_of_all = {"model": model, "messages": HELLO, "max_tokens": 2, **settings}
        list(client.chat.completions.create(**settings_of_all))

    error = raised(openai.BadRequestError, ask)
    assert (error.code, error.param) == ("invalid_value", param)
    assert error.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,AAAA", "invalid_image"),
        ("data:image/png;base64,%%%", "invalid_image"),
        ("data:image/gif;base64,R0lGODlh", "invalid_image"),
        ("data:text/plain;base64,aGk=", "invalid_image"),
        ("data:image/png,raw", "invalid_image"),
        ("file:///etc/hostname", "invalid_value"),
        ("https://127.0.0.1/page.png", "remote_images_disabled"),
        ("", "invalid_value"),
    ],
)
def test_a_wrong_image_is_named(client, model, url, code):
    def ask():
        messages = [user_message([image_part(url)])]
        client.chat.completions.create(model=model, messages=messages)

    error = raised(openai.BadRequestError, ask)
    assert (error.code, error.param) == (code, "messages[0].content[0].image_url.url")


def test_a_prompt_beyond_the_context_is_refused_with_the_figures(client, model):
    most_tokens = client.models.retrieve(model).max_model_len
    content = "word " * most_tokens

    def ask():
        messages = [{"role": "user", "content": content}]
        client.chat.completions.create(model=model, messages=messages)

    error = raised(openai.BadRequestError, ask)
    assert error.code == "context_length_exceeded"
    assert str(most_tokens) in error.message


def test_more_pages_than_the_limit_are_refused(client, model):
    most_pages = client.models.retrieve(model).max_pages
    parts = [image_part("data:image/png;base64,AAAA")] * (most_pages + 1)

    def ask():
        client.chat.completions.create(model=model, messages=[user_message(parts)])

    error = raised(openai.APIStatusError, ask)
    assert (error.status_code, error.code) == (413, "too_many_pages")
    assert str(most_pages) in error.message


def test_a_route_that_does_not_exist_is_not_found(client):
    error = raised(openai.NotFoundError, lambda: client.embeddings.create(model="x", input="y"))
    assert error.code == "not_found"


def test_a_method_that_a_route_does_not_take(client):
    def ask():
        client.get("/chat/completions", cast_to=object)

    error = raised(openai.APIStatusError, ask)
    assert (error.status_code, error.code) == (405, "method_not_allowed")
    assert "POST" in error.response.headers["allow"]


def test_a_body_of_another_type_is_refused(server):
    answer = server.post(CHAT, b"hello", {"content-type": "text/plain"})
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


def test_a_client_that_gives_up_frees_its_place(server, model):
    client = server.client(timeout=0.5)
    body = {**server.endless(), "model": model}
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**body)
    server.wait_running(0, timeout_s=5)
    server.assert_answers()
