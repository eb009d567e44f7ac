"""What Schemathesis sends, so that some of it is answered; how it reads what is not JSON."""

import io
import json
import zipfile

import schemathesis

from documents import data_url
from images import black

PICTURE = data_url(black(28, 28))


@schemathesis.hook
def map_body(_context, body):
    """Puts a true picture and the served model into every other request that has any. What is drawn
    at random names no model and is no picture, so that nothing behind those would be looked at."""
    if not isinstance(body, dict) or len(json.dumps(body)) % 2:
        return body
    if isinstance(body.get("model"), str):
        body["model"] = ""
    for image in images(body.get("messages")):
        if isinstance(image.get("url"), str):
            image["url"] = PICTURE
    return body


def images(messages):
    """The objects of all image parts, as far as the body has the form of a conversation."""
    messages = messages if isinstance(messages, list) else []
    contents = (message.get("content") for message in messages if isinstance(message, dict))
    parts = (part for content in contents if isinstance(content, list) for part in content)
    found = (part.get("image_url") for part in parts if isinstance(part, dict))
    return [image for image in found if isinstance(image, dict)]


@schemathesis.deserializer("text/event-stream")
def chunks(_context, response):
    """The chunks of a stream: its schema is that of one chunk."""
    lines = response.content.decode().splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]", "a stream ends with [DONE]"
    return [json.loads(text) for text in data]


@schemathesis.deserializer("application/zip")
def archive(_context, response):
    """The bytes of an archive that is whole."""
    with zipfile.ZipFile(io.BytesIO(response.content)) as files:
        assert files.testzip() is None
    return list(response.content)
