#!/bin/bash
# Runs tests and counts them. The last line is "N passed, M failed" or "N passed, M failed, K skipped".
#
#   tests/run.sh                        everything: lint, unit, integration, fuzz, sanitizers
#   tests/run.sh programs PROGRAM…      cmocka programs and TAP programs
#   tests/run.sh fuzz DIR RUNS SECONDS TARGET…
set -u

passed=0 failed=0 skipped=0
side_by_side=${SIDE_BY_SIDE:-4}
logs=build/test-logs
mkdir -p "$logs"
export SLUICE_KAFKA_JARS=$PWD/build/kafka
export LSAN_OPTIONS=suppressions=$PWD/tests/lib/lsan.supp:print_suppressions=0
export TSAN_OPTIONS=suppressions=$PWD/tests/lib/tsan.supp
# The sanitizers need their parts of the address space, which a kernel that randomizes with 32 bits may take.
fixed_addresses=$(setarch -R true 2>/dev/null && echo setarch -R)

heading() {
	printf '\n== %s (after %d s)\n' "$*" "$SECONDS"
}

# The numbers that the expression prints, added up; nothing where it prints none.
sum() {
	sed -n "$1" "$2" | awk '{ n += $1; found = 1 } END { if (found) print n }'
}

# Counts cmocka's closing lines, or TAP's; a program that ends badly without saying what failed counts as one failure.
count() {
	local log=$1 code=$2 ok bad skip
	ok=$(sum 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log")
	bad=$(sum 's/^ *\([0-9]*\) FAILED TEST(S)$/\1/p' "$log")
	skip=$(sum 's/^\[  SKIPPED \] \([0-9]*\) test(s).*/\1/p' "$log")
	if [ -z "$ok" ]; then
		ok=$(grep -cE '^ok [0-9]' "$log")
		bad=$(grep -cE '^not ok [0-9]' "$log")
		skip=$(grep -cE '^ok [0-9].*# SKIP' "$log")
		ok=$((ok - skip))
	fi
	: "${ok:=0}" "${bad:=0}" "${skip:=0}"
	if [ "$code" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
	if [ "$code" = 0 ] && [ $((ok + bad + skip)) = 0 ]; then
		echo "$log: a test program that ran no test"
		bad=1
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	[ "$code" = 0 ] && [ "$bad" = 0 ]
}

log_of() {
	echo "$logs/$(echo "$1" | tr / _).log"
}

# Its exit code and its seconds stand in files beside its log, for programs run side by side.
start_program() {
	local log started=$SECONDS
	log=$(log_of "$1")
	export SLUICE_TEST_LOGS=$PWD/${log%.log}
	rm -rf "$SLUICE_TEST_LOGS" "$log.code"
	mkdir -p "$SLUICE_TEST_LOGS"
	timeout 600 $fixed_addresses "$1" >"$log" 2>&1 </dev/null
	echo $? >"$log.code"
	echo $((SECONDS - started)) >"$log.seconds"
}

report_program() {
	local log
	log=$(log_of "$1")
	if count "$log" "$(cat "$log.code")"; then
		echo "$1 ok, $(cat "$log.seconds") s"
	else
		echo "$1 FAILED"
		tail -n 200 "$log"
		tail -n 40 "${log%.log}"/* 2>/dev/null
	fi
}

# One thing that must succeed.
check() {
	local what=$1
	shift
	printf '%s ' "$what"
	if "$@" >"$logs/check.log" 2>&1 </dev/null; then
		passed=$((passed + 1))
		echo ok
	else
		failed=$((failed + 1))
		echo FAILED
		tail -n 100 "$logs/check.log"
	fi
}

# Most wait more than they work, so several run at a time.
run_programs() {
	local program
	for program in "$@"; do
		while [ "$(jobs -rp | wc -l)" -ge "$side_by_side" ]; do wait -n; done
		start_program "$program" &
	done
	wait
	for program in "$@"; do report_program "$program"; done
}

start_fuzz() {
	local program=$1 target=$2 log
	shift 2
	log=$(log_of "$program")
	mkdir -p "build/fuzz/found/$target" "tests/fuzz/corpus/$target"
	$fixed_addresses "$program" "$@" -verbosity=0 -artifact_prefix="build/fuzz/found/$target/" \
		"build/fuzz/found/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1 </dev/null
	echo $? >"$log.code"
}

end_of() {
	cat "$1"
	return "$(cat "$1.code")"
}

run_fuzz() {
	local dir=$1 runs=$2 seconds=$3 target
	shift 3
	for target in "$@"; do
		while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
		start_fuzz "$dir/fuzz_$target" "$target" -runs="$runs" -max_total_time="$seconds" &
	done
	wait
	for target in "$@"; do check "fuzz $target" end_of "$(log_of "$dir/fuzz_$target")"; done
}

finish() {
	echo
	if [ "$skipped" = 0 ]; then
		echo "$passed passed, $failed failed"
	else
		echo "$passed passed, $failed failed, $skipped skipped"
	fi
	[ "$failed" = 0 ]
	exit
}

build() {
	local what=$1
	shift
	check "build $what" make -s -j"$(nproc)" "$@"
}

# While integration tests wait, the next modes are built; build() takes over what is left of it.
build_ahead() {
	rm -f "$logs/ahead.done"
	(
		for san in address,undefined thread; do
			nice -n 19 make -s -j"$(nproc)" SAN="$san" all unit-programs integration-programs
		done >"$logs/ahead.log" 2>&1 </dev/null
		touch "$logs/ahead.done"
	) &
	disown
}

wait_for_ahead() {
	until [ -e "$logs/ahead.done" ]; do sleep 1; done
}

tests_of() {
	make -s --no-print-directory "list-$1" "${@:2}"
}

run_units() {
	local mode=$1 san=$2
	heading "$mode: unit tests"
	build "$mode" SAN="$san" all unit-programs integration-programs
	run_programs $(tests_of unit SAN="$san")
}

run_integration() {
	local mode=$1 san=$2 at_once=3
	[ -z "$san" ] || at_once=2
	heading "$mode: integration tests"
	SLUICE_BINARY=$PWD/$(tests_of binary SAN="$san") side_by_side=$at_once run_programs $(tests_of integration SAN="$san")
}

run_mode() {
	run_units "$@"
	run_integration "$@"
}

run_everything() {
	heading "lint"
	check lint make -s lint
	run_units release ""
	build_ahead
	run_integration release ""
	wait_for_ahead
	heading "fuzz"
	build "fuzz targets" fuzz-programs
	run_fuzz build/fuzz 20000 8 $(tests_of fuzz)
	run_mode "address, undefined" address,undefined
	run_mode thread thread
	echo "took $SECONDS s"
}

case "${1:-}" in
"") run_everything ;;
programs) shift && run_programs "$@" ;;
fuzz) shift && run_fuzz "$@" ;;
esac
finish
