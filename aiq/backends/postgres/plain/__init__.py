"""Steps of plain jobs that functions of the schema make whole, in one round trip. Each operation is a module."""
