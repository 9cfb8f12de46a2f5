"""Workflows: what happens, durably. Deterministic code only; whatever touches the world is an activity."""
