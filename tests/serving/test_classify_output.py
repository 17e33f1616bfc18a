"""The output of `python -m serving classify`: resumed after a cut, locked, never another file."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

from serving.classify.rows import CsvRows, JsonRows, Key, OutputError, Row, open_output


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
