-- Where a subject's named cursors stand.

create sequence stream_cursor_generation;

create table stream_cursor (
	subject text not null check (length(subject) between 1 and 255),
	stream text not null,
	name text not null check (length(name) between 1 and 255),
	parameters_hash bigint not null,
	parameters text not null,
	generation bigint not null unique,
	event_id text,
	created_at timestamptz not null default now(),
	updated_at timestamptz not null default now(),
	primary key (subject, stream, name, parameters_hash)
) with (fillfactor = 70);
