#!/bin/sh
# Installs what is missing on Debian 12: `deps.sh run` for building and running, `deps.sh test` and `deps.sh bench` for what these need besides.
# Starts no service: packages that would are unpacked into the build folder (deps_unpacked) and never installed, or installed without what they would start.
set -eu

unpacked=${DEPS_UNPACKED:-build/tools}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

is_installed() {
	dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

updated=
update_once() {
	[ -n "$updated" ] || as_root apt-get update -q
	updated=yes
}

need() {
	missing=
	for package in "$@"; do
		is_installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	echo "installing:$missing"
	update_once
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}

# A command out of a package that must not be installed, because that would start a service.
unpack() {
	package=$1 file=$2
	[ ! -e "$unpacked/$file" ] || return 0
	update_once
	mkdir -p "$unpacked"
	(cd "$unpacked" && apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb . && rm -f "$package"_*.deb)
}

# The server's programs, without the cluster that their first installation would make and start. Clusters that are there are left alone.
need_postgresql() {
	! is_installed postgresql-15 || return 0
	settings=/etc/postgresql-common/createcluster.d
	need postgresql-common
	as_root mkdir -p $settings
	echo "create_main_cluster = false" | as_root tee $settings/sluice.conf >/dev/null
	need postgresql-15
	as_root rm $settings/sluice.conf
}

for_run() {
	need gcc make pkg-config libc6-dev libh2o-evloop-dev libnghttp2-dev librdkafka-dev libjansson-dev libcjose-dev \
		libcurl4-openssl-dev libssl-dev zlib1g-dev libpq-dev ca-certificates
	need_postgresql
}

for_test() {
	for_run
	need libcmocka-dev clang clang-format libclang-rt-14-dev python3 python3-jsonschema openssl chromium maven openjdk-17-jre-headless
	command -v node >/dev/null || need nodejs
	command -v npm >/dev/null || need npm
	unpack prometheus usr/bin/promtool
	# integration/90_docker.py starts its own engine.
	need docker-compose debootstrap runc tini libdevmapper1.02.1
	unpack docker.io usr/sbin/dockerd
	unpack containerd usr/bin/containerd
}

for_bench() {
	for_test
	need valgrind libpcre3 libxml2 libxslt1.1
	unpack nginx usr/sbin/nginx
	unpack libnginx-mod-nchan usr/lib/nginx/modules/ngx_nchan_module.so
}

case "${1:-}" in
run | test | bench) "for_$1" ;;
*)
	echo "usage: $0 run|test|bench" >&2
	exit 2
	;;
esac
