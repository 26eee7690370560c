"""The service as any OpenAI client sees it."""

from __future__ import annotations

import base64

import numpy as np
import openai
import pytest

import models
from tests.serve_apps.conftest import KEY
from tests.serve_apps.test_vqa import encoded

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def client(address):
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none is asked for", max_retries=0)


def conversation(picture, question="How many ships?"):
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return [
        {"role": "system", "content": "You are a radar analyst."},
        {
            "role": "user",
            "content": [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}],
        },
    ]


def test_a_chat_about_an_image_answers_as_the_model_does(client, tiny_checkpoint):
    picture = encoded()
    expected = models.load(tiny_checkpoint).answer([picture], ["How many ships?"])[0]
    reply = client.chat.completions.create(model="knowlip", messages=conversation(picture), temperature=0)
    assert reply.choices[0].message.content == expected.answer
    assert reply.choices[0].finish_reason == "stop"
    chunks = list(client.chat.completions.create(model="knowlip", messages=conversation(picture), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected.answer
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_the_models(client, tiny_checkpoint, form):
    texts = ["an airport runway", "ships in a harbour"]
    reply = client.embeddings.create(model="knowlip", input=texts, encoding_format=form)
    vectors = [
        one.embedding if form == "float" else np.frombuffer(base64.b64decode(one.embedding), "<f4")
        for one in reply.data
    ]
    np.testing.assert_allclose(vectors, models.load(tiny_checkpoint).encode_text(texts), atol=1e-4)
    assert reply.usage.prompt_tokens > len(texts)


def test_more_texts_than_may_wait_are_embedded_as_one_request(address):
    client = openai.OpenAI(base_url=f"{address}/keys/v1", api_key=KEY, max_retries=0)
    texts = [f"{number} ships in a harbour" for number in range(256)]
    assert len(client.embeddings.create(model="knowlip", input=texts).data) == 256


def test_the_model_is_listed(client):
    assert [model.id for model in client.models.list()] == ["knowlip"]
    assert client.models.retrieve("knowlip").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-7")


def test_a_wrong_key_is_refused(address):
    wrong = openai.OpenAI(base_url=f"{address}/keys/v1", api_key="a-wrong-key-of-some-length", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        wrong.embeddings.create(model="knowlip", input="ships")
    right = openai.OpenAI(base_url=f"{address}/keys/v1", api_key=KEY, max_retries=0)
    assert len(right.embeddings.create(model="knowlip", input="ships").data) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/a.png", "only data URLs"),
        ("file:///etc/passwd", "only data URLs"),
        ("/vsicurl/http://127.0.0.1/a.tif", "only data URLs"),
        ("data:text/html;base64,AAAA", "only data URLs"),
        ("data:image/png;base64,%%%%", "not base64"),
        ("data:image/png;base64,AAAA", "neither PNG nor JPEG nor TIFF"),
    ],
)
def test_no_address_is_opened(client, url, reason):
    messages = conversation(encoded())
    messages[1]["content"][1]["image_url"]["url"] = url
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="knowlip", messages=messages)
    assert caught.value.status_code in {415, 422}
    assert reason in caught.value.response.json()["detail"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"messages": []}, 422),
        ({"messages": [{"role": "user", "content": "no image"}]}, 422),
        ({"messages": [{"role": "user", "content": "x" * 2**20}]}, 422),
        ({"messages": conversation(encoded(), "a\x00b")}, 422),
        ({"model": "gpt-7"}, 404),
        ({"n": 5}, 422),
    ],
)
def test_wrong_conversations_are_refused(client, change, status):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**{"model": "knowlip", "messages": conversation(encoded()), **change})
    assert caught.value.status_code == status
