"""What the processes agree on: job spec and states, queue, records, image store, settings, errors. Imports no torch."""
