"""Taking over an ID PASS DataCollect server from its database: configs, logs, records, accounts, printed codes.

Its log is the truth here as well: events go through the same intake and the same push as everybody's. Its table of
entities, which it keeps beside the log, is only asked what the log does not explain. Every guid that is made here is
derived from what it stands for, so a run that was broken off, or a later one, finds what it did and repeats nothing.
"""
