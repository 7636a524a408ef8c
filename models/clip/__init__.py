"""CLIP: a frozen sentence tower with a learned projection, and a small vision transformer, trained together by open_clip."""
