"""The loops of a worker over a Storage: claim, run, renew, upkeep, stop. Which storage it is, nothing here knows."""
