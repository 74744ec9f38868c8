"""App configs: what a tenant's field apps are made of, read from an uploaded JSON document.

`model` reads and checks a config, `secrets` masks what must not be answered and takes masks back, `versions` makes the
next version of a config from an upload, `artifact` makes what phones may read without a login, `seeds` turns the
config's entity data into events. Nothing here knows a database or HTTP.
"""
