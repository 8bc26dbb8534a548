"""Downloads from a local server with injected faults, and from no other host."""

import hashlib
import os
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from requests import RequestException

from tinyalex.cache import cache_folder
from tinyalex.data import cifar, download
from tinyalex.data.download import fetch

GOOD = bytes(range(256)) * 1000
SHA256 = "sha256:" + hashlib.sha256(GOOD).hexdigest()
MD5 = "md5:" + hashlib.md5(GOOD).hexdigest()


class Mirror(BaseHTTPRequestHandler):
    """The path selects the behaviour.

    /good, /wrong, /missing, /broken (closes halfway), /silent, /stalled (stops halfway)
    """

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/missing":
            return self.send_error(404)
        if self.path == "/silent":
            return self.server.closing.wait(30)
        content = GOOD[::-1] if self.path == "/wrong" else GOOD
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path in ("/broken", "/stalled"):
            self.wfile.write(content[: len(content) // 2])
            if self.path == "/stalled":
                self.server.closing.wait(30)
            return None
        return self.wfile.write(content)

    def log_message(self, *anything):
        pass


@contextmanager
def serving():
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.asked, server.closing = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def get(server, tmp_path):
    """fetch from mirrors of the given behaviours, into an empty folder."""

    def get(*behaviours, known_hash=SHA256, timeout=10.0):
        return fetch(
            "data.tar.gz",
            [f"{server.url}/{b}" for b in behaviours],
            known_hash,
            folder=tmp_path / "cache",
            timeout=timeout,
        )

    return get


def left_behind(tmp_path):
    return sorted(file.name for file in (tmp_path / "cache").glob("**/*"))


@pytest.mark.parametrize("known_hash", [SHA256, MD5])
def test_fetch_downloads_the_file_under_its_name(get, tmp_path, known_hash):
    path = get("good", known_hash=known_hash)
    assert path == tmp_path / "cache" / "data.tar.gz"
    assert path.read_bytes() == GOOD
    assert left_behind(tmp_path) == ["data.tar.gz"]


def test_fetch_downloads_a_file_only_once(get, server):
    get("good")
    get("good")
    assert server.asked == ["/good"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_a_download_has_the_permissions_of_other_new_files(get, umask):
    before = os.umask(umask)
    try:
        assert get("good").stat().st_mode & 0o777 == 0o666 & ~umask
    finally:
        os.umask(before)


def test_fetch_replaces_a_file_with_other_bytes(get, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "data.tar.gz").write_bytes(GOOD[:1000])
    assert get("good").read_bytes() == GOOD


@pytest.mark.parametrize("bad", ["missing", "wrong", "broken"])
def test_fetch_tries_the_next_mirror(get, server, tmp_path, bad):
    assert get(bad, "good", "missing").read_bytes() == GOOD
    assert server.asked == [f"/{bad}", "/good"]
    assert left_behind(tmp_path) == ["data.tar.gz"]


@pytest.mark.parametrize("bad", ["silent", "stalled"])
def test_fetch_skips_a_mirror_that_hangs(get, server, tmp_path, bad):
    assert get(bad, "good", timeout=0.2).read_bytes() == GOOD
    assert left_behind(tmp_path) == ["data.tar.gz"]


def test_fetch_skips_a_host_that_does_not_answer(server, tmp_path):
    with serving() as gone:
        pass
    assert (
        fetch(
            "data", [f"{gone.url}/good", f"{server.url}/good"], SHA256, folder=tmp_path
        ).read_bytes()
        == GOOD
    )


@pytest.mark.parametrize("bad", ["missing", "wrong", "broken", "stalled"])
def test_a_failed_download_leaves_nothing_behind(get, tmp_path, bad):
    with pytest.raises(ConnectionError):
        get(bad, timeout=0.2)
    assert left_behind(tmp_path) == []


class Interrupting:
    """A progress bar that raises KeyboardInterrupt."""

    total = 1

    def update(self, n):
        raise KeyboardInterrupt

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def test_an_interrupted_download_leaves_nothing_behind(get, server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_progress_bar", lambda name: Interrupting())
    with pytest.raises(KeyboardInterrupt):
        get("good", "good")
    assert left_behind(tmp_path) == []
    assert server.asked == ["/good"]


def test_if_all_mirrors_fail_the_error_gives_each_reason_and_a_remedy(get, server, tmp_path):
    with pytest.raises(ConnectionError) as caught:
        get("missing", "wrong", "broken", "stalled", timeout=0.2)
    wrong = hashlib.sha256(GOOD[::-1]).hexdigest()
    text = str(caught.value)
    assert text.startswith("data.tar.gz: none of 4 mirrors returned the expected file.\n")
    for mirror, reason in [
        ("missing", "HTTP 404 Not Found"),
        ("wrong", f"wrong checksum: {wrong}"),
        ("broken", "the connection was lost: .*128000"),
        ("stalled", "no data for 0.2 s"),
    ]:
        assert re.search(rf"^  {server.url}/{mirror}\n    {reason}", text, re.MULTILINE)
    assert "download it by hand" in text
    assert f"its checksum is {SHA256}" in text
    assert "--data PATH" in text
    assert f"put it into {tmp_path / 'cache'} as data.tar.gz" in text


def test_a_host_that_does_not_answer_is_named_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as gone:
        pass
    with pytest.raises(
        ConnectionError, match=rf"{gone.url}/good\n    no connection: Failed to establish .*refused"
    ):
        fetch("data", [f"{gone.url}/good"], SHA256, folder=tmp_path)


def test_a_folder_that_cannot_be_written_is_no_connection_error(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=str(tmp_path)) as caught:
        fetch("data", [f"{server.url}/good"], SHA256, folder=tmp_path / "file")
    assert not isinstance(caught.value, (ConnectionError, RequestException))


def test_on_a_terminal_there_is_a_progress_bar(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fetch("data.tar.gz", [f"{server.url}/good"], SHA256, folder=tmp_path)
    assert re.search(r"data.tar.gz: .*/256k", capsys.readouterr().err)


def test_downloads_go_to_the_folder_TINYALEX_CACHE(server, tmp_path, monkeypatch):  # noqa: N802
    monkeypatch.setenv("TINYALEX_CACHE", str(tmp_path / "mine"))
    assert fetch("data", [f"{server.url}/good"], SHA256) == tmp_path / "mine" / "data"


def test_without_TINYALEX_CACHE_downloads_go_to_the_cache_folder_of_the_system(monkeypatch):  # noqa: N802
    monkeypatch.delenv("TINYALEX_CACHE", raising=False)
    assert "tinyalex" in str(cache_folder())


def test_cifar_10_is_downloaded_over_https_and_from_the_slow_official_host_last():
    assert all(url.startswith("https://") for url in cifar.MIRRORS)
    assert len(set(cifar.MIRRORS)) == len(cifar.MIRRORS) > 3
    assert cifar.MIRRORS[-1] == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
