"""`client.models`."""

import openai
import pytest


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
