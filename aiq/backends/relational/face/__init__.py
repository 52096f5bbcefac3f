"""The operations of the storage, noun by noun, as `aiq.storage` has them."""
