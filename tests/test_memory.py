"""`keep_memory` in processes of its own, since there is no way back."""

import os
import platform
import subprocess
import sys

import pytest

from keras_mambaout import memory

pytestmark = pytest.mark.no_backend
FRESH_PAGES = """
import ctypes, resource, sys
{prepare}
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def touch():
    array = bytearray(64 << 20)
touch()
before = pages()
for _ in range(5):
    touch()
print(pages() - before)
"""


def new_pages(prepare):
    """Pages that the system gave a process while it allocated 64 MB five times more."""
    command = [sys.executable, "-c", FRESH_PAGES.format(prepare=prepare)]
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_freed_memory_is_used_again():
    folder = os.path.dirname(memory.__file__)
    kept = new_pages(f"sys.path.insert(0, {folder!r}); import memory; assert memory.keep_memory()")
    assert kept < 0.1 * new_pages("")


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_memory() is False
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: memory.ctypes.PyDLL("no such library"))
    assert memory.keep_memory() is False
