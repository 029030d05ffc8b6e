# make bench: see tests/bench/run.py; make bench-journal and bench-filters: see tests/bench/journal.py and filters.py.

BENCH_BUILD := $(BUILD)/tests/bench
BENCH_PROGRAMS := $(addprefix $(BENCH_BUILD)/,load_client raw_limit publisher broker postgres dispatch_cost)

$(BENCH_BUILD)/load_client: $(addprefix $(BENCH_BUILD)/,load_client.o load_http2.o event_counter.o pace.o)
$(BENCH_BUILD)/raw_limit: $(addprefix $(BENCH_BUILD)/,raw_limit.o pace.o)
$(BENCH_BUILD)/publisher: $(addprefix $(BENCH_BUILD)/,publisher.o sink_kafka.o sink_http.o pace.o)
$(BENCH_BUILD)/broker: $(BENCH_BUILD)/broker.o $(TEST_LIBRARY)
$(BENCH_BUILD)/postgres: $(BENCH_BUILD)/postgres.o
$(BENCH_BUILD)/dispatch_cost: $(BENCH_BUILD)/dispatch_cost.o

$(BENCH_PROGRAMS): $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBRARY) $(LDLIBS)

.PHONY: bench-programs bench-journal run-bench-journal bench-filters run-bench-filters
bench-programs: $(BUILD)/sluice $(BENCH_PROGRAMS) kafka

bench:
	@DEPS_UNPACKED=build/tools tests/deps.sh bench
	@$(MAKE) -s bench-programs
	@SLUICE_KAFKA_JARS=$(CURDIR)/build/kafka tests/bench/run.py --programs $(BENCH_BUILD) --sluice $(BUILD)/sluice \
		--tools build/tools --output build/bench
	@$(MAKE) -s run-bench-journal
	@$(MAKE) -s run-bench-filters

bench-journal:
	@tests/deps.sh test
	@$(MAKE) -s bench-programs
	@$(MAKE) -s run-bench-journal

run-bench-journal:
	@SLUICE_KAFKA_JARS=$(CURDIR)/build/kafka tests/bench/journal.py --programs $(BENCH_BUILD) --sluice $(BUILD)/sluice \
		--output build/bench

bench-filters:
	@DEPS_UNPACKED=build/tools tests/deps.sh bench
	@$(MAKE) -s $(BENCH_BUILD)/dispatch_cost
	@$(MAKE) -s run-bench-filters

run-bench-filters:
	@tests/bench/filters.py --programs $(BENCH_BUILD) --output build/bench
