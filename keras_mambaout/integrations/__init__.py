"""MambaOut under the heads of other Keras libraries, one file per library. Each needs the extra `detection`."""

__all__: list[str] = []
