"""Wrong inputs by the thousand, and a table of what became of them: `make fuzz`.

    python tests/fuzz/fuzz.py                          all kinds, as many as each says, seed 0
    python tests/fuzz/fuzz.py files images --count 50 --seed 3
    python tests/fuzz/fuzz.py files --only 1234        one case again, in this process, with its traceback

A kind of input is a module `fuzz_KIND.py` with

    COUNT                 how many cases `make fuzz` tries
    prepare(folder)       makes what all cases start from, in an empty folder, and returns it
    make(made, random)    makes one wrong input from a `numpy.random.Generator` and returns `(what is wrong, input)`
    attempt(made, input)  tries it and returns the outcome; what it raises is the outcome "traceback"

Cases run in processes of their own, with 2 GiB more memory than `prepare` left them with: a process that dies, or stays
silent for a minute, is the outcome "death" of the case that it was at, and another one goes on behind it. A case is a
function of kind, seed and number.

Prints a table for `docs/reliability.md`; ends with status 1 if an outcome was one of `BAD`.
"""

import argparse
import collections
import importlib
import json
import os
import pathlib
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import numpy as np

KINDS = ("files", "annotations", "images", "commands", "faults")
GOOD = {
    "right": "the input was valid after all, and what came out is right",
    "valid": "still a valid file by its format, which has nothing that contradicts it: read as what it now says",
    "refused": "one `ValueError` (or its like) that names the input; nothing changed",
    "warned": "used, with a warning that names what is wrong",
}
BAD = {
    "traceback": "another error, or one without the name of the input",
    "death": "the process ended, or hung for a minute",
    "silent": "used as if it were right",
    "changed": "refused, but something is different from before",
}
MEMORY = 2 * 2**30  # what a case may use beyond what `prepare` left
PATIENCE = 60.0  # seconds that a case may take
LONGER = {"faults": 10 * PATIENCE}  # kinds whose cases are trainings
HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent / "helpers"))  # of the kinds


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Tries wrong inputs and prints what became of them.")
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--count", type=int, help="cases of each kind (default: what the kind says)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="CASE", help="run one case in this process")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.worker:
        work(args.kinds[0], args.seed, range(args.first, args.count), guarded)
        return 0
    if args.only is not None:
        work(args.kinds[0], args.seed, [args.only], unguarded)
        return 0
    bad = 0
    for kind in args.kinds:
        begin = time.monotonic()
        results = run(kind, args.count or importlib.import_module(f"fuzz_{kind}").COUNT, args.seed)
        print(f"\n{kind}, seed {args.seed}, {time.monotonic() - begin:.0f} s\n\n{table(results)}", flush=True)
        wrong = [result for result in results if result["outcome"] in BAD]
        bad += len(wrong)
        for result in wrong[:20]:
            print(f"  {kind} --seed {args.seed} --only {result['case']}: {result['outcome']}: {result['detail']}")
    return 1 if bad else 0


def run(kind, count, seed=0):
    """Returns a dict of `case`, `wrong`, `outcome` and `detail` for each case, from processes of their own."""
    results = []
    while len(results) < count:
        results += _one_process(kind, len(results), count, seed)
    return results


def table(results):
    """Returns the outcomes by what was wrong, as Markdown."""
    outcomes = [name for name in (*GOOD, *BAD) if name in BAD or any(row["outcome"] == name for row in results)]
    counts = collections.Counter((row["wrong"], row["outcome"]) for row in results)
    totals = collections.Counter(row["outcome"] for row in results)
    lines = [f"| input | cases | {' | '.join(outcomes)} |", "|---|" + "---:|" * (len(outcomes) + 1)]
    for wrong in sorted({row["wrong"] for row in results}):
        row = [counts[wrong, outcome] for outcome in outcomes]
        lines.append(f"| {wrong} | {sum(row)} | {' | '.join(map(str, row))} |")
    lines.append(f"| all | {len(results)} | {' | '.join(str(totals[outcome]) for outcome in outcomes)} |")
    return "\n".join(lines)


def _one_process(kind, first, stop, seed):
    """Returns the results of the cases from `first` on, up to the one at which the process died."""
    command = [sys.executable, __file__, "--worker", kind, "--seed", str(seed), "--first", str(first)]
    command += ["--count", str(stop)]
    results, begun, lines = [], None, queue.Queue()
    patience = LONGER.get(kind, PATIENCE)
    with tempfile.TemporaryFile("w+") as errors:
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment())
        threading.Thread(target=_forward, args=(worker.stdout, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=patience if begun else 5 * PATIENCE)
            except queue.Empty:
                break
            if not line:
                break
            message = json.loads(line)
            if "outcome" in message:
                results.append(message)
            else:
                begun = message
        worker.kill()
        status = worker.wait()
        errors.seek(0)
        said = errors.read()[-2000:]
    if len(results) < stop - first:
        if begun is None or (results and begun["case"] == results[-1]["case"]):
            raise RuntimeError(f"{kind} could not be prepared, or a case not made (status {status}):\n{said}")
        results.append({**begun, "outcome": "death", "detail": f"status {status}: {' '.join(said.split())[-300:]}"})
    return results


def _forward(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put("")


def environment():
    """Returns the environment of a worker: this checkout, quiet, on the backend of the caller or PyTorch."""
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE), str(HERE.parent / "helpers")])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    return {"KERAS_BACKEND": "torch", **os.environ, **quiet, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def work(kind, seed, cases, attempt):
    """Runs cases in this process, and prints a line of JSON before and after each."""
    channel, sys.stdout = sys.stdout, sys.stderr  # what a case prints is not a result
    module = importlib.import_module(f"fuzz_{kind}")
    with tempfile.TemporaryDirectory() as folder:
        made = module.prepare(folder)
        if attempt is guarded:
            _limit_memory()
        for case in cases:
            wrong, given = module.make(made, np.random.default_rng((*kind.encode(), seed, case)))
            result = {"case": case, "wrong": wrong}
            print(json.dumps(result), file=channel, flush=True)
            outcome, detail = attempt(module, made, given)
            print(json.dumps({**result, "outcome": outcome, "detail": detail}), file=channel, flush=True)


def guarded(module, made, given):
    """Returns the outcome of a case, and what it raised."""
    try:
        return module.attempt(made, given), ""
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return "traceback", f"{type(error).__name__}: {str(error)[:300]} ({where})"


def unguarded(module, made, given):
    """Returns the outcome of a case, and raises what it raises."""
    return module.attempt(made, given), ""


def _limit_memory():
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


if __name__ == "__main__":
    sys.exit(main())
