"""What is particular to one store, and to what stores share."""
