"""A worker of `compare_backends` with one layer that is wrong: `wrong_worker.py LAYER`, to test that it is found."""

import sys

from keras_mambaout.compare.worker import KerasWorker, serve_worker


class WrongWorker(KerasWorker):
    def build(self, *args, **kwargs):
        seconds = super().build(*args, **kwargs)
        variable = self.model.get_layer(sys.argv[1]).trainable_variables[-1]
        variable.assign(1.1 * variable.numpy() + 0.1)
        self.remember()
        return seconds


if __name__ == "__main__":
    serve_worker(WrongWorker())
