"""What operators see: metrics, traces and logs. No prompt, no reply and no secret is in any of them."""
