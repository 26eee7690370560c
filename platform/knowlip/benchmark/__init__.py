"""The benchmark: data sets built from what tiles hold, answers and metrics.

Nothing is imported here: a worker that trains a classifier would else load all that captions are made with.
"""
