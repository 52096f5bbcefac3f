"""The reference: the specification in plain Python, and the oracle that other stores are compared with.

A newcomer who writes a store reads, in this order: `data` (what is stored; `accounts` of limits and budgets, `lanes`
of ready jobs), `transition` (the one way a job changes state), `books` and `yard` (how the rules of admission read and
write all that), then one file per operation. Nothing here waits: an operation is one function from the tables
and the instant to an answer, and `storage` puts an async face on it.
"""
