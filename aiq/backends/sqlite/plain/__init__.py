"""Steps of plain jobs in a few statements over whole sets, within the transaction of the step. Each is a module."""
