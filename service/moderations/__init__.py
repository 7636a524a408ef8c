"""What the content filters say of a text or a picture, asked outright."""
