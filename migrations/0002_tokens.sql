-- Opaque tokens, and what is revoked. Changes are told on the channel sluice_auth.

create table token (
	token_id bigint generated always as identity primary key,
	sha256 bytea not null unique check (length(sha256) = 32),
	subject text not null check (length(subject) between 1 and 255),
	claims jsonb not null default '{}' check (jsonb_typeof(claims) = 'object'),
	created_at timestamptz not null default now(),
	expires_at timestamptz,
	revoked_at timestamptz
);

create index token_subject on token (subject);

create table revocation (
	kind text not null check (kind in ('jti', 'subject')),
	value text not null check (length(value) between 1 and 255),
	revoked_at timestamptz not null default now(),
	expires_at timestamptz,
	primary key (kind, value)
);

create function sluice_notify_token() returns trigger language plpgsql as $$
begin
	perform pg_notify('sluice_auth', 'token:' || encode(coalesce(new.sha256, old.sha256), 'hex'));
	return null;
end
$$;

create trigger token_changed after insert or update or delete on token
	for each row execute function sluice_notify_token();

create function sluice_notify_revocation() returns trigger language plpgsql as $$
begin
	perform pg_notify('sluice_auth', coalesce(new.kind, old.kind) || ':' || coalesce(new.value, old.value));
	return null;
end
$$;

create trigger revocation_changed after insert or update or delete on revocation
	for each row execute function sluice_notify_revocation();
