"""Jobs: submit, follow, cancel."""
