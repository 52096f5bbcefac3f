"""What tests of queues need: a pytest plugin, a hand-turned clock, a store that fails on demand, a provider."""
