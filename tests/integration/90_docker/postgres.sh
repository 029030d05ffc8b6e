#!/bin/bash
# As much of the official image as docker/compose.yaml uses: makes the cluster, the user and the database on first use.
set -eu
data=/var/lib/postgresql/data

as_postgres() {
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

make_cluster() {
	local password
	password=$(mktemp)
	cat "$POSTGRES_PASSWORD_FILE" >"$password"
	chown postgres: "$password"
	(as_postgres initdb -D $data -U "$POSTGRES_USER" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 --no-sync)
	rm "$password"
	echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
	echo "create database $POSTGRES_DB" | (as_postgres postgres --single -D $data postgres)
}

install -d -o postgres -m 700 $data
[ -s $data/PG_VERSION ] || make_cluster
as_postgres postgres -D $data -c listen_addresses='*'
