"""`python -m keras_mambaout` is the `keras-mambaout` command."""

import sys

from keras_mambaout.cli import main

if __name__ == "__main__":
    sys.exit(main())
