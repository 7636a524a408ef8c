"""The command line, the local supervisor and the HTTP client. The one package that may import every other; it does so late."""

__version__ = "0.1.0"
