"""The face that clients of OpenAI's API know: models, chat completions, responses, embeddings.

Only `errors` is loaded with the server; the rest comes with the first request that wants it.
"""
