"""The path of a request, in the order it runs: path, request_log, problems, endpoint with body."""
