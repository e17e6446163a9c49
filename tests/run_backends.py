"""Runs the suite under each backend, one process each, and what touches no backend once.

    python tests/run_backends.py            all of them, as `make test` does
    python tests/run_backends.py jax        one backend, what touches none, and the project's own tests
    python tests/run_backends.py --all      as `make test-all`: exhaustive tests too, what touches no backend under
                                            each, and JAX compiles as it does for users

On two cores three processes run side by side, each on one thread: compiling, which is most of the time, uses no more.
Prints pytest's output of each run when it ends, then one summary line for each run, then a line that counts all tests.
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

BACKENDS = ("jax", "tensorflow", "torch")  # the longest first
AT_ONCE = min((os.cpu_count() or 1) + 1, 4)  # one more than cores: each waits at times for files and processes
ROOT = pathlib.Path(__file__).parents[1]
PROJECT = "tests/project"  # what the project promises: README, notebooks, installation
JAX_CACHE = {  # what a test compiled, others and later runs load: that is most of JAX's time
    "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(sys.prefix) / "jax-cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}
JAX_COMPILES_FAST = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # not where a test asks for the fixture `optimized`
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}  # else the processes wait for each other
QUICK, EXHAUSTIVE = "not slow and not exhaustive", "not slow"


def plan(backends, everything):
    """Returns `{name: (backend, arguments of pytest)}`, in the order in which they begin."""
    chosen = EXHAUSTIVE if everything else QUICK
    once = "tensorflow" if "tensorflow" in backends else backends[0]
    if everything:
        runs = {name: (name, ["-m", chosen, "tests", f"--ignore={PROJECT}"]) for name in backends}
    else:
        suite = ["-m", f"{chosen} and not no_backend", "tests", f"--ignore={PROJECT}"]
        runs = {name: (name, suite) for name in backends}
        runs["once"] = (once, ["-m", f"{chosen} and no_backend", "tests", f"--ignore={PROJECT}"])
    runs["notebooks"] = (once, ["-m", chosen, f"{PROJECT}/test_notebooks.py"])
    runs["project"] = (once, ["-m", chosen, PROJECT, f"--ignore={PROJECT}/test_notebooks.py"])
    return runs


def run(name, backend, arguments, settings, durations):
    """Runs pytest and returns its counts and the seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        environment = {**os.environ, **settings, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend}
        command = [sys.executable, "-m", "pytest", "-q", f"--durations={durations}", f"--junit-xml={report}"]
        print(f"=== {name}: started ===", flush=True)
        process = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        counts = read_counts(report) if report.exists() else {"passed": 0, "failed": 1, "skipped": 0}
    if process.returncode != 0 and not counts["failed"]:
        counts["failed"] = 1  # pytest itself went wrong, or found no test
    seconds = time.monotonic() - start
    print(f"\n=== {name}: {describe(counts)} in {seconds:.0f} s ===\n{process.stdout}", flush=True)
    return counts, seconds


def read_counts(report):
    """Returns how many tests of a report passed, failed and were skipped."""
    suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite").attrib
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    return {"passed": int(suite["tests"]) - failed - skipped, "failed": failed, "skipped": skipped}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", metavar="BACKEND", help=f"of {', '.join(BACKENDS)} (default: all)")
    parser.add_argument("--all", action="store_true", help="exhaustive tests too")
    parser.add_argument("--durations", type=int, default=15, help="slowest tests to list (default: %(default)s)")
    args = parser.parse_args()
    unknown = set(args.backends) - set(BACKENDS)
    if unknown:
        parser.error(f"unknown backend {', '.join(sorted(unknown))}: choose from {', '.join(BACKENDS)}")
    settings = {**JAX_CACHE, **ONE_THREAD, **({} if args.all else JAX_COMPILES_FAST)}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = {
            name: pool.submit(run, name, *arguments, settings, args.durations)
            for name, arguments in plan(args.backends or list(BACKENDS), args.all).items()
        }
        results = {name: future.result() for name, future in waiting.items()}

    print()
    for name, (counts, seconds) in results.items():
        print(f"{name:<10} {describe(counts)} in {seconds:.0f} s")
    total = {key: sum(counts[key] for counts, _ in results.values()) for key in ("passed", "failed", "skipped")}
    print(describe(total))
    sys.exit(1 if total["failed"] else 0)


def describe(counts):
    """Returns counts as text."""
    return ", ".join(f"{count} {what}" for what, count in counts.items())


if __name__ == "__main__":
    main()
