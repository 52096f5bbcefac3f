"""What the stores in SQL share: each operation is a step, decided in Python, on rows that statements read and write."""
