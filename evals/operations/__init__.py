"""`unclip eval operations`: what encoding, variations, edits, interpolation and masks by words do to known pictures."""
