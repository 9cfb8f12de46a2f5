"""The face for web front ends that speak AG-UI (Agent User Interaction Protocol, 1.0). Loaded with its first request."""
