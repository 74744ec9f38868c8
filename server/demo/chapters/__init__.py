"""The chapters of the story, in the order in which `server.demo.story` tells them."""
