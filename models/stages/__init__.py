"""The stages of the cascade: each one network, advanced one step at a time over rows that differ in everything but the stage."""
