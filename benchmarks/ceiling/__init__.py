"""What a store could do at most, so that every figure of ours is also a part of that."""
