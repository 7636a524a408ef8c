"""Networks that judge pictures: what is seen, where, in which colour, and whether a caption fits. Trained apart."""
