"""The servers that tests share. A test that breaks its server starts one of its own."""

import os

import pytest

from glyph_server import Server, serving

# A proxy of the environment is not for this machine's own servers.
os.environ["NO_PROXY"] = "127.0.0.1,localhost"

API_KEY = "first-key-of-the-tests"
FILE_KEY = "second-key-of-the-tests"


@pytest.fixture(scope="session")
def server() -> Server:
    """Glyph-mini, open to everybody."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def client(server):
    return server.client()


@pytest.fixture(scope="session")
def model(client):
    return client.models.list().data[0].id


@pytest.fixture(scope="session")
def keyed_server(tmp_path_factory) -> Server:
    """Glyph-mini behind two keys, one on the command line and one in a file."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(f"{FILE_KEY}\n")
    with serving("--api-key", API_KEY, "--api-key-file", str(keys)) as server:
        yield server
