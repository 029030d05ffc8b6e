# make bench: see tests/bench/run.py.

BENCH_BUILD := $(BUILD)/tests/bench
BENCH_PROGRAMS := $(addprefix $(BENCH_BUILD)/,load_client raw_limit publisher broker dispatch_cost)
BENCH_NGINX := build/bench/nginx

$(BENCH_BUILD)/load_client: $(addprefix $(BENCH_BUILD)/,load_client.o load_http2.o event_counter.o pace.o)
$(BENCH_BUILD)/raw_limit: $(addprefix $(BENCH_BUILD)/,raw_limit.o pace.o)
$(BENCH_BUILD)/publisher: $(addprefix $(BENCH_BUILD)/,publisher.o sink_kafka.o sink_http.o pace.o)
$(BENCH_BUILD)/broker: $(BENCH_BUILD)/broker.o $(TEST_LIBRARY)
$(BENCH_BUILD)/dispatch_cost: $(BENCH_BUILD)/dispatch_cost.o

$(BENCH_PROGRAMS): $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBRARY) $(LDLIBS)

# Unpacked, not installed: an installed nginx would start a service. Nchan wants a folder of the system's that no directive moves (its own is
# refused as a duplicate): in the unpacked module it becomes one of the same length below nginx's prefix.
$(BENCH_NGINX)/.complete:
	@rm -rf $(BENCH_NGINX)
	@mkdir -p $(BENCH_NGINX)
	cd $(BENCH_NGINX) && apt-get download nginx libnginx-mod-nchan && for package in *.deb; do dpkg-deb -x $$package . || exit 1; done
	sed -i 's|/var/lib/nginx/body|message-temp-folder|g' $(BENCH_NGINX)/usr/lib/nginx/modules/ngx_nchan_module.so
	@touch $@

bench: $(BUILD)/sluice $(BENCH_PROGRAMS) $(BENCH_NGINX)/.complete kafka
	@SLUICE_KAFKA_JARS=$(CURDIR)/build/kafka tests/bench/run.py --programs $(BENCH_BUILD) --sluice $(BUILD)/sluice \
		--nginx $(BENCH_NGINX) --output build/bench
