"""`client.models`."""

import openai
import pytest

from glyph_server import serving


def test_the_served_model_is_listed_and_described(client):
    models = client.models.list()
    assert models.object == "list"
    [model] = models.data
    assert model.object == "model"
    assert model.created > 1_700_000_000
    assert client.models.retrieve(model.id) == model
    assert model.max_model_len > 0
    assert model.max_pages > 0


def test_a_model_that_is_not_served_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("another")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "another" in caught.value.message


def test_a_name_with_an_owner_is_found_whether_its_slash_is_escaped_or_not():
    name = "zai-org/Glyph"
    with serving("--lazy", "--served-model-name", name) as server:
        assert server.client().models.retrieve(name).id == name
        for path in ("zai-org/Glyph", "zai-org%2FGlyph"):
            answer = server.request("GET", f"/v1/models/{path}")
            assert (answer.status, answer.json().get("id")) == (200, name), path
