"""The path of a request, in the order it runs: connection, path, request_log, problems, admission, endpoint, body.

Beside it: load and turns say what may be under way at once, lane where large requests are worked on; unpacking, packing
and streaming are about bodies and answers as they travel.
"""
