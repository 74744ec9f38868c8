"""Reading entities: lists, counts, one of them, and the events it is made of."""
