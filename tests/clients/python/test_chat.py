"""`client.chat.completions`: whole and streamed, and the settings of an answer."""

import asyncio
import time

import openai
import pytest

from glyph_server import REQUEST_TIMEOUT_S
from streams import joined

PROMPTS = ["Hello", "What is 2 + 3?", "你好,世界", "Ünïcode — 🙂"]


def ask(client, model, text="Say hello.", **settings):
    messages = [{"role": "user", "content": text}]
    settings = {"max_tokens": 24, **settings}
    return client.chat.completions.create(model=model, messages=messages, **settings)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_streamed_answer_is_the_whole_one(client, model, prompt):
    whole = ask(client, model, prompt, temperature=0)
    [choice] = whole.choices
    assert whole.object == "chat.completion"
    assert whole.id.startswith("chatcmpl-")
    assert whole.model == model
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    streamed = joined(ask(client, model, prompt, temperature=0, stream=True))
    assert streamed.text == choice.message.content
    assert streamed.reasoning == (getattr(choice.message, "reasoning_content", None) or "")
    assert streamed.finish_reasons == [choice.finish_reason]
    assert len(streamed.ids) == 1
    assert streamed.usages == []


def test_an_answer_comes_token_by_token(client, model, server):
    body = {**server.endless(max_tokens=40), "model": model, "stream": True}
    times = [time.monotonic() for _ in client.chat.completions.create(**body)]
    assert len(times) > 10
    assert times[-1] - times[0] > 0.01, "all of the answer came at once"


def test_usage_is_true_in_both_forms(client, model, server):
    whole = ask(client, model, temperature=0).usage
    assert whole.total_tokens == whole.prompt_tokens + whole.completion_tokens
    details = whole.prompt_tokens_details
    assert details.text_tokens == whole.prompt_tokens
    assert details.image_tokens == 0
    stream = ask(client, model, temperature=0, stream=True, stream_options={"include_usage": True})
    [usage] = joined(stream).usages
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(usage, name) == getattr(whole, name)
    body = {"messages": [{"role": "user", "content": "Say hello."}]}
    counts = server.post("/v1/tokenize", body).json()
    assert counts["total_tokens"] == whole.prompt_tokens


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_never_longer_than_asked(client, model, server, name):
    body = {**server.endless(), "model": model, name: 7}
    answer = client.chat.completions.create(**body)
    assert answer.usage.completion_tokens == 7
    assert answer.choices[0].finish_reason == "length"


def test_logprobs_belong_to_the_tokens(client, model):
    settings = {"temperature": 0, "logprobs": True, "top_logprobs": 3}
    answer = ask(client, model, **settings)
    entries = answer.choices[0].logprobs.content
    # The token that ends an answer has no text.
    assert 0 <= answer.usage.completion_tokens - len(entries) <= 1
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        top = [top.logprob for top in entry.top_logprobs]
        assert top == sorted(top, reverse=True)
        # Greedy: nothing is more likely than what was taken.
        assert entry.logprob == pytest.approx(top[0])
    if all(entry.bytes is not None for entry in entries):
        text = b"".join(bytes(entry.bytes) for entry in entries).decode()
        content = answer.choices[0].message.content
        assert content.strip() in text
    streamed = joined(ask(client, model, **settings, stream=True))
    assert [entry.token for entry in streamed.logprobs] == [entry.token for entry in entries]
    assert ask(client, model).choices[0].logprobs is None


def test_a_stop_string_ends_the_answer(client, model):
    # What glyph-mini says to this without thinking first: a stop string ends a thought as well.
    settings = {"text": "Read the page.", "temperature": 0, "max_tokens": 32}
    text = ask(client, model, **settings).choices[0].message.content
    stop = text[len(text) // 2 :][:2]
    assert stop, "an answer of at least one character"
    before = text[: text.index(stop)]
    [choice] = ask(client, model, **settings, stop=stop).choices
    assert (choice.message.content, choice.finish_reason) == (before, "stop")
    [choice] = ask(client, model, **settings, stop=["\0never\0", stop]).choices
    assert (choice.message.content, choice.finish_reason) == (before, "stop")
    kept = ask(
        client, model, **settings, stop=stop, extra_body={"include_stop_str_in_output": True}
    )
    assert kept.choices[0].message.content == before + stop
    streamed = joined(ask(client, model, **settings, stop=stop, stream=True))
    assert (streamed.text, streamed.finish_reasons) == (before, ["stop"])


def test_a_seed_draws_the_same_answer_again(client, model):
    def drawn(seed):
        # Every token is about as likely as any other: two answers alike are no accident.
        answer = ask(client, model, temperature=100, seed=seed, max_tokens=48)
        return answer.choices[0].message.content

    answers = [drawn(seed) for seed in (1, 2, 3)]
    assert [drawn(seed) for seed in (1, 2, 3)] == answers
    assert len(set(answers)) > 1
    assert drawn(-1) == drawn(-1)


def test_a_greedy_answer_is_the_same_again(client, model):
    answers = {ask(client, model, "Again?", temperature=0).choices[0].message.content}
    answers |= {ask(client, model, "Again?", temperature=0).choices[0].message.content}
    answers |= {joined(ask(client, model, "Again?", temperature=0, stream=True)).text}
    assert len(answers) == 1


def test_a_conversation_of_several_turns_is_one_prompt(client, model):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hello. What can I do for you?"},
        {"role": "user", "content": "Count to three."},
    ]
    long = client.chat.completions.create(model=model, messages=messages, max_tokens=4)
    short = client.chat.completions.create(model=model, messages=messages[-1:], max_tokens=4)
    assert long.usage.prompt_tokens > short.usage.prompt_tokens


def test_unknown_fields_are_passed_over_and_the_model_may_be_missing(client, model, server):
    extra = {"guided_decoding_backend": "x", "user": "me", "tools": [], "metadata": {"a": "b"}}
    known = ask(client, model, temperature=0)
    unknown = ask(client, model, temperature=0, extra_body=extra)
    assert unknown.choices[0].message.content == known.choices[0].message.content
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    assert server.post("/v1/chat/completions", body).json()["model"] == model


def test_the_request_id_is_echoed(client, model):
    answer = ask(client, model, max_tokens=1, extra_headers={"x-request-id": "mine-1"})
    assert answer._request_id == "mine-1"
    made = [ask(client, model, max_tokens=1)._request_id for _ in range(2)]
    assert all(made)
    assert made[0] != made[1]


def test_the_stream_helper_of_the_client_reads_it(client, model):
    messages = [{"role": "user", "content": "Say hello."}]
    # It does not take an answer that was cut short.
    settings = {"model": model, "messages": messages, "max_tokens": 128, "temperature": 0}
    with client.chat.completions.stream(**settings) as stream:
        final = stream.get_final_completion()
    whole = client.chat.completions.create(**settings)
    assert final.choices[0].message.content == whole.choices[0].message.content


def test_callers_together_get_their_own_answers(server, client, model):
    prompts = [f"Caller {index} asks about number {index * 7}." for index in range(8)]
    alone = [ask(client, model, prompt, temperature=0).choices[0].message for prompt in prompts]

    async def together():
        options = {"api_key": "none", "max_retries": 0, "timeout": REQUEST_TIMEOUT_S}
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", **options) as client:
            return await asyncio.gather(
                *(ask(client, model, prompt, temperature=0) for prompt in prompts)
            )

    answers = asyncio.run(together())
    assert [answer.choices[0].message for answer in answers] == alone
