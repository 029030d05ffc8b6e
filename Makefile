# Sluice. The commands are in README.md.
#
#   make                        build/release/sluice
#   make SAN=address,undefined  build/san-address-undefined/sluice; likewise SAN=thread

CC := gcc
CLANG := clang
SAN ?=
comma := ,
MODE := $(if $(SAN),san-$(subst $(comma),-,$(SAN)),release)
BUILD ?= build/$(MODE)
FOLDERS ?= base event feed kafka postgres auth http

PACKAGES := libh2o-evloop libnghttp2 rdkafka libpq jansson cjose libcurl openssl zlib
# Where pkg-config or a library is still missing, `deps` says so in its own words.
PACKAGE_CFLAGS = $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PACKAGE_LIBS = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
CPPFLAGS = -Iinclude -Igateway -D_GNU_SOURCE -DH2O_USE_EPOLL=1 $(PACKAGE_CFLAGS)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wcast-qual \
	-Wwrite-strings -Wformat=2 -Wvla -Werror
CFLAGS := -std=c11 -g -pthread -fno-omit-frame-pointer $(WARNINGS)
LDLIBS = $(PACKAGE_LIBS) -lm
ifeq ($(SAN),)
# Fat objects: the program is linked with LTO, the many tests without.
CFLAGS += -O2 -flto=auto -ffat-lto-objects
LDFLAGS := -pthread -O2 -flto=auto
TEST_LDFLAGS := -pthread -fno-lto
AR := gcc-ar
else
CFLAGS += -O1 -fsanitize=$(SAN) -fno-sanitize-recover=all
LDFLAGS := -pthread -fsanitize=$(SAN)
TEST_LDFLAGS := $(LDFLAGS)
endif

# All but main.c; the parts that tie the folders together need all of them.
SOURCES := $(foreach folder,$(FOLDERS),$(wildcard gateway/$(folder)/*.c))
ifneq ($(filter http,$(FOLDERS)),)
SOURCES += $(filter-out gateway/main.c,$(wildcard gateway/*.c))
EMBEDDED += $(BUILD)/gateway/http/page.html.o
endif
ifneq ($(filter postgres,$(FOLDERS)),)
SOURCES := $(sort $(SOURCES) $(wildcard gateway/private_postgres*.c))
EMBEDDED += $(BUILD)/migrations.o
endif
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(EMBEDDED)
LIBRARY := $(BUILD)/libsluice.a

UNIT_SOURCES := $(foreach folder,$(FOLDERS) gateway lib,$(wildcard tests/unit/$(folder)/test_*.c))
UNIT_TESTS := $(UNIT_SOURCES:%.c=$(BUILD)/%)
INTEGRATION_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/integration/[0-9]*.c))
TEST_LIBRARY := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
TEST_LDLIBS = $(LIBRARY) -lcmocka $(LDLIBS)

.PHONY: all run test unit integration unit-programs integration-programs lint fuzz fuzz-programs bench kafka deps-run deps-test clean
.SECONDARY:
all: $(BUILD)/sluice

run: deps-run
	@echo "building $(BUILD)/sluice"
	@$(MAKE) -s -j"$$(nproc)" all
	@exec $(BUILD)/sluice --dev

# Everything: see tests/run.sh for what it runs and in which order.
test: deps-test
	@tests/run.sh

deps-run deps-test: deps-%:
	@tests/deps.sh $*

# ThreadSanitizer has to know librdkafka's threads.
TSAN_THREADS := $(if $(findstring thread,$(SAN)),$(BUILD)/tests/lib/tsan_threads.o)

$(BUILD)/sluice: $(BUILD)/gateway/main.o $(TSAN_THREADS) $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIBRARY): $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# The page goes into the program as it is.
$(BUILD)/gateway/http/page.html.o: gateway/http/page.html
	@mkdir -p $(@D)
	ld -r -b binary -z noexecstack -o $@ $<

# So do the migrations, with a table of their names (gateway/postgres/migrate_files_priv.h). The folder's time changes when one is added or removed.
MIGRATIONS := $(sort $(wildcard migrations/[0-9]*.sql))
$(BUILD)/migrations.S: $(MIGRATIONS) migrations Makefile
	@mkdir -p $(@D)
	@{ printf '.section .data.rel.ro,"aw"\n.balign 8\n.globl migrate_files\nmigrate_files:\n'; \
	for file in $(MIGRATIONS); do \
		printf '.section .rodata\n1: .asciz "%s"\n2: .incbin "%s"\n3:\n' "$$(basename $$file .sql)" "$$file"; \
		printf '.section .data.rel.ro,"aw"\n.quad 1b, 2b, 3b\n'; done; \
	printf '.quad 0, 0, 0\n.section .note.GNU-stack,"",%%progbits\n'; } >$@

$(BUILD)/migrations.o: $(BUILD)/migrations.S
	$(CC) -c -o $@ $<

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(if $(filter tests/%,$<),-Itests) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(TSAN_THREADS) $(LIBRARY)
	$(CC) $(TEST_LDFLAGS) -o $@ $< $(TSAN_THREADS) $(TEST_LDLIBS)

$(BUILD)/tests/unit/lib/%: $(BUILD)/tests/unit/lib/%.o $(TEST_LIBRARY) $(LIBRARY)
	$(CC) $(TEST_LDFLAGS) -o $@ $< $(TEST_LIBRARY) $(TEST_LDLIBS)

$(BUILD)/tests/integration/%: $(BUILD)/tests/integration/%.o $(TEST_LIBRARY) $(LIBRARY)
	$(CC) $(TEST_LDFLAGS) -o $@ $< $(TEST_LIBRARY) $(TEST_LDLIBS)

unit-programs: $(UNIT_TESTS)
integration-programs: $(BUILD)/sluice $(INTEGRATION_TESTS) kafka

unit: unit-programs
	@tests/run.sh programs $(UNIT_TESTS)

integration: integration-programs
	@SLUICE_BINARY=$(BUILD)/sluice tests/run.sh programs $(INTEGRATION_TESTS) $(wildcard tests/integration/[0-9]*.py)

# For tests/run.sh. With a sanitizer, the integration tests that are short there, and one with everything at once.
SAN_INTEGRATION_TESTS := $(filter %35_tokens %41_records %43_ends %44_interval %46_streams %48_life_promise %70_observe \
	$(if $(findstring address,$(SAN)),%20_live %30_bad_input),$(INTEGRATION_TESTS))
.PHONY: list-unit list-integration list-binary list-fuzz
list-unit:
	@echo $(UNIT_TESTS)
list-integration:
	@echo $(if $(SAN),$(SAN_INTEGRATION_TESTS),$(INTEGRATION_TESTS) $(wildcard tests/integration/[0-9]*.py))
list-binary:
	@echo $(BUILD)/sluice
list-fuzz:
	@echo $(FUZZ_TARGETS)

# Apache Kafka's jars, as tests/kafka/pom.xml names them.
kafka: build/kafka/.complete
build/kafka/.complete: tests/kafka/pom.xml
	mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/build/kafka
	@touch $@

lint:
	tests/lint/layers.sh
	clang-format --dry-run -Werror $(shell git ls-files '*.c' '*.h')
	@for source in $(shell git ls-files 'gateway/*.c'); do \
		$(CLANG) -fsyntax-only -std=c11 $(CPPFLAGS) $(WARNINGS) $$source || exit 1; done

# Each target runs for FUZZ_RUNS inputs from its corpus on, FUZZ_SECONDS at the most.
FUZZ_RUNS ?= 20000
FUZZ_SECONDS ?= 20
FUZZ_BUILD := build/fuzz
FUZZ_CFLAGS := -std=c11 -g -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OBJECTS := $(SOURCES:%.c=$(FUZZ_BUILD)/%.o) $(EMBEDDED:$(BUILD)/%=$(FUZZ_BUILD)/%)

$(EMBEDDED:$(BUILD)/%=$(FUZZ_BUILD)/%): $(FUZZ_BUILD)/%: $(BUILD)/%
	@mkdir -p $(@D)
	cp $< $@

$(FUZZ_BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/libsluice.a: $(FUZZ_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(FUZZ_BUILD)/fuzz_%: $(FUZZ_BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_BUILD)/libsluice.a
	$(CLANG) -pthread -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)

fuzz-programs: $(FUZZ_TARGETS:%=$(FUZZ_BUILD)/fuzz_%)

fuzz: fuzz-programs
	@tests/run.sh fuzz $(FUZZ_BUILD) $(FUZZ_RUNS) $(FUZZ_SECONDS) $(FUZZ_TARGETS)

-include $(wildcard tests/bench/bench.mk)

clean:
	rm -rf build

-include $(shell find $(BUILD) $(FUZZ_BUILD) -name '*.d' 2>/dev/null)
