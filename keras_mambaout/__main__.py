"""`python -m keras_mambaout` is the `keras-mambaout` command."""

import sys

from keras_mambaout.cli import main

sys.exit(main())
