"""The sprites and captions that the cascade learns from, built from npm packages."""
