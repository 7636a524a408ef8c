"""Pictures that callers bring: read in a limited child process, looked at by the filter, kept under an id."""
