"""Memory back ends and embedders."""
