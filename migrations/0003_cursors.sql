-- Where a subject's named cursors stand.

create table stream_cursor (
	subject text not null check (length(subject) between 1 and 255),
	stream text not null,
	name text not null check (length(name) between 1 and 255),
	event_id text not null,
	updated_at timestamptz not null default now(),
	primary key (subject, stream, name)
);

create index stream_cursor_updated_at on stream_cursor (updated_at);
