-- Patterns that narrow what a subject receives: all rows of a (subject, stream) have to match. Changes are told on the
-- channel sluice_filters, with the subject; an empty payload means all of them.

create table user_filter (
	filter_id bigint generated always as identity primary key,
	subject text not null check (length(subject) between 1 and 255),
	stream text not null check (length(stream) between 1 and 255),
	pattern jsonb not null check (jsonb_typeof(pattern) = 'object'),
	created_at timestamptz not null default now()
);

create index user_filter_subject on user_filter (subject, stream, filter_id);

create function sluice_notify_filter() returns trigger language plpgsql as $$
begin
	if tg_op = 'TRUNCATE' then
		perform pg_notify('sluice_filters', '');
		return null;
	end if;
	if tg_op <> 'INSERT' then
		perform pg_notify('sluice_filters', old.subject);
	end if;
	if tg_op <> 'DELETE' and (tg_op = 'INSERT' or new.subject <> old.subject) then
		perform pg_notify('sluice_filters', new.subject);
	end if;
	return null;
end
$$;

create trigger user_filter_changed after insert or update or delete on user_filter
	for each row execute function sluice_notify_filter();

create trigger user_filter_truncated after truncate on user_filter
	for each statement execute function sluice_notify_filter();
