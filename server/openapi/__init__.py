"""The description of the HTTP interface, made from the route table and the models, and the page that shows it."""
