"""Connections and requests as bytes: what a client may take of the server before anybody knows who it is."""
