"""Prometheus scrapes the server; its own API then has the series."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from conftest import API_KEY
from documents import page_parts, user_message
from glyph_server import CHAT, serving

SCRAPE_INTERVAL_S = 1
START_TIMEOUT_S = 30

# Each has a value above 0 after the requests below.
SERIES = [
    'glyph_requests_total{route="/v1/chat/completions",status="200"}',
    'glyph_requests_total{route="/v1/chat/completions",status="400"}',
    'glyph_rejections_total{reason="invalid_value"}',
    'glyph_prompt_tokens_total{kind="text"}',
    'glyph_prompt_tokens_total{kind="image"}',
    'glyph_prompt_tokens_total{kind="cached"}',
    "glyph_generated_tokens_total",
    "glyph_pages_rendered_total",
    "glyph_request_seconds_count",
    "glyph_request_seconds_sum",
    'glyph_request_seconds_bucket{le="+Inf"}',
    "glyph_queue_wait_seconds_count",
    "glyph_time_to_first_token_seconds_count",
    "glyph_inter_token_seconds_count",
    "glyph_render_seconds_count",
    "glyph_vision_encode_seconds_count",
    "glyph_prefill_chunk_seconds_count",
    "glyph_decode_step_seconds_count",
    "glyph_batch_size_count",
    "glyph_kv_planned_bytes",
    'glyph_cache_hits_total{cache="prefix"}',
    'glyph_cache_misses_total{cache="vision"}',
    'glyph_cache_bytes{cache="vision"}',
    'glyph_cache_limit_bytes{cache="prefix"}',
    'glyph_engine_state{state="ready"}',
    "process_resident_memory_bytes",
    "process_open_fds",
    # The request for the metrics itself.
    "glyph_requests_in_flight",
]
# These are there, at 0 while nothing runs.
QUIET_SERIES = ["glyph_queue_length", "glyph_requests_running", "glyph_kv_bytes"]
# Every NVIDIA GPU has these; not every one tells more.
NVIDIA_SERIES = ["glyph_device_memory_used_bytes", "glyph_device_memory_total_bytes"]


def program(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on the search path (Debian: the package prometheus)")
    return path


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Prometheus:
    """Debian's Prometheus, scraping one server."""

    def __init__(self, server, directory):
        config = {
            "global": {"scrape_interval": f"{SCRAPE_INTERVAL_S}s"},
            "scrape_configs": [
                {
                    "job_name": "glyph",
                    "authorization": {"credentials": API_KEY},
                    "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}],
                }
            ],
        }
        # Its YAML takes JSON too.
        (directory / "prometheus.yml").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = (directory / "prometheus.log").open("w+b")
        self.process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stdout=self.log,
            stderr=self.log,
        )

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def api(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def value(self, query):
        """The greatest value that a query finds; none where it finds nothing."""
        found = self.api("query", query=query)["result"]
        return max((float(series["value"][1]) for series in found), default=None)

    def wait_for(self, what, is_so):
        start = time.monotonic()
        while True:
            try:
                if is_so():
                    return
            except OSError:
                # It does not listen yet.
                assert self.process.poll() is None, (self.log.seek(0), self.log.read())
            assert time.monotonic() - start < START_TIMEOUT_S, f"not yet: {what}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def busy_server():
    """A server that has done some of everything."""
    with serving("--api-key", API_KEY) as server:
        key = {"authorization": f"Bearer {API_KEY}"}
        drawn = server.request("POST", "/v1/pages", {"text": "Order 4711 of 3 May."}, key).json()
        body = {"messages": [user_message(page_parts(drawn))], "max_tokens": 8}
        for extra in ({}, {"temperature": 100, "seed": 1}, {"stream": True}):
            assert server.post(CHAT, {**body, **extra}, key).status == 200
        assert server.post(CHAT, {**body, "temperature": -1}, key).status == 400
        yield server


@pytest.fixture(scope="module")
def prometheus(busy_server, tmp_path_factory):
    prometheus = Prometheus(busy_server, tmp_path_factory.mktemp("prometheus"))
    try:
        prometheus.wait_for("the first scrape", lambda: prometheus.value('up{job="glyph"}') == 1)
        yield prometheus
    finally:
        prometheus.stop()


def test_the_target_is_up(prometheus):
    [target] = prometheus.api("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


@pytest.mark.parametrize("series", SERIES)
def test_a_series_is_found_with_a_value(prometheus, series):
    assert prometheus.value(series) > 0


@pytest.mark.parametrize("series", QUIET_SERIES)
def test_a_quiet_series_is_found(prometheus, series):
    assert prometheus.value(series) == 0


def nvidia_gpus():
    """What the driver's own tool lists, a line each."""
    path = shutil.which("nvidia-smi")
    if path is None:
        return []
    lines = subprocess.run([path, "-L"], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if line.startswith("GPU ")]


@pytest.mark.parametrize("series", NVIDIA_SERIES)
def test_every_nvidia_gpu_has_its_series(prometheus, series):
    found = prometheus.api("query", query=series)["result"]
    assert len(found) == len(nvidia_gpus())


def test_every_series_has_its_type_and_help(prometheus):
    names = prometheus.api("label/__name__/values")
    described = prometheus.api("metadata")
    for name in names:
        if not name.startswith(("glyph_", "process_")):
            continue
        base = name
        for suffix in ("_bucket", "_sum", "_count"):
            base = base.removesuffix(suffix) if name.removesuffix(suffix) in described else base
        [entry] = described[base]
        assert entry["help"], name
        assert entry["type"] in ("counter", "gauge", "histogram"), name


def test_new_requests_are_seen_at_the_next_scrape(prometheus, busy_server):
    series = "glyph_generated_tokens_total"
    before = prometheus.value(series)
    key = {"authorization": f"Bearer {API_KEY}"}
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    made = busy_server.post(CHAT, body, key).json()["usage"]["completion_tokens"]
    prometheus.wait_for("the new tokens", lambda: prometheus.value(series) == before + made)


def test_promtool_finds_nothing_to_mend(busy_server):
    key = {"authorization": f"Bearer {API_KEY}"}
    text = busy_server.request("GET", "/metrics", headers=key).body
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
