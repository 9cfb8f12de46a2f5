"""Validation, activation and events of deployments."""
