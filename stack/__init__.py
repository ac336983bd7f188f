"""The control plane: it starts and stops the parts of the stack, and decides which version is served.

A module imports only from below. From the bottom: config, errors, wait and interruption; `modes`; `release`;
doctor, vendor and run; at the top `__main__`, the command line.
"""
