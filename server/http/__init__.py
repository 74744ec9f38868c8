"""The path of a request, in the order it runs: connection, path, request_log, problems, admission, endpoint, body."""
