"""CIFAR-10: what is official is loaded, and nothing else is unpickled."""

import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from training.__main__ import main
from training.data import DataError
from training.data.cifar10 import SHA256, find, load, load_test


def test_official_batches(cifar10_dir: Path) -> None:
    cifar10 = load(cifar10_dir)
    assert cifar10.train.images.shape == (40_000, 32, 32, 3)
    assert cifar10.validation.images.shape == (10_000, 32, 32, 3)
    assert cifar10.test.images.shape == (10_000, 32, 32, 3)
    assert cifar10.train.images.dtype == cifar10.test.images.dtype == np.uint8
    labels = np.concatenate([cifar10.train.labels, cifar10.validation.labels])
    assert np.array_equal(np.bincount(labels), [5000] * 10)
    assert np.array_equal(np.bincount(cifar10.test.labels), [1000] * 10)
    # The first training image is a frog on brown ground, the first test image a cat.
    assert (cifar10.train.labels[0], cifar10.test.labels[0]) == (6, 3)
    assert cifar10.sha256 == SHA256
    red, _, blue = cifar10.train.images[0].mean(axis=(0, 1))
    assert red > blue


def test_an_altered_file_is_named_and_not_unpickled(cifar10_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(cifar10_dir, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "data_batch_3"
    path.chmod(0o644)
    # A pickle that would exit the interpreter, were it loaded.
    path.write_bytes(b"cos\n_exit\n(I3\ntR.")
    with pytest.raises(DataError, match=r"data_batch_3 is not the official"):
        load(tmp_path)


def test_the_folder_is_found_from_the_archive_its_parent_and_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    archive = tmp_path / "with a space" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    archive.touch()
    for place in (archive, archive.parent, Path("~/with a space")):
        with pytest.raises(DataError, match=r"is not unpacked; .*: tar -xf '.*' -C '.*'$"):
            find(place)
    folder = archive.parent / "cifar-10-batches-py"
    folder.mkdir()
    for place in (folder, archive, archive.parent, Path("~/with a space")):
        assert find(place) == folder
    monkeypatch.setenv("CIFAR10_DIR", "~/with a space")
    assert find(None) == folder


def test_a_missing_file_ends_the_command_with_one_line_and_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "batches.meta").touch()
    options = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path / "runs")]
    result = CliRunner().invoke(main, [*options, "--models-dir", str(tmp_path / "models")])
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert str(tmp_path / "data" / "data_batch_1") in line
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


class _Site(http.server.BaseHTTPRequestHandler):
    """Serves an archive, half of what it announces, or nothing."""

    archive = b""

    def do_GET(self) -> None:
        if self.path.startswith("/missing/"):
            self.send_error(404)
            return
        content = b"no archive" if self.path.startswith("/other/") else self.archive
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:100] if self.path.startswith("/cut/") else content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(
    cifar10_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[http.server.HTTPServer, Path]]:
    """Yield a server of the test batch's archive, and the cache to download it into."""
    path = shutil.make_archive(
        str(tmp_path / "archive"), "gztar", cifar10_dir.parent, cifar10_dir.name + "/test_batch"
    )
    monkeypatch.setattr(_Site, "archive", Path(path).read_bytes())
    monkeypatch.setattr("training.data.cifar10.FOLDER", cifar10_dir.name)
    sha256 = hashlib.sha256(_Site.archive).hexdigest()
    monkeypatch.setattr("training.data.cifar10.ARCHIVE_SHA256", sha256)
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    cache = tmp_path / "a cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, cache
        server.shutdown()


def test_the_data_is_downloaded_once(
    site: tuple[http.server.HTTPServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, cache = site
    monkeypatch.setattr(
        "training.data.cifar10.URL", f"http://127.0.0.1:{server.server_port}/archive"
    )
    folder = find(None)
    assert len(load_test(folder).labels) == 10_000
    assert list(cache.iterdir()) == [folder]  # not the archive
    monkeypatch.setattr("training.data.cifar10.URL", "http://127.0.0.1:1/")
    assert find(None) == folder


def test_a_download_that_fails_is_one_line_and_leaves_nothing(
    site: tuple[http.server.HTTPServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, cache = site
    for port, path, words in (
        (server.server_port, "other", "received 10 bytes with SHA-256"),
        (server.server_port, "missing", "404"),
        (server.server_port, "cut", "received 100 bytes with SHA-256"),
        (1, "", "Connection refused"),
    ):
        url = f"http://127.0.0.1:{port}/{path}/"
        monkeypatch.setattr("training.data.cifar10.URL", url)
        with pytest.raises(DataError, match=rf"^cannot download .*{url} .*{words}.*--data-dir"):
            find(None)
        assert list(cache.iterdir()) == []
