#!/bin/sh
# What the streams of sluice.json show: every second the next state of an order, and the machine's load.
set -u

users='ada grace edsger barbara'
items='kite globe lamp chess atlas'
states='created paid shipped'

# The word at a position of a list, counted from 0 and round.
pick() {
	position=$1
	shift
	shift $((position % $#))
	echo "$1"
}

# An order is three seconds of the clock, so a restart repeats none.
orders() {
	while sleep 1; do
		second=$(date +%s)
		order=$((second / 3))
		user=$(pick $order $users)
		printf '%s\t{"order":%d,"user_id":"%s","item":"%s","state":"%s"}\n' "$user" $order "$user" \
			"$(pick $order $items)" "$(pick "$second" $states)"
	done
}

load() {
	while sleep 1; do
		read -r one five fifteen _ </proc/loadavg
		printf '{"load_1m":%s,"load_5m":%s,"load_15m":%s}\n' "$one" "$five" "$fifteen"
	done
}

load | sluice produce host.metrics &
orders | sluice produce orders
