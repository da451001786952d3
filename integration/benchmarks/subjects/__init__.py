"""Servers under test, one process each, and the load; all speak lines with the driver.

A server prints ``READY address``; for each line ``push`` it changes one resource and prints
``PUSHED nanoseconds``, the wall clock just before. The load prints ``READY`` when every
stream has had a response; for each line ``round`` it prints ``ARMED`` and, after one more
response on every stream, a JSON object with times.
"""
