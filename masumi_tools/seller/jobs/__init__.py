"""Jobs: their record, their table, the watch over the node and the work on them."""
