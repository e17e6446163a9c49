"""Runs the whole suite under each backend, one process each, and what needs no backend once.

    python tests/run_backends.py            all of them, as `make test` does
    python tests/run_backends.py jax        one backend, and the project's own tests

Prints pytest's output as it comes, then one summary line a run, then a line that counts all tests.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

BACKENDS = ("tensorflow", "jax", "torch")
ROOT = pathlib.Path(__file__).parents[1]
PROJECT_TESTS = "tests/project"
JAX_CACHE = {  # what a test compiled, others and later runs load: that is most of JAX's time
    "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(sys.prefix) / "jax-cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}


def run(name, backend, selection):
    """Runs pytest and returns its counts, the seconds and whether all went well."""
    print(f"\n=== {name} ===", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        environment = {**os.environ, **JAX_CACHE, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "pytest", "-q", "--durations=8", f"--junit-xml={report}", *selection]
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        counts = read_counts(report) if report.exists() else {"passed": 0, "failed": 1, "skipped": 0}
    if status != 0 and not counts["failed"]:
        counts["failed"] = 1  # pytest itself went wrong, or found no test
    return counts, time.monotonic() - start


def read_counts(report):
    suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite").attrib
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    return {"passed": int(suite["tests"]) - failed - skipped, "failed": failed, "skipped": skipped}


def main(backends):
    unknown = set(backends) - set(BACKENDS)
    if unknown:
        sys.exit(f"Unknown backend {', '.join(unknown)}: choose from {', '.join(BACKENDS)}.")
    runs = {name: (name, ["tests", f"--ignore={PROJECT_TESTS}"]) for name in backends}
    runs["project"] = (backends[0], [PROJECT_TESTS])
    results = {name: run(name, *arguments) for name, arguments in runs.items()}

    print()
    for name, (counts, seconds) in results.items():
        print(f"{name:<10} {describe(counts)} in {seconds:.0f} s")
    total = {key: sum(counts[key] for counts, _ in results.values()) for key in ("passed", "failed", "skipped")}
    print(describe(total))
    sys.exit(1 if total["failed"] else 0)


def describe(counts):
    return ", ".join(f"{count} {what}" for what, count in counts.items())


if __name__ == "__main__":
    main(sys.argv[1:] or BACKENDS)
