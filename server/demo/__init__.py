"""The main job as a story: what `croft demo` plays against a running server, over HTTP alone, as phones would."""
