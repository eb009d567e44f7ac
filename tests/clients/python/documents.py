"""Documents as a client sends them: pages drawn by the server, as image parts."""

import base64
import io

from PIL import Image

TEXT = "\n".join(
    f"{day} May: order {4700 + day} for {day} lamps at 18.50 each, to Green Lane {day + 10}."
    for day in range(1, 13)
)
QUESTION = "Where do the lamps of 3 May go?"


def pages(server, text=TEXT):
    """The answer of /v1/pages."""
    answer = server.post("/v1/pages", {"text": text})
    assert answer.status == 200, answer.body
    return answer.json()


def data_url(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def image_part(url):
    return {"type": "image_url", "image_url": {"url": url}}


def user_message(parts, text=QUESTION):
    """A message of images, or documents, and the question behind them."""
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def page_parts(drawn):
    """The pages of a /v1/pages answer as image parts, in order."""
    return [image_part(f"data:image/png;base64,{page['png']}") for page in drawn["pages"]]


def converted(page, kind):
    """A page as another type of image."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(page["png"]))).convert("RGB")
    image.save(file, kind, **({"lossless": True} if kind == "webp" else {"quality": 95}))
    return file.getvalue()
