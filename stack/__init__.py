"""The control plane: it starts and stops the parts of the stack, and decides which version is served.

An import goes downwards only: config, errors, wait, interruption; on them `modes`; on that `release`; on top
doctor, vendor, run; and `__main__`, the command line.
"""
