-- The journal: the events of journaled streams, for those who come back.

-- A journaled feed. One that no gateway has declared since longer than it retains is removed.
create table journal_feed (
	feed_id integer generated always as identity primary key,
	key bigint not null unique,
	stream text not null,
	topics text[] not null,
	retain_ms bigint not null check (retain_ms > 0),
	created_at timestamptz not null default now(),
	declared_at timestamptz not null default now()
);

-- What the journal is complete for: [first_offset, next_offset) of a partition. The last record that was read, by which a log that was made
-- anew is told from the old one; -1: none.
create table journal_offset (
	feed_id integer not null references journal_feed on delete cascade,
	topic smallint not null,
	partition integer not null,
	first_offset bigint not null check (first_offset >= 0),
	next_offset bigint not null check (next_offset >= first_offset),
	last_offset bigint not null default -1,
	last_time bigint not null default -1,
	updated_at timestamptz not null default now(),
	primary key (feed_id, topic, partition)
);

-- The partitions by time of a feed's events: the table journal_event_<feed_id>_<starts_at, in seconds since 1970>.
create table journal_range (
	feed_id integer not null references journal_feed on delete cascade,
	starts_at timestamptz not null,
	ends_at timestamptz not null check (ends_at > starts_at),
	primary key (feed_id, starts_at)
);

-- How far a partition was written in a range: its first_offset when the range is dropped.
create table journal_period (
	feed_id integer not null references journal_feed on delete cascade,
	starts_at timestamptz not null,
	topic smallint not null,
	partition integer not null,
	until_offset bigint not null,
	primary key (feed_id, starts_at, topic, partition)
);

create table journal_event (
	feed_id integer not null,
	route bigint not null,
	topic smallint not null,
	partition integer not null,
	"offset" bigint not null,
	event_time bigint not null,
	recorded_at timestamptz not null default now(),
	event_id text,
	key bytea,
	headers bytea,
	value bytea
) partition by list (feed_id);

create index journal_event_route on journal_event (feed_id, route, topic, partition, "offset");
create index journal_event_id on journal_event (feed_id, event_id) where event_id is not null;
