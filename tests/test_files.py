"""Where files can be written is known before the work."""

import os
import stat

import pytest

from keras_mambaout.files import (
    check_folder,
    check_output_file,
    check_output_folder,
    read_text,
    write_text,
    write_whole,
)

pytestmark = pytest.mark.no_backend


@pytest.fixture
def place(tmp_path):
    (tmp_path / "file.txt").write_text("as it was")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["new", "folder", "folder/new", "new/in/new"])
def test_a_folder_that_can_be_made(place, name):
    check_output_folder(place / name)
    check_output_file(place / name / "x.png")
    assert sorted(os.listdir(place)) == ["file.txt", "folder"] and not os.listdir(place / "folder")


WRONG = {"file.txt/below": "Not a directory", f"{'n' * 300}": "too long", f"new/{'n' * 300}": "too long", "\0": "null"}


@pytest.mark.parametrize("check", [check_output_folder, check_output_file])
@pytest.mark.parametrize(("name", "why"), WRONG.items(), ids=["below a file", "long", "long below", "NUL"])
def test_a_place_where_nothing_can_be(place, name, why, check):
    with pytest.raises(ValueError, match=f"Cannot write to .*{why}"):
        check(f"{place}/{name}")


def test_a_folder_for_a_file_and_a_file_for_a_folder(place):
    with pytest.raises(ValueError, match=r"file\.txt' is a file: give the path of a folder"):
        check_output_folder(place / "file.txt")
    for check in (check_output_file, check_folder):
        with pytest.raises(ValueError, match="folder' is a folder: give the path of a file"):
            check(place / "folder")
    with pytest.raises(ValueError, match="is neither a file nor a folder: give the path of a file"):
        check_output_file("/dev/null")
    for check in (check_output_folder, check_output_file):
        with pytest.raises(ValueError, match="is an empty text"):
            check("")
    with pytest.raises(ValueError, match="There is no folder"):
        check_folder(place / "new" / "x.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(place):
    (place / "folder").chmod(0o500)
    for check, name in (
        (check_output_folder, "folder"),
        (check_output_folder, "folder/new"),
        (check_folder, "folder/x"),
    ):
        with pytest.raises(ValueError, match="no permission to write into"):
            check(place / name)


def test_no_permission(place, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match=r"no permission to write into .*folder'\."):
        check_output_folder(place / "folder" / "new")


def test_a_device_without_end_is_not_read(place):
    assert read_text(place / "file.txt") == "as it was"
    for path in ("/dev/zero", "/dev/null"):
        with pytest.raises(OSError, match="is a device"):
            read_text(path)


def test_a_device_is_not_replaced_by_a_file(place):
    os.mkfifo(place / "pipe")
    for path in (place / "pipe", place / "folder"):
        with pytest.raises(OSError, match="nothing was written"):
            write_whole(path, lambda part: pytest.fail("written"))
        with pytest.raises(ValueError, match="Cannot write"):
            write_text("text", path)
    assert stat.S_ISFIFO((place / "pipe").stat().st_mode)
