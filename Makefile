# Sluice: see README.md. `make` builds build/release/sluice; SAN=address,undefined or SAN=thread builds beside it.

CC ?= gcc
SAN ?=
MODE := $(if $(SAN),san-$(subst $(comma),-,$(SAN)),release)
comma := ,
BUILD ?= build/$(MODE)
FOLDERS ?= base event feed kafka auth http

PACKAGES := libh2o-evloop libnghttp2 rdkafka jansson cjose libcurl openssl zlib
CPPFLAGS += -Iinclude -Igateway -D_GNU_SOURCE -DH2O_USE_EPOLL=1 $(shell pkg-config --cflags $(PACKAGES))
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wcast-qual \
	-Wwrite-strings -Wformat=2 -Wvla -Werror
CFLAGS += -std=c11 -g -pthread -fno-omit-frame-pointer $(WARNINGS)
LDFLAGS += -pthread
LDLIBS += $(shell pkg-config --libs $(PACKAGES)) -lm
ifeq ($(SAN),)
CFLAGS += -O2 -flto=auto
LDFLAGS += -O2 -flto=auto
AR := gcc-ar
else
CFLAGS += -O1 -fsanitize=$(SAN) -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SAN)
endif

SOURCES := $(foreach folder,$(FOLDERS),$(wildcard gateway/$(folder)/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(if $(filter http,$(FOLDERS)),$(BUILD)/gateway/http/page.html.o)
LIBRARY := $(BUILD)/libsluice.a
PROGRAM_SOURCES := $(wildcard gateway/*.c)

UNIT_SOURCES := $(foreach folder,$(FOLDERS),$(wildcard tests/unit/$(folder)/test_*.c))
UNIT_TESTS := $(UNIT_SOURCES:tests/%.c=$(BUILD)/tests/%)

.PHONY: all unit
all: $(BUILD)/sluice

$(BUILD)/sluice: $(PROGRAM_SOURCES:%.c=$(BUILD)/%.o) $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIBRARY): $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# The page goes into the program as it is.
$(BUILD)/gateway/http/page.html.o: gateway/http/page.html
	@mkdir -p $(@D)
	ld -r -b binary -z noexecstack -o $@ $<

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(LIBRARY) -lcmocka $(LDLIBS)

unit: $(UNIT_TESTS)
	@for test in $(UNIT_TESTS); do $$test || exit 1; done

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
