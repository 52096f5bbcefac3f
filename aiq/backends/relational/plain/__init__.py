"""Which steps are plain, as far as that can be seen without a look at the storage, and whether a shorter way pays."""
