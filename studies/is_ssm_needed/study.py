"""Is the state space model needed? Trains and measures, and writes results, tables and pictures.

    python studies/is_ssm_needed/study.py                            all parts, into output/is_ssm_needed
    python studies/is_ssm_needed/study.py --part distance --seeds 5
    python studies/is_ssm_needed/study.py --quick                    tiny runs, whose numbers mean nothing

Each run is written to `results.jsonl` as soon as it ends; runs that stand there are not done again, so an interrupted
study goes on. Then `tables.md` and the pictures are made from that file. README.md says what came out.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time

import report
import tasks

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when `runs` imports Keras
ENVIRONMENT = dict(os.environ)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}  # for each process
VARIED = ("task", "mixer", "seed", "backend")  # between the runs of a part
FOLDER = pathlib.Path(__file__).resolve().parent
PARTS = {
    "classification": {
        "tasks": ["digits", "photos"],
        "mixers": ["conv 7", "conv + SSM", "causal conv 7", "identity"],
        "shape": "pyramid",
        "options": {"depths": [1, 1, 2, 1], "dims": [16, 32, 64, 96]},
        "steps": 600,
        "batch": 32,
        "rate": 1e-3,
    },
    "distance": {
        "tasks": ["painted rows"],
        "mixers": [
            "conv 7",
            "conv 11",
            "causal conv 7",
            "conv + SSM",
            "conv + SSM, 1 direction",
            "conv + SSM, 1 direction, 16 states",
            "identity",
        ],
        "shape": "plain",
        "options": {"blocks": 2, "dim": 32, "patch": 1, "pooled": False},
        "steps": 400,
        "batch": 8,
        "rate": 3e-3,
        "height": 8,
        "width": 40,
        "longest": 40,
        "test_images": 200,
    },
    "causal": {
        "tasks": ["photos"],
        "mixers": ["conv 7", "causal conv 7", "causal conv 9", "SSM", "SSM, 1 direction"],
        "shape": "plain",
        "options": {"blocks": 3, "dim": 32, "patch": 4, "pooled": True},
        "steps": 600,
        "batch": 32,
        "rate": 1e-3,
    },
    "cost": {
        "backends": ["tensorflow", "jax", "torch"],
        "mixers": ["conv 7", "conv + SSM", "identity"],
        "sides": [14, 28, 56, 112],
        "channels": 96,
        "repeats": 3,
    },
}
QUICK = {
    "classification": {
        "steps": 2,
        "batch": 8,
        "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 16, 32]},
        "test_every": 10,
    },
    "distance": {
        "steps": 2,
        "batch": 2,
        "options": {"blocks": 1, "dim": 32, "patch": 1, "pooled": False},
        "height": 4,
        "width": 16,
        "longest": 16,
        "test_images": 16,
    },
    "causal": {
        "steps": 2,
        "batch": 8,
        "options": {"blocks": 1, "dim": 16, "patch": 4, "pooled": True},
        "test_every": 10,
    },
    "cost": {"backends": ["torch"], "mixers": ["conv 7", "conv + SSM"], "sides": [7, 14], "channels": 16, "repeats": 1},
}


def plan(part, quick=False, seeds=3, longer=1):
    """Returns the runs of a part: each a dict of everything that decides its result."""
    common = {**PARTS[part], **(QUICK[part] if quick else {})}
    if "steps" in common:
        common["steps"] *= longer
    mixers = common.pop("mixers")
    if part == "cost":
        backends = common.pop("backends")
        return [
            {"part": part, "backend": backend, "mixer": mixer, **common} for backend in backends for mixer in mixers
        ]
    names = common.pop("tasks")
    return [
        {"part": part, "task": task, "mixer": mixer, "seed": seed, **common}
        for seed in range(seeds)
        for task in names
        for mixer in mixers
    ]


def without_missing_data(runs):
    """Leaves out runs whose data is not on this machine, and says so."""
    missing = {}
    for name in {run["task"] for run in runs if "task" in run}:
        try:
            tasks.create(name, next(run for run in runs if run.get("task") == name))
        except tasks.Missing as reason:
            missing[name] = reason
            print(f"{name} skipped: {reason}", flush=True)
    return [run for run in runs if run.get("task") not in missing]


def results_of(run):
    """Does one run in this process, or in one of its own for a cost on a backend."""
    if run["part"] != "cost":
        import runs  # imports the backend, which the cost of others must not wait for

        return runs.train(run)
    environment = {**ENVIRONMENT, **ONE_THREAD, "KERAS_BACKEND": run["backend"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, str(FOLDER / "cost.py"), json.dumps(run)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{run} failed:\n{process.stderr}")
    return json.loads(process.stdout.splitlines()[-1])


def settings(run):
    """Returns what all runs of a part have in common."""
    return {name: value for name, value in run.items() if name not in VARIED}


def do(runs, path, workers):
    """Does the runs that `path` has no results of, and appends each as a line when it ends."""
    path.touch()
    if path.read_text()[-1:] not in ("", "\n"):  # a line was cut off while it was written
        with path.open("a") as file:
            file.write("\n")
    done = [record["run"] for record in report.read(path)]
    if not all(settings(old) == settings(new) for old in done for new in runs if old["part"] == new["part"]):
        raise SystemExit(f"{path} has runs of this part with other settings: choose another --output.")
    waiting = [run for run in runs if run not in done]
    start, count = time.perf_counter(), 0

    def store(run, result):
        nonlocal count
        count += 1
        with path.open("a") as file:
            file.write(json.dumps({"run": run, "result": result}) + "\n")
        about = " ".join(str(run[name]) for name in ("part", "task", "backend", "mixer", "seed") if name in run)
        shown = {name: result[name] for name in ("accuracy", "seconds", "by_side") if name in result}
        minutes = (time.perf_counter() - start) / 60
        print(f"{count}/{len(waiting)}, {minutes:.1f} min: {about}: {shown}", flush=True)

    alone = [run for run in waiting if run["part"] == "cost" or workers == 1]
    beside = [run for run in waiting if run not in alone]
    if beside:
        os.environ.update(ONE_THREAD)  # which the workers inherit
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn) as pool:
            futures = {pool.submit(results_of, run): run for run in beside}
            for future in concurrent.futures.as_completed(futures):
                store(futures[future], future.result())
    for run in alone:
        store(run, results_of(run))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="tiny networks and two steps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--longer", type=int, default=1, metavar="N", help="N times as many steps of training")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 4), help="processes side by side")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("output/is_ssm_needed"))
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "results.jsonl"
    for part in PARTS if args.part == "all" else [args.part]:
        runs = without_missing_data(plan(part, args.quick, args.seeds, args.longer))
        do(runs, path, args.workers)
    report.write(args.output)


if __name__ == "__main__":
    main()
