"""How well work keeps within a provider's rate limit, and uses it up: ours, what others do, and an ideal."""
