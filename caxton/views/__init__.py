"""What the API answers with, where it is not a model of the domain: the server makes it, the client reads it.

Fields that a version does not know are ignored, and words that may become more are read as they come, so that a client gets along
with a newer server.
"""
