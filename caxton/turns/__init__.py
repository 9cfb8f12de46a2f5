"""A turn, step by step: what is read, done and recorded, whoever asks for it."""
