"""What the storage in Redis offers, noun by noun."""
