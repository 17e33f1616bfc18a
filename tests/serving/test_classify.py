"""`python -m serving classify`, run as a user runs it."""

import csv
import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
from click.testing import CliRunner, Result
from PIL import Image

from serving.__main__ import main
from serving.classify import files
from serving.classify.rows import CsvRows, JsonRows, Key, OutputError, Row, open_output
from serving.images import process
from serving.images.decode import DecodedImage
from tests.helpers import ROOT, SHIP, error_line, wait_for

COMMAND = (sys.executable, "-m", "serving", "classify")  # for what a process alone can do
COLUMNS = ["file", "model", "version", "precision", "class", "confidence", "error"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images, more than a batch, in folders; among them a broken one, and other files."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(40):
        path = folder / f"{i % 3}" / f'{i:02}, a "drawing".PNG'
        path.parent.mkdir(exist_ok=True)
        blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((32, 32)).save(path, "PNG")
    (folder / "1" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def run(*arguments: str | Path, stdin: bytes = b"", status: int = 0) -> Result:
    """Run the command in this process."""
    result = CliRunner().invoke(main, ["classify", *map(str, arguments)], input=stdin)
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit | None)
    return result


def rows(content: bytes | str) -> list[dict[str, str]]:
    text = content if isinstance(content, str) else content.decode()
    return list(csv.DictReader(text.splitlines()))


def images_in(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("?/*")))


def test_answers_are_the_services(folder: Path, server: str) -> None:
    result = run(folder, "--model", "first", status=1)
    found = rows(result.stdout)
    assert list(found[0]) == COLUMNS
    assert [row["file"] for row in found] == images_in(folder)
    for row in found[:10]:
        answer = requests.post(
            f"{server}/predict?model=first",
            data=Path(row["file"]).read_bytes(),
            headers={"Content-Type": "image/png"},
        ).json()["predictions"][0]["models"][0]
        assert (row["class"], row["version"]) == (answer["class"], str(answer["version"]))
        assert float(row["confidence"]) == pytest.approx(answer["confidence"], abs=2e-5)
    [broken] = [row for row in found if row["error"]]
    assert broken["file"].endswith("broken.jpg")
    assert (broken["class"], broken["confidence"]) == ("", "")
    assert "1 of 41 files" in result.stderr


def test_json_lines_of_several_models(folder: Path) -> None:
    result = run(
        *(folder / "0", "--format", "jsonl", "--top-k", "3", "--precision", "int8"),
        *("--model", "first", "--model", "second", "--version", "1"),
    )
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [d["model"] for d in documents] == ["first", "second"] * 14
    for document in documents:
        assert (document["version"], document["precision"]) == (1, "int8")
        probabilities = list(document["probabilities"].values())
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 3
        assert document["probabilities"][document["class"]] == document["confidence"]


def test_top_k_are_columns(folder: Path) -> None:
    [image] = [path for path in images_in(folder) if "/0/00" in path]
    [row] = rows(run(image, "--model", "first", "--top-k", "2").stdout)
    assert list(row) == [*COLUMNS[:-1], "class_2", "confidence_2", "error"]
    assert 0 < float(row["confidence_2"]) <= float(row["confidence"])


def test_a_linked_folder_is_searched_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "linked").symlink_to(folder / "0")
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    (tmp_path / "all" / "real").mkdir()
    (tmp_path / "all" / "also real").symlink_to(tmp_path / "all" / "real")
    Image.new("RGB", (32, 32)).save(tmp_path / "all" / "real" / "a.png")
    names = sorted(path.name for path in (folder / "0").iterdir())
    expected = [str(tmp_path / "all" / "linked" / name) for name in names]
    expected.append(str(tmp_path / "all" / "real" / "a.png"))
    assert list(files.find_files([str(tmp_path / "all")])) == expected
    assert len(files.match_files(f"{tmp_path}/all/**/a.png")) == 1


def test_the_default_is_the_most_accurate_model(server: str) -> None:
    models = requests.get(f"{server}/models").json()["models"]
    newest: dict[str, dict[str, str]] = {}
    for model in models:
        newest.setdefault(model["name"], model)
    best = max(newest.values(), key=lambda model: model["test_accuracy"])
    [row] = rows(run(SHIP).stdout)
    assert (row["model"], row["version"]) == (best["name"], str(best["version"]))


def test_files_are_named_in_several_ways(folder: Path, tmp_path: Path) -> None:
    named = [str(folder / "0"), f"{folder}/1/0*", str(folder / "0"), "missing.png"]
    expected = [*map(str, sorted((folder / "0").iterdir())), f'{folder}/1/01, a "drawing".PNG']
    expected += [f'{folder}/1/04, a "drawing".PNG', f'{folder}/1/07, a "drawing".PNG']
    expected.append("missing.png")
    matched = [match for path in named for match in files.match_files(path)]
    assert list(dict.fromkeys(files.find_files(matched))) == expected
    unseen = ["a" * 300 + ".png"]  # too long a name to look up
    assert list(files.find_files(unseen)) == unseen
    odd = tmp_path / "line\nbreak, caf\udce9.png"  # no UTF-8
    Image.new("RGB", (32, 32)).save(odd)
    for separator in (b"\n", b"\r\n", b"\0"):
        paths = [os.fsencode(path) for path in images_in(folder)[:3]]
        assert files.read_list(separator.join([*paths, b""])) == images_in(folder)[:3]
    # A name in a list is no glob, which would match another file.
    Image.new("RGB", (32, 32)).save(tmp_path / "photo1.png")
    listed = run("-", "--model", "first", stdin=bytes(tmp_path / "photo[1].png"), status=1)
    [row] = rows(listed.stdout)
    assert row["error"] == "No such file or directory."
    listed = run("-", "--model", "first", stdin=os.fsencode(odd) + b"\0")
    [row] = rows(listed.stdout)
    assert row["file"] == f"{tmp_path}/line\\nbreak, caf\\udce9.png"
    assert rows(run("-", "--model", "first").stdout) == []  # an empty list


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_list_is_read_in_the_encoding_that_it_begins_with(encoding: str) -> None:
    # As PowerShell and Notepad write it; Python writes a mark with two of these names.
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""
    names = ["a.png", "Bilder/é 東京.png"]
    content = f"{mark}{names[0]}\r\n{names[1]}\r\n".encode(encoding)
    assert files.read_list(content) == names
    if mark:
        with pytest.raises(files.ListError, match=r"UTF-8.*-0"):
            files.read_list(content[2:])
        with pytest.raises(files.ListError, match="is not"):
            files.read_list(content[:-1])


def test_nul_separates_where_it_is_asked_for_or_likely() -> None:
    assert files.read_list(b"a.png\0b\nc.png\0") == ["a.png", "b\nc.png"]
    assert files.read_list(b"a\0b\r\0", null=True) == ["a", "b\r"]
    assert files.read_list(b"a\nb", null=True) == ["a\nb"]
    with pytest.raises(files.ListError, match="-0"):
        files.read_list(b"a\0b.png\0")


def test_a_folder_in_a_list_is_searched_where_it_is_asked_for(folder: Path) -> None:
    listed = f"{folder / '0'}\n".encode("utf-16")
    [row] = rows(run("-", "--model", "first", stdin=listed, status=1).stdout)
    assert "--folders" in row["error"]
    found = rows(run("-", "--folders", "--model", "first", stdin=listed).stdout)
    assert len(found) == len(list((folder / "0").iterdir()))
    wrong = run("-", stdin=listed[2:], status=1)  # as cmd /u writes it, without a mark
    assert wrong.stdout == ""
    assert "UTF-16" in wrong.stderr


def test_an_image_of_another_size_is_told_the_commands_option(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (96, 32)).save(path)
    [row] = rows(run("--no-resize", path, status=1).stdout)
    assert "is 96×32 pixels" in row["error"]
    assert row["error"].endswith("Omit --no-resize to crop and resample its center.")
    [row] = rows(run(path).stdout)
    assert row["class"]
    [row] = rows(run("--max-pixels", "3071", path, status=1).stdout)
    assert "at most 3,071" in row["error"]


@pytest.mark.parametrize("format_", [CsvRows(top_k=2), JsonRows()])
def test_a_file_cut_anywhere_keeps_its_whole_rows(
    tmp_path: Path, format_: CsvRows | JsonRows
) -> None:
    output = tmp_path / "rows"
    answers = [
        Row(Key('a "b", c.png', "first", 2, "int8"), {"cat": 0.9, "dog": 0.1}),
        Row(Key("é.png", "first", 2, "int8"), {}, "It is, alas,\nbroken."),
        Row(Key("é.png", "final", 1, "int8"), {"ship": 0.5, "dog": 0.1}),
    ]
    with open_output(output, format_) as opened:
        opened.write(answers)
    content = output.read_bytes()
    assert len(content.splitlines()) == len(answers) + bool(format_.head)
    for length in range(len(content) + 1):
        output.write_bytes(content[:length])
        with open_output(output, format_) as opened:
            whole = max(content[:length].count(b"\n") - bool(format_.head), 0)
            assert opened.done == {row.key: bool(row.error) for row in answers[:whole]}
            opened.write(row for row in answers if row.key not in opened.done)
        assert output.read_bytes() == content


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    with (
        open_output(tmp_path / "rows", JsonRows()),
        pytest.raises(OutputError, match="another run"),
        open_output(tmp_path / "rows", JsonRows()),
    ):
        pass


def test_without_locks_a_file_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("portalocker.portalocker.LOCKER", fail)
    with open_output(tmp_path / "rows", JsonRows()) as opened:
        opened.write([Row(Key("a.png", "first", 2, "int8"), {"cat": 0.9})])
    assert json.loads((tmp_path / "rows").read_bytes())["class"] == "cat"
    [line] = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/rows cannot be locked" in line


@pytest.mark.slow
def test_a_killed_run_is_resumed(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    many = "\n".join(images_in(folder)) + "\n"
    for i in range(500):  # hard links, so that there is work left when it is killed
        os.link(images_in(folder)[0], tmp_path / f"{i:03}.png")
    arguments = [*COMMAND, "-", str(tmp_path), "--model", "final", "--output", str(output)]
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as killed:
        assert killed.stdin
        killed.stdin.write(many.encode())
        killed.stdin.close()
        wait_for(lambda: output.exists() and output.read_bytes().count(b"\n") >= 10)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    before = output.read_bytes()
    assert before.count(b"\n") < 500
    result = run(
        "-", tmp_path, "--model", "final", "--output", output, stdin=many.encode(), status=1
    )
    assert "1 of 541 files" in result.stderr
    assert output.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert [row["file"] for row in rows(output.read_bytes())] == [
        *images_in(folder),
        *sorted(map(str, tmp_path.glob("*.png"))),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"my notes\n",
        b"no line",
        b"\x89PNG\r\n\x1a\n\0",
        b"file,model,version,precision,class,confidence,error\nand,no,row\n",
        b"file,model,version,precision,class,confidence,class_2,confidence_2,error\n",
        b'{"file": "a.png", "model": "first"}\n',
        b"x" * 200_000,
    ],
)
def test_what_is_no_output_stays(tmp_path: Path, content: bytes) -> None:
    output = tmp_path / "rows.csv"
    output.write_bytes(content)
    for format_ in (CsvRows(top_k=1), JsonRows()):
        with (
            pytest.raises(OutputError, match=re.escape(f"{output}, line ") + ".*--output"),
            open_output(output, format_),
        ):
            pass
        assert output.read_bytes() == content


def test_a_full_disk_is_reported() -> None:
    stderr = run(SHIP, "--output", "/dev/full", status=1).stderr
    assert "cannot write /dev/full: No space left on device" in stderr


def test_wrong_names() -> None:
    for options, words in (
        (("--model", "fist"), "available models: first, second, final"),
        (("--version", "7"), "available versions"),
    ):
        assert words in run(SHIP, *options, status=2).stderr
    assert "no images in serving/classify" in run("serving/classify", status=1).stderr


@pytest.mark.slow
def test_a_progress_bar_on_a_terminal(folder: Path, tmp_path: Path) -> None:
    terminal, other_end = pty.openpty()
    arguments = [*COMMAND, str(folder), "--model", "first", "--output", str(tmp_path / "rows.csv")]
    with subprocess.Popen(arguments, cwd=ROOT, stderr=other_end) as process:
        os.close(other_end)
        shown = b""
        try:
            while chunk := os.read(terminal, 4096):
                shown += chunk
        except OSError:  # the other end is closed
            pass
    os.close(terminal)
    assert process.returncode == 1
    assert b"100%" in shown


def test_no_semaphore_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system whose /dev/shm is full, read-only or missing has none."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refuse)
    paths = images_in(folder)
    assert [path for path, _ in files.decode_files(paths, resize=False)] == paths


@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-"])
def test_closed_streams_are_not_missed(folder: Path, closed: str) -> None:
    image = images_in(folder)[0]
    shell = ("sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, image, "--model", "first")
    result = subprocess.run(shell, cwd=ROOT, capture_output=True, check=False)
    assert result.returncode == 0
    assert [row["file"] for row in rows(result.stdout)] == [image]


def test_a_closed_output_is_an_error(folder: Path) -> None:
    shell = ("sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, images_in(folder)[0], "--model", "first")
    result = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "standard output is closed" in error_line(result.returncode, result.stderr)


# A decoder that hangs or crashes on files that are called so.
MISBEHAVE = """
import os, signal
from serving.images import worker

def misbehave(path):
    if path.endswith("/hangs"):
        signal.pause()
    if path.endswith("/crashes"):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_file(path)

read_file, worker.read_file = worker.read_file, misbehave
worker.main()
"""


@pytest.mark.parametrize("resize", [False, True])
def test_files_that_hang_or_crash_a_decoder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, resize: bool
) -> None:
    # No such file is known: images.decode() bounds its work. That they get an end is tested all
    # the same, since the next flaw in a C library will not announce itself.
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", MISBEHAVE))
    monkeypatch.setattr(files, "DEADLINE", 2.0)
    paths = images_in(folder)
    paths.insert(20, "hangs")
    paths.insert(25, "crashes")
    found = list(files.decode_files(paths, resize=resize))
    assert [path for path, _ in found] == paths
    errors = {path: image for path, image in found if not isinstance(image, DecodedImage)}
    assert "more than 2 seconds" in str(errors["hangs"])
    assert "crashed its decoder" in str(errors["crashes"])
    assert len(errors) == 3  # and the broken one
