"""Activities: what touches the world, as thin classes over ports."""
