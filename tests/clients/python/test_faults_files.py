"""Files that go away, and disks that are full, while the server serves."""

import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from documents import page_parts, pages, user_message
from glyph_server import CHAT, MODEL_DIRECTORY, serving

LOG_BYTES = 8192


def test_a_model_directory_that_is_removed_is_not_missed(tmp_path):
    directory = tmp_path / "a-model"
    shutil.copytree(MODEL_DIRECTORY, directory)
    with serving("--model", str(directory)) as server:
        body = {"messages": [user_message(page_parts(pages(server)))], "max_tokens": 16}
        before = server.post(CHAT, body).json()["choices"]
        shutil.rmtree(directory)
        other = pages(server, "A page that was not seen before, drawn without the directory.")
        fresh = {"messages": [user_message(page_parts(other))], "max_tokens": 4}
        assert server.post(CHAT, fresh).status == 200
        assert server.post(CHAT, body).json()["choices"] == before
        document = {"type": "document", "text": "Drawn in the style of the model."}
        assert (
            server.post(CHAT, {"messages": [user_message([document])], "max_tokens": 4}).status
            == 200
        )
        assert server.request("GET", "/ready").status == 200
        [model] = server.client().models.list().data
        assert model.id == "a-model"


def fill(server, log_size):
    """Sends requests until the log can grow no more, and some beyond that."""
    for _ in range(400):
        assert server.request("GET", "/health").status == 200
        if log_size() >= LOG_BYTES - 512:
            break
    # Full but for the line that no longer fits.
    assert LOG_BYTES - 512 <= log_size() <= LOG_BYTES
    for _ in range(100):
        assert server.request("GET", "/health").status == 200
    assert log_size() <= LOG_BYTES
    server.assert_answers()
    server.terminate()
    assert server.exit_code() == 0


def n_bytes(directory):
    return sum(file.stat().st_size for file in directory.iterdir())


def test_a_log_file_that_may_not_grow_stops_nothing(tmp_path):
    """As with a quota: writing beyond the limit fails."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES, LOG_BYTES))
        # Without this the system would end the process instead of failing the write.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    how = {"preexec_fn": limit, "restore_signals": False}
    with serving("--log-file", str(tmp_path), popen_options=how) as server:
        fill(server, lambda: n_bytes(tmp_path))


def test_a_full_disk_for_logs_stops_nothing(tmp_path):
    """A file system of a few pages, seen by the server alone."""
    alone = ["unshare", "--mount", "--map-root-user"]
    mount = f"mount -t tmpfs -o size={LOG_BYTES} tmpfs {tmp_path}"
    may = subprocess.run([*alone, "sh", "-c", mount], capture_output=True, text=True)
    if may.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {may.stderr.strip()}")
    command = [*alone, "sh", "-c", f'{mount} && exec "$@"', "sh"]
    with serving("--log-file", str(tmp_path), command=command) as server:
        seen = Path(f"/proc/{server.process.pid}/root/{tmp_path}")
        fill(server, lambda: n_bytes(seen))
