"""The request that the original's own clients send, field by field: pages as PNG data URLs in
order, the question behind them, and the settings of its demo and of its evaluation."""

import pytest

from documents import page_parts, pages, user_message
from streams import joined

# As its demo sends them; what OpenAI's API does not know goes through `extra_body`.
SETTINGS = {"max_tokens": 8192, "top_p": 1.0, "temperature": 0.0001, "logprobs": False}
EXTRA = {
    "top_k": 1,
    "repetition_penalty": 1.1,
    "skip_special_tokens": False,
    "stop_token_ids": [151329, 151348, 151336],
    "include_stop_str_in_output": True,
}


@pytest.fixture(scope="module")
def drawn(server):
    return pages(server)


def ask(client, drawn, extra=None, **settings):
    messages = [user_message(page_parts(drawn))]
    body = {**EXTRA, **(extra or {})}
    return client.chat.completions.create(
        model="", messages=messages, **{**SETTINGS, **settings}, extra_body=body
    )


def assert_true(usage, drawn, server):
    """Checks the prompt's counts against those of /v1/tokenize and of the pages."""
    counts = server.post("/v1/tokenize", {"messages": [user_message(page_parts(drawn))]}).json()
    assert usage.prompt_tokens == counts["total_tokens"]
    assert usage.prompt_tokens_details.image_tokens == drawn["vision_tokens"]
    assert counts["image_tokens"] == drawn["vision_tokens"]
    assert counts["pages"] == len(drawn["pages"])
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 1 <= usage.completion_tokens <= SETTINGS["max_tokens"]


def test_whole_and_streamed_answers_are_the_same_with_true_usage(client, drawn, server):
    whole = ask(client, drawn)
    [choice] = whole.choices
    assert_true(whole.usage, drawn, server)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = joined(ask(client, drawn, **options))
    [usage] = streamed.usages
    assert_true(usage, drawn, server)
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert streamed.text == choice.message.content
    assert streamed.finish_reasons == [choice.finish_reason]


def test_the_model_may_be_missing(drawn, server, model):
    body = {"messages": [user_message(page_parts(drawn))], **SETTINGS, **EXTRA}
    answer = server.post("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    assert answer.json()["model"] == model


def test_the_settings_of_its_evaluation_are_taken(client, drawn, server):
    answer = ask(
        client,
        drawn,
        {"top_k": -1, "include_stop_str_in_output": False},
        top_p=0.85,
        temperature=0.3,
        seed=1,
    )
    assert_true(answer.usage, drawn, server)
