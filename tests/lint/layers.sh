#!/bin/sh
# Reads the #include lines against the table of gateway/README.md: who may include whom, and which outside library belongs to which folder.
set -eu

allowed() {
	case $1 in
	base) echo "base" ;;
	event) echo "base event" ;;
	feed | kafka | postgres) echo "$1 base event" ;;
	auth) echo "auth base postgres" ;;
	http) echo "http base event feed auth postgres" ;;
	esac
}

owner_of_library() {
	case $1 in
	h2o.h | h2o/* | nghttp2/*) echo http ;;
	librdkafka/*) echo kafka ;;
	libpq-fe.h) echo postgres ;;
	cjose/* | curl/*) echo auth ;;
	esac
}

failures=0
complain() {
	echo "$1"
	failures=$((failures + 1))
}

check_include() {
	file=$1 folder=$2 header=$3 target=${3%%/*}
	owner=$(owner_of_library "$header")
	if [ -n "$owner" ]; then
		[ "$owner" = "$folder" ] || complain "$file: only $owner/ may include <$header>"
	elif [ -e "include/$header" ] || [ -e "gateway/$header" ]; then
		case " $(allowed "$folder") " in
		*" $target "*) ;;
		*) complain "$file: $folder/ may not include \"$header\"" ;;
		esac
		case $header in
		*_priv.h) [ "$target" = "$folder" ] || complain "$file: \"$header\" is private to $target/" ;;
		esac
	fi
}

for file in gateway/*/*.c gateway/*/*.h include/*/*.h; do
	folder=$(basename "$(dirname "$file")")
	for header in $(sed -n 's/^#include [<"]\([^>"]*\)[>"].*/\1/p' "$file"); do
		check_include "$file" "$folder" "$header"
	done
done
[ "$failures" = 0 ]
