"""The OpenAPI document and the server say the same: Schemathesis asks for everything that the
document allows, and much that it does not. schemathesis.toml says which checks are on."""

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import API_KEY
from glyph_server import serving

HERE = Path(__file__).parent
# Answers end here: the requests are many.
MAX_CONTEXT = ("--max-context", "512")
LEAST_CASES = 500
# Of these at least so many were such that there was an answer.
LEAST_ANSWERED = 30
ROUTES = ["/v1/chat/completions", "/v1/completions", "/v1/pages", "/v1/tokenize"]
MODEL_ROUTES = ["/v1/models", "/v1/models/{id}", "/v1/models/{owner}/{name}"]
KEYED_ROUTES = {*ROUTES, *MODEL_ROUTES, "/metrics"}
STATUS = re.compile(r'glyph_requests_total\{route="([^"]*)",status="(\d+)"\}')


def answered(series, status):
    """Requests that were answered with a status, by route."""
    found = ((STATUS.fullmatch(name), value) for name, value in series.items())
    return {match[1]: value for match, value in found if match and match[2] == status}


def run(server, *options):
    """Runs Schemathesis; what it finds is printed when the test fails."""
    program = Path(sys.executable).with_name("schemathesis")
    config = ["--config-file", HERE / "schemathesis.toml"]
    done = subprocess.run(
        [program, *config, "run", f"{server.url}/openapi.json", *options],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    print(done.stdout, done.stderr)
    return done


def test_nothing_undocumented_is_answered():
    with serving(*MAX_CONTEXT) as server:
        done = run(server)
        assert done.returncode == 0
        assert "Unresolvable references" not in done.stdout
        assert "validation skipped" not in done.stdout
        [cases] = re.findall(r"(\d+) generated", done.stdout)
        assert int(cases) >= LEAST_CASES
        server.wait_running(0)
        server.assert_answers()
        n_answered = answered(server.metrics(), "200")
        print(n_answered)
        for route in ROUTES:
            assert n_answered[route] >= LEAST_ANSWERED, (route, n_answered)


def test_no_operation_is_open_without_its_key():
    """Without a key, whatever else is right or wrong with a request, the answer is 401."""
    with serving("--api-key", API_KEY) as server:
        done = run(server, "--max-examples", "3", "--include-path-regex", "^/(v1/|metrics)")
        assert done.returncode == 0
        series = server.metrics({"authorization": f"Bearer {API_KEY}"})
    assert set(answered(series, "401")) >= KEYED_ROUTES
    for status in ("200", "400", "404", "413", "415", "500"):
        assert not KEYED_ROUTES & set(answered(series, status)), status
