-- Opaque tokens, and what is revoked. Changes are told on the channel sluice_auth: "token:" and the SHA-256 in hex,
-- "jti:" or "subject:" and the value.

create table token (
	token_id bigint generated always as identity primary key,
	sha256 bytea not null unique check (length(sha256) = 32),
	subject text not null check (length(subject) between 1 and 255),
	claims jsonb not null default '{}' check (jsonb_typeof(claims) = 'object' and octet_length(claims::text) <= 8192),
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

create index revocation_expires_at on revocation (expires_at) where expires_at is not null;

create function sluice_notify_token() returns trigger language plpgsql as $$
begin
	if tg_op <> 'INSERT' then
		perform pg_notify('sluice_auth', 'token:' || encode(old.sha256, 'hex'));
	end if;
	if tg_op = 'INSERT' or (tg_op = 'UPDATE' and new.sha256 <> old.sha256) then
		perform pg_notify('sluice_auth', 'token:' || encode(new.sha256, 'hex'));
	end if;
	return null;
end
$$;

create trigger token_changed after insert or update or delete on token
	for each row execute function sluice_notify_token();

create function sluice_notify_revocation() returns trigger language plpgsql as $$
begin
	if tg_op <> 'INSERT' then
		perform pg_notify('sluice_auth', old.kind || ':' || old.value);
	end if;
	if tg_op = 'INSERT' or (tg_op = 'UPDATE' and (new.kind, new.value) <> (old.kind, old.value)) then
		perform pg_notify('sluice_auth', new.kind || ':' || new.value);
	end if;
	return null;
end
$$;

create trigger revocation_changed after insert or update or delete on revocation
	for each row execute function sluice_notify_revocation();
