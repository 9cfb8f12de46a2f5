"""Schemathesis against a running server: does it answer as its description says, whatever it is sent?"""
