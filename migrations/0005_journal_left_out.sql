-- Of an event whose value was larger than the stream takes, and is not kept: its route keys, and null in value.

alter table journal_event add column left_out bytea;
