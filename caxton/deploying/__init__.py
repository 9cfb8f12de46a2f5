"""What a deployment checks, sets live and tells."""
