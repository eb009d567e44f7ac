"""Pages: drawn by the server, sent as image parts, counted in the usage."""

import base64
import io

import pytest
from PIL import Image

from documents import TEXT, converted, data_url, image_part, page_parts, pages, user_message
from streams import joined


@pytest.fixture(scope="module")
def drawn(server):
    return pages(server)


def ask(client, model, parts, **settings):
    messages = [user_message(parts)]
    settings = {"max_tokens": 24, "temperature": 0, **settings}
    return client.chat.completions.create(model=model, messages=messages, **settings)


def test_pages_are_png_files_of_the_size_that_is_said(drawn):
    assert drawn["pages"]
    assert drawn["vision_tokens"] == sum(page["vision_tokens"] for page in drawn["pages"])
    for index, page in enumerate(drawn["pages"]):
        image = Image.open(io.BytesIO(base64.b64decode(page["png"])))
        image.load()
        assert image.format == "PNG"
        assert image.size == (page["width_px"], page["height_px"])
        assert page["index"] == index


def test_pages_are_read_and_counted(client, model, drawn):
    whole = ask(client, model, page_parts(drawn))
    details = whole.usage.prompt_tokens_details
    assert details.image_tokens == drawn["vision_tokens"]
    assert details.text_tokens + details.image_tokens == whole.usage.prompt_tokens
    options = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = joined(ask(client, model, page_parts(drawn), **options))
    assert streamed.text == whole.choices[0].message.content
    [usage] = streamed.usages
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    assert usage.prompt_tokens_details.image_tokens == drawn["vision_tokens"]


def test_a_document_is_the_pages_that_it_is_drawn_to(client, model, drawn):
    by_pages = ask(client, model, page_parts(drawn))
    by_text = ask(client, model, [{"type": "document", "text": TEXT}])
    assert by_text.choices[0].message.content == by_pages.choices[0].message.content
    assert by_text.usage.prompt_tokens == by_pages.usage.prompt_tokens


def test_the_same_pages_again_are_not_computed_again(client, model, server):
    other = pages(server, TEXT.replace("4703", "0815"))
    first = ask(client, model, page_parts(other))
    again = ask(client, model, page_parts(other))
    assert first.choices[0].message == again.choices[0].message
    assert again.usage.prompt_tokens_details.cached_tokens > 0
    assert again.usage.prompt_tokens == first.usage.prompt_tokens


def test_a_changed_page_is_another_page(client, model, server, drawn):
    """The log-probabilities of the first token show which page was looked at."""

    def first_token(parts):
        answer = ask(client, model, parts, max_tokens=1, logprobs=True, top_logprobs=5)
        [entry] = answer.choices[0].logprobs.content
        return [(top.token, round(top.logprob, 4)) for top in entry.top_logprobs]

    before = first_token(page_parts(drawn))
    changed = pages(server, TEXT.replace("lamps", "LAMPS"))
    assert first_token(page_parts(changed)) != before
    assert first_token(page_parts(drawn)) == before


def test_pages_come_in_order(client, model, server, drawn):
    parts = page_parts(drawn)
    assert len(parts) > 1

    def scores(order):
        answer = ask(client, model, order, max_tokens=8, logprobs=True, top_logprobs=5)
        entries = answer.choices[0].logprobs.content
        best = [entry.top_logprobs for entry in entries]
        return [[(top.token, round(top.logprob, 4)) for top in tops] for tops in best]

    assert scores(parts) == scores(parts)
    assert scores(parts) != scores(parts[::-1])


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_other_types_of_images_are_taken(client, model, drawn, kind):
    page = drawn["pages"][0]
    answer = ask(client, model, [image_part(data_url(converted(page, kind), kind))])
    assert answer.usage.prompt_tokens_details.image_tokens == page["vision_tokens"]


def test_a_picture_of_any_size_is_taken(client, model):
    for size in [(1, 1), (28, 400), (640, 480)]:
        file = io.BytesIO()
        Image.new("RGB", size, "white").save(file, "png")
        answer = ask(client, model, [image_part(data_url(file.getvalue()))], max_tokens=1)
        assert answer.usage.prompt_tokens_details.image_tokens > 0, size
