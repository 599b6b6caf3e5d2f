"""`opsctl watch`: runs the checks again and again in one process, and says how that goes.

What one run decides is the same as in `opsctl check`; what is added is what outlives a run: configuration that is read
again, a journal that comes back, numbers and health.
"""
