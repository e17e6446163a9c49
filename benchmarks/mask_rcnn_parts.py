"""Time of each part of a train step of Mask R-CNN on all backends: where a step goes.

    python benchmarks/mask_rcnn_parts.py
    python benchmarks/mask_rcnn_parts.py --backends torch --size 400 640   # a quick look

One process for each backend. A step runs once, operation by operation, and the arguments of every part are kept; then
each part is compiled and run alone on them, in turn on all backends. "Forward" is the median of the rounds, and
"backward" what forward and the gradients by inputs and weights take longer. The whole step is `train_on_batch` with
AdamW. Prints Markdown, in milliseconds.
"""

import argparse
import pathlib
import statistics
import sys

from keras_mambaout.compare import BACKENDS
from keras_mambaout.compare.process import Worker, keras_worker_command

WORKER = pathlib.Path(__file__).parent / "mask_rcnn_parts_worker.py"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mambaout_tiny")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1280), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--objects", type=int, default=10, help="in the image")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    args = parser.parse_args()

    workers, backends = {}, args.backends.split(",")
    try:
        for backend in backends:
            workers[backend] = Worker(backend, [sys.executable, str(WORKER)], keras_worker_command(backend)[1])
            arguments = {"model": args.model, "size": args.size, "objects": args.objects}
            names = workers[backend].request("build", **arguments)
        print(
            f"### Parts of Mask R-CNN, {args.model}, {args.size[0]} x {args.size[1]}, batch 1, {args.rounds} rounds\n"
        )
        print(f"| | {' | | '.join(backends)} | |")
        print(f"|---{'|---|---' * len(backends)}|")
        print(f"| part {'| forward | backward ' * len(backends)}|")
        for name in names:
            turns = [
                [workers[backend].request("seconds", part=name) for backend in backends] for _ in range(args.rounds)
            ]
            cells = [cell for of_one in zip(*turns, strict=True) for cell in cells_of(of_one)]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    finally:
        for worker in workers.values():
            worker.close()


def cells_of(seconds):
    """Returns the forward and the backward milliseconds of the rounds of one backend."""
    forward, *both = (1e3 * statistics.median(times) for times in zip(*seconds, strict=True))
    return f"{forward:.0f}", f"{both[0] - forward:.0f}" if both else ""


if __name__ == "__main__":
    main()
