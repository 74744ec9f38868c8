"""Live listeners: devices that are told as soon as their tenant's log has grown, and nothing of what is in it."""
