"""MambaOut under the heads of other Keras libraries, one file a library. Each needs the extra `detection`."""
