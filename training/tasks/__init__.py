"""What each stage learns: CLIP, the prior, the decoder, the upsampler."""
