"""What Schemathesis sends, so that some of it is answered; how it reads what is not JSON."""

import io
import json
import zipfile

import jsonschema_rs
import schemathesis

from documents import data_url
from images import black

CHUNKS = {"/v1/chat/completions": "ChatCompletionChunk", "/v1/completions": "Completion"}

PICTURE = data_url(black(28, 28))


@schemathesis.hook
def map_body(_context, body):
    """Puts a true picture and the served model into every other request that has any. What is drawn
    at random names no model and is no picture, so that nothing behind those would be looked at."""
    if not isinstance(body, dict) or len(json.dumps(body)) % 2:
        return body
    if isinstance(body.get("model"), str):
        body["model"] = ""
    for image in image_objects(body.get("messages")):
        if isinstance(image.get("url"), str):
            image["url"] = PICTURE
    return body


def image_objects(messages):
    """The objects of all image parts, as far as the body has the form of a conversation."""
    messages = messages if isinstance(messages, list) else []
    contents = (message.get("content") for message in messages if isinstance(message, dict))
    parts = (part for content in contents if isinstance(content, list) for part in content)
    found = (part.get("image_url") for part in parts if isinstance(part, dict))
    return [image for image in found if isinstance(image, dict)]


@schemathesis.check
def chunks_are_as_described(_context, response, case):
    """The document describes events; what they carry must be as it describes chunks."""
    [content_type] = response.headers.get("content-type", [""])
    if not content_type.startswith("text/event-stream"):
        return
    lines = response.content.decode().splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]", "a stream ends with [DONE]"
    components = case.operation.schema.raw_schema["components"]
    reference = f"#/components/schemas/{CHUNKS[case.path]}"
    validator = jsonschema_rs.validator_for({"$ref": reference, "components": components})
    for text in data:
        validator.validate(json.loads(text))


@schemathesis.deserializer("application/zip")
def archive(_context, response):
    """The bytes of an archive that is whole."""
    with zipfile.ZipFile(io.BytesIO(response.content)) as files:
        assert files.testzip() is None
    return list(response.content)
