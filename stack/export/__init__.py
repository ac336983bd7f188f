"""Writes what a cluster needs to run a checked version's image as `serving` runs it here.

service.py reads what the Compose files say of `serving`, version.py which image has passed. Of both,
values.py makes what kubernetes.py fills in templates/ with. command.py writes the files.
"""
