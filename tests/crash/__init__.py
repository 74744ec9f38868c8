"""What the crash tests are made of: devices that push for as long as it takes, what they were promised, and killing."""
