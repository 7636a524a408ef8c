"""`unclip eval inpainting`: is what is named painted inside the mask? Object masks against random masks in training."""
