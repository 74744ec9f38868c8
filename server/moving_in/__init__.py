"""Moving in: taking over what another server has collected, so that its phones go on with this one."""
