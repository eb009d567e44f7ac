"""`client.completions`: going on with a text."""

import openai
import pytest

from streams import joined


def ask(client, model, prompt="One, two, three,", **settings):
    settings = {"max_tokens": 16, "temperature": 0, **settings}
    return client.completions.create(model=model, prompt=prompt, **settings)


def test_a_streamed_text_is_the_whole_one(client, model):
    whole = ask(client, model)
    [choice] = whole.choices
    assert whole.object == "text_completion"
    assert whole.model == model
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    options = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = joined(ask(client, model, **options))
    assert streamed.text == choice.text
    assert streamed.finish_reasons == [choice.finish_reason]
    [usage] = streamed.usages
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_a_prompt_may_be_a_list_of_one(client, model):
    assert (
        ask(client, model, ["One, two,"]).choices[0].text
        == ask(client, model, "One, two,").choices[0].text
    )


def test_each_prompt_of_a_list_has_a_choice(client, model):
    prompts = ["One, two,", "A river"]
    together = ask(client, model, prompts)
    alone = [ask(client, model, prompt) for prompt in prompts]
    assert [choice.index for choice in together.choices] == [0, 1]
    for choice, answer in zip(together.choices, alone):
        assert choice.text == answer.choices[0].text
    total = sum(answer.usage.total_tokens for answer in alone)
    assert together.usage.total_tokens == total
    chunks = list(ask(client, model, prompts, stream=True))
    for index, answer in enumerate(alone):
        pieces = [
            choice.text
            for chunk in chunks
            for choice in chunk.choices
            if choice.index == index
        ]
        assert "".join(pieces) == answer.choices[0].text


def test_logprobs_belong_to_the_tokens(client, model):
    answer = ask(client, model, logprobs=2)
    logprobs = answer.choices[0].logprobs
    n_tokens = len(logprobs.tokens)
    assert 0 <= answer.usage.completion_tokens - n_tokens <= 1
    assert len(logprobs.token_logprobs) == len(logprobs.text_offset) == n_tokens
    assert all(logprob <= 0 for logprob in logprobs.token_logprobs)
    assert logprobs.text_offset == sorted(logprobs.text_offset)


def test_a_text_is_never_longer_than_asked(client, model):
    answer = ask(client, model, max_tokens=1)
    assert answer.usage.completion_tokens == 1
    assert answer.choices[0].finish_reason in ("stop", "length")


def test_a_stop_string_ends_the_text(client, model):
    text = ask(client, model, temperature=100, seed=1).choices[0].text
    stop = text[len(text) // 2 :][:1]
    assert stop, "a text of at least one character"
    [choice] = ask(client, model, temperature=100, seed=1, stop=stop).choices
    assert (choice.text, choice.finish_reason) == (text[: text.index(stop)], "stop")


def test_what_is_not_offered_is_refused_by_name(client, model):
    for settings, param in [
        ({"echo": True}, "echo"),
        ({"n": 2}, "n"),
        ({"prompt": [1, 2]}, "prompt[0]"),
    ]:
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, model, **settings)
        assert caught.value.param == param
