"""Runs the whole suite under each backend, one process each, and what needs no backend once.

    python tests/run_backends.py            all of them, as `make test` does
    python tests/run_backends.py jax        one backend, and the project's own tests

Two processes run side by side, on one core each: compiling, which is most of the time, uses no more. Prints
pytest's output of each run when it ends, then one summary line a run, then a line that counts all tests.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

BACKENDS = ("jax", "tensorflow", "torch")  # the longest first
AT_ONCE = min(2, os.cpu_count() or 1)
ROOT = pathlib.Path(__file__).parents[1]
PROJECT_TESTS = "tests/project"
NOTEBOOKS = f"{PROJECT_TESTS}/test_notebooks.py"  # half of their time
JAX_CACHE = {  # what a test compiled, others and later runs load: that is most of JAX's time
    "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(sys.prefix) / "jax-cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}
JAX_COMPILES_FAST = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # not where a test asks for the fixture `optimized`
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}  # else the processes wait for each other


def run(name, backend, selection):
    """Runs pytest and returns its counts, the seconds and whether all went well."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        settings = {**JAX_CACHE, **JAX_COMPILES_FAST, **ONE_THREAD, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment = {**os.environ, **settings, "KERAS_BACKEND": backend}
        command = [sys.executable, "-m", "pytest", "-q", "--durations=8", f"--junit-xml={report}", *selection]
        print(f"=== {name}: started ===", flush=True)
        process = subprocess.run(
            command, cwd=ROOT, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        counts = read_counts(report) if report.exists() else {"passed": 0, "failed": 1, "skipped": 0}
    if process.returncode != 0 and not counts["failed"]:
        counts["failed"] = 1  # pytest itself went wrong, or found no test
    seconds = time.monotonic() - start
    print(f"\n=== {name}: {describe(counts)} in {seconds:.0f} s ===\n{process.stdout}", flush=True)
    return counts, seconds


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
    backend = "tensorflow" if "tensorflow" in backends else backends[0]
    runs["notebooks"] = (backend, [NOTEBOOKS])
    runs["project"] = (backend, [PROJECT_TESTS, f"--ignore={NOTEBOOKS}"])
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = {name: pool.submit(run, name, *arguments) for name, arguments in runs.items()}
        results = {name: future.result() for name, future in waiting.items()}

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
