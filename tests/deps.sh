#!/bin/sh
# Installs what is missing on Debian 12: `deps.sh run` for building and running, `deps.sh test` and `deps.sh bench` for what these need besides.
# Starts no service: packages that would are unpacked into the build folder (deps_unpacked) and never installed, or installed without what they would start.
set -eu

unpacked=${DEPS_UNPACKED:-build/tools}

die() {
	echo "$0: $*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "takes root to install packages: install sudo, or once run \`$0 $what\` as root"
	fi
}

is_installed() {
	dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

updated=
update_once() {
	[ -n "$updated" ] || as_root apt-get update -q || die "apt-get update failed; its own words are above"
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
	# A machine that has just booted may still be upgrading itself.
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=600 $missing || die "cannot install$missing; apt-get's own words are above"
}

# A command out of a package that must not be installed, because that would start a service.
unpack() {
	package=$1 file=$2
	[ ! -e "$unpacked/$file" ] || return 0
	update_once
	mkdir -p "$unpacked"
	(cd "$unpacked" && apt-get download -q -o APT::Sandbox::User=root "$package" && dpkg-deb -x "$package"_*.deb . && rm -f "$package"_*.deb) ||
		die "cannot fetch $package; apt-get's own words are above"
}

# The server's programs, without the cluster that their first installation would make and start. Clusters that are there are left alone.
need_postgresql() {
	! is_installed postgresql-15 || return 0
	settings=/etc/postgresql-common/createcluster.d
	need postgresql-common
	trap "as_root rm -f $settings/sluice.conf" EXIT
	as_root mkdir -p $settings
	echo "create_main_cluster = false" | as_root tee $settings/sluice.conf >/dev/null
	need postgresql-15
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

what=${1:-}
case "$what" in
run | test | bench)
	command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
		die "knows the packages of Debian 12 only; elsewhere install what for_$what names, then \`make\`"
	"for_$what"
	;;
*)
	echo "usage: $0 run|test|bench" >&2
	exit 2
	;;
esac
