"""Every server, against every fault and every kind of client."""
