"""What both modes stand on: the settings, the one poller, and the two ways to run the parts."""
