"""Response models of the API that are not domain models: the server writes them, the client reads them.

Fields that a version does not know are ignored, and words that may become more are read as they come, so that a client gets along
with a newer server.
"""
