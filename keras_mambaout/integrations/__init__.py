"""MambaOut under the heads of other Keras libraries, one file a library. Each needs the extra `detection`."""

from keras_mambaout.integrations.load_detector import load_detector
