"""The stages of the cascade: each one network, advanced a step at a time over rows that differ in all but the stage."""
