"""The folder of the disk tier: a real one, made, used, shared and broken."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest
from mlx_serving.mlx.disk_files import DRAFT_SECONDS_MAX, OWN_FOLDER, PIECES_MAX, DiskFiles

NAME = bytes(range(16))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_and_its_files_are_the_users_alone(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path / "a" / "b")
    files.write(NAME, 5, [b"abc"])
    own = tmp_path / "a" / "b" / OWN_FOLDER
    assert mode(own) == mode(tmp_path / "a" / "b") == 0o700
    assert [mode(path) for path in own.iterdir()] == [0o600]
    own.chmod(0o755)
    DiskFiles(tmp_path / "a" / "b")
    assert mode(own) == 0o700


def test_what_is_written_is_listed_with_its_use_and_read(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    pieces = [bytes([index % 256]) * 3 for index in range(2 * PIECES_MAX + 1)]
    files.write(NAME, 12_345_678_901, pieces)
    files.sync()
    (one,) = files.list()
    assert (one.name, one.used_ns, one.size_bytes) == (NAME, 12_345_678_901, 3 * len(pieces))
    assert bytes(files.read(NAME, 10**6)) == b"".join(pieces)
    assert bytes(files.read(NAME, 2)) == b"\0\0"
    files.use(NAME, 99)
    assert files.used_ns(NAME) == 99
    files.remove(NAME)
    assert files.list() == []
    for gone in (files.remove, files.used_ns, lambda name: files.read(name, 1)):
        with pytest.raises(FileNotFoundError):
            gone(NAME)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    own = tmp_path / OWN_FOLDER
    (own / "notes.safetensors").write_text("mine")
    (tmp_path / f"{NAME.hex()}.safetensors").write_text("mine")
    assert files.list() == [] and (own / "notes.safetensors").exists()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DiskFiles(tmp_path)

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for call in ("writev", "fsync", "utime"):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, full)
            with pytest.raises(OSError, match="No space"):
                files.write(NAME, 5, [b"abc"])
        assert list((tmp_path / OWN_FOLDER).iterdir()) == []


def test_a_call_may_write_less_than_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DiskFiles(tmp_path)

    def little(file: int, pieces: list[memoryview]) -> int:
        return os.write(file, pieces[0][:2])

    monkeypatch.setattr(os, "writev", little)
    files.write(NAME, 5, [b"abc", b"", b"defgh"])
    assert bytes(files.read(NAME, 100)) == b"abcdefgh"


def test_drafts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    own = tmp_path / OWN_FOLDER
    old, new = own / ".host.1.0.draft", own / ".host.2.0.draft"
    for path in (old, new):
        path.write_text("half")
    past = time.time() - DRAFT_SECONDS_MAX - 10
    os.utime(old, (past, past))
    assert files.list() == []
    assert not old.exists() and new.exists()


def test_a_folder_that_cannot_be_used_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        DiskFiles(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        DiskFiles(tmp_path / "file" / "below")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / OWN_FOLDER).symlink_to(elsewhere)
    with pytest.raises(PermissionError, match="no folder of this user's"):
        DiskFiles(tmp_path)
    # Root may write whatever the mode is, so the system is asked and not the mode.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="can't be written"):
        DiskFiles(tmp_path / "other")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / OWN_FOLDER / f"{NAME.hex()}.safetensors").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        files.read(NAME, 100)
    files.remove(NAME)
    assert secret.exists()
