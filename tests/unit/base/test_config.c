#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/config.h"
#include "base/mem.h"

struct pet {
	char *name;
	uint32_t legs;
};

struct farm {
	bool open;
	uint16_t port;
	uint64_t acres;
	double slope;
	bool has_slope;
	uint32_t nap_ms;
	uint64_t barn_bytes;
	uint32_t crate_bytes;
	char *motto;
	char *password;
	char *key;
	size_t key_len;
	char *map_file;
	enum { CALM, LOUD } mood;
	char **crops;
	size_t crop_count;
	char **tools;
	size_t tool_count;
	struct pet gate; /* name, legs */
	struct pet *pets;
	size_t pet_count;
	struct pet **named;
	size_t named_count;
	json_t *notes;
	int even;
};

static const struct setting pet_rows[] = {
    {.name = "legs",
     .type = SETTING_INTEGER,
     CONFIG_FIELD(struct pet, legs),
     .max = 8,
     .fallback = "4",
     .doc = "Legs."},
};
static const struct config_table pet_table = {
    CONFIG_ROWS(pet_rows),
    .bytes = sizeof(struct pet),
    .named = true,
};

static void read_even(const struct config_at *at, const json_t *value, void *target)
{
	if (json_integer_value(value) % 2)
		config_refuse(at, "/half", "is odd");
	((struct farm *)target)->even = value ? (int)json_integer_value(value) : -1;
}

#define FIELD(member) CONFIG_FIELD(struct farm, member)
#define COUNT(member) CONFIG_COUNT(struct farm, member)

static const char *const moods[] = {"calm", "loud", NULL};
static const char *const tools[] = {"rake", "hoe", NULL};

static const struct setting farm_rows[] = {
    {.name = "open", .type = SETTING_BOOL, FIELD(open), .fallback = "true", .doc = "Open."},
    {.name = "port", .type = SETTING_INTEGER, FIELD(port), .doc = "A port."},
    {.name = "acres", .type = SETTING_INTEGER, FIELD(acres), .min = 1, .doc = "Acres."},
    {.name = "slope", .type = SETTING_NUMBER, FIELD(slope), COUNT(has_slope), .doc = "Slope."},
    {.name = "nap",
     .type = SETTING_DURATION,
     FIELD(nap_ms),
     .min = 10,
     .max = 90000000,
     .fallback = "15s",
     .doc = "A nap."},
    {.name = "barn", .type = SETTING_SIZE, FIELD(barn_bytes), .fallback = "64MiB", .doc = "Hay."},
    {.name = "crate", .type = SETTING_SIZE, FIELD(crate_bytes), .fallback = "1KiB", .doc = "Eggs."},
    {.name = "motto", .type = SETTING_STRING, FIELD(motto), .min = 1, .doc = "A | motto."},
    {.name = "password", .type = SETTING_STRING, FIELD(password), .secret = true, .doc = "Hush."},
    {.name = "key",
     .type = SETTING_STRING,
     FIELD(key),
     COUNT(key_len),
     .secret = true,
     .doc = "Bytes."},
    {.name = "map_file", .type = SETTING_PATH, FIELD(map_file), .doc = "A map."},
    {.name = "mood",
     .type = SETTING_ENUM,
     FIELD(mood),
     .fallback = "loud",
     .values = moods,
     .doc = "Mood."},
    {.name = "crops",
     .type = SETTING_STRINGS,
     FIELD(crops),
     COUNT(crop_count),
     .fallback = "[\"oats\"]",
     .doc = "Crops."},
    {.name = "tools",
     .type = SETTING_STRINGS,
     FIELD(tools),
     COUNT(tool_count),
     .min = 1,
     .values = tools,
     .doc = "Tools."},
    {.name = "gate",
     .type = SETTING_OBJECT,
     FIELD(gate),
     .table = &pet_table,
     .fallback = "{}",
     .doc = "At the gate."},
    {.name = "pets",
     .type = SETTING_ARRAY,
     FIELD(pets),
     COUNT(pet_count),
     .min = 1,
     .table = &pet_table,
     .fallback = "[{}]",
     .doc = "Pets."},
    {.name = "named",
     .type = SETTING_MAP,
     FIELD(named),
     COUNT(named_count),
     .table = &pet_table,
     .indirect = true,
     .required = true,
     .doc = "Pets by name."},
    {.name = "notes",
     .type = SETTING_JSON,
     FIELD(notes),
     .wanted = "anything",
     .schema = "{}",
     .doc = "Notes."},
    {.name = "even",
     .type = SETTING_CUSTOM,
     .read = read_even,
     .wanted = "an even number",
     .schema = "{\"multipleOf\": 2}",
     .doc = "Even."},
};
static const struct config_table farm_table = {CONFIG_ROWS(farm_rows),
					       .bytes = sizeof(struct farm)};

/* The errors of a text as config_errors_print() shows them, the caller's to free(). */
static char *errors_of(const char *file, struct slice text)
{
	struct config_errors errors = {0};
	struct farm farm;
	char *printed;
	size_t len;
	FILE *out = open_memstream(&printed, &len);

	if (config_read(&farm_table, &farm, file, text, &errors) == 0)
		config_fini(&farm_table, &farm);
	config_errors_print(&errors, file, out);
	config_errors_free(&errors);
	fclose(out);
	return printed;
}

static void check_errors(const char *text, const char *expected)
{
	char *errors = errors_of("f", slice_of(text));

	if (strcmp(errors, expected))
		fail_msg("%s\n  gives: %s\n  not: %s", text, errors, expected);
	free(errors);
}

static struct farm read_farm(const char *file, const char *text)
{
	struct config_errors errors = {0};
	struct farm farm;

	if (config_read(&farm_table, &farm, file, slice_of(text), &errors)) {
		config_errors_print(&errors, file, stderr);
		fail_msg("refused: %s", text);
	}
	return farm;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

/* Every row has its default, or is zero, where the file says nothing. */
static void test_config_absent_settings_have_their_defaults(void **state)
{
	struct farm farm = read_farm("f", "{\"named\": {}}");

	(void)state;
	assert_true(farm.open);
	assert_int_equal(farm.port, 0);
	assert_false(farm.has_slope);
	assert_int_equal(farm.nap_ms, 15000);
	assert_int_equal(farm.barn_bytes, 64 << 20);
	assert_int_equal(farm.crate_bytes, 1024);
	assert_null(farm.motto);
	assert_int_equal(farm.mood, LOUD);
	assert_int_equal(farm.crop_count, 1);
	assert_string_equal(farm.crops[0], "oats");
	assert_int_equal(farm.tool_count, 0);
	assert_int_equal(farm.gate.legs, 4);
	assert_int_equal(farm.pet_count, 1);
	assert_int_equal(farm.pets[0].legs, 4);
	assert_null(farm.notes);
	assert_int_equal(farm.even, -1);
	config_fini(&farm_table, &farm);
}

/* Every type of row takes its values. */
static void test_config_settings_of_every_type_are_read(void **state)
{
	struct farm farm = read_farm(
	    "dir/f",
	    "{\"open\": false, \"port\": 65535, \"acres\": 9223372036854775807,\n"
	    "\"slope\": -1.5, \"nap\": 10, \"barn\": \"5GiB\", \"crate\": \"512B\",\n"
	    "\"motto\": \"\\u00e9\", \"password\": \"p\", \"key\": \"kk\",\n"
	    "\"map_file\": \"a/b\", \"mood\": \"calm\", \"crops\": [\"x\", \"y\"],\n"
	    "\"tools\": [\"hoe\"], \"gate\": {\"legs\": 0}, \"pets\": [{}, {\"legs\": 8}],\n"
	    "\"named\": {\"b\": {}, \"a\": {\"legs\": 2.0}}, \"notes\": [null], \"even\": 8}");

	(void)state;
	assert_false(farm.open);
	assert_int_equal(farm.port, 65535);
	assert_true(farm.acres == INT64_MAX);
	assert_true(farm.has_slope && farm.slope < -1.4 && farm.slope > -1.6);
	assert_int_equal(farm.nap_ms, 10);
	assert_true(farm.barn_bytes == UINT64_C(5) << 30);
	assert_int_equal(farm.crate_bytes, 512);
	assert_string_equal(farm.motto, "\xc3\xa9");
	assert_int_equal(farm.key_len, 2);
	assert_string_equal(farm.map_file, "dir/a/b");
	assert_int_equal(farm.mood, CALM);
	assert_int_equal(farm.crop_count, 2);
	assert_string_equal(farm.tools[0], "hoe");
	assert_int_equal(farm.gate.legs, 0);
	assert_int_equal(farm.pets[1].legs, 8);
	assert_string_equal(farm.named[0]->name, "b");
	assert_int_equal(farm.named[1]->legs, 2);
	assert_int_equal(json_array_size(farm.notes), 1);
	assert_int_equal(farm.even, 8);
	config_fini(&farm_table, &farm);
}

/* Durations and sizes are whole numbers with a unit, or without. */
static void test_config_quantities_have_units(void **state)
{
	static const struct {
		const char *nap;
		uint32_t ms;
	} rows[] = {{"\"250ms\"", 250},    {"\"90s\"", 90000},   {"\"5m\"", 300000},
		    {"\"24h\"", 86400000}, {"\"1d\"", 86400000}, {"77", 77},
		    {"77.0", 77},          {"\"0010s\"", 10000}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer text = {0};
		struct farm farm;

		buffer_append_format(&text, "{\"named\": {}, \"nap\": %s}", rows[i].nap);
		farm = read_farm("f", buffer_text(&text));
		assert_int_equal(farm.nap_ms, rows[i].ms);
		config_fini(&farm_table, &farm);
		buffer_free(&text);
	}
}

/* One wrong value a row: the line, the pointer, what it is and what would be right. */
static void test_config_wrong_value_is_refused_with_what_is_right(void **state)
{
	static const struct {
		const char *member, *error;
	} rows[] = {
	    {"\"open\": 1", "/open: is 1, but must be true or false"},
	    {"\"open\": \"true\"", "/open: is \"true\", but must be true or false"},
	    {"\"open\": null", "/open: is null, but must be true or false"},
	    {"\"port\": 65536", "/port: is 65536, but must be an integer from 0 to 65535"},
	    {"\"port\": -1", "/port: is -1, but must be an integer from 0 to 65535"},
	    {"\"port\": 1.5", "/port: is 1.5, but must be an integer from 0 to 65535"},
	    {"\"port\": 1e300", "/port: is 1.0000000000000001e300, but must be an integer from 0 "
				"to 65535"},
	    {"\"port\": \"80\"", "/port: is \"80\", but must be an integer from 0 to 65535"},
	    {"\"port\": [80]", "/port: is an array, but must be an integer from 0 to 65535"},
	    {"\"acres\": 0", "/acres: is 0, but must be an integer from 1 to 9223372036854775807"},
	    {"\"slope\": {}", "/slope: is an object, but must be a number"},
	    {"\"nap\": \"9ms\"",
	     "/nap: is \"9ms\", but must be a duration from 10ms to 25h, such as \"15s\""},
	    {"\"nap\": \"1.5s\"",
	     "/nap: is \"1.5s\", but must be a duration from 10ms to 25h, such as \"15s\""},
	    {"\"nap\": \"s\"",
	     "/nap: is \"s\", but must be a duration from 10ms to 25h, such as \"15s\""},
	    {"\"nap\": \"-5s\"",
	     "/nap: is \"-5s\", but must be a duration from 10ms to 25h, such as \"15s\""},
	    {"\"nap\": \"99999999999999999999s\"",
	     "/nap: is \"99999999999999999999s\", but must be a duration from 10ms to 25h, such as "
	     "\"15s\""},
	    {"\"nap\": \"9223372036854775807d\"",
	     "/nap: is \"9223372036854775807d\", but must be a duration from 10ms to 25h, such as "
	     "\"15s\""},
	    {"\"nap\": \"18446744073709551626s\"", /* 2^64 + 10 */
	     "/nap: is \"18446744073709551626s\", but must be a duration from 10ms to 25h, such as "
	     "\"15s\""},
	    {"\"nap\": \"18446744073709552s\"", /* in milliseconds 2^64 + 384 */
	     "/nap: is \"18446744073709552s\", but must be a duration from 10ms to 25h, such as "
	     "\"15s\""},
	    {"\"crate\": \"KiB\"",
	     "/crate: is \"KiB\", but must be a size from 0 to 4294967295B, such as \"1KiB\""},
	    {"\"crate\": \"4GiB\"",
	     "/crate: is \"4GiB\", but must be a size from 0 to 4294967295B, such as \"1KiB\""},
	    {"\"crate\": \"1MB\"",
	     "/crate: is \"1MB\", but must be a size from 0 to 4294967295B, such as \"1KiB\""},
	    {"\"motto\": \"\"", "/motto: is \"\", but must be a string that is not empty"},
	    {"\"password\": 17", "/password: must be a string"},
	    {"\"map_file\": \"\"", "/map_file: is \"\", but must be a file's name"},
	    {"\"mood\": \"lout\"", "/mood: is \"lout\", but must be one of \"calm\", \"loud\""},
	    {"\"mood\": 1", "/mood: is 1, but must be one of \"calm\", \"loud\""},
	    {"\"crops\": \"oats\"", "/crops: is \"oats\", but must be an array of strings"},
	    {"\"crops\": [\"\"]", "/crops/0: is \"\", but must be a string that is not empty"},
	    {"\"crops\": [\"a\", \"b\", \"a\"]", "/crops/2: \"a\" is there twice"},
	    {"\"tools\": []",
	     "/tools: is an array, but must be an array of at least 1 of \"rake\", \"hoe\""},
	    {"\"tools\": [\"rake\", \"axe\"]",
	     "/tools/1: is \"axe\", but must be one of \"rake\", \"hoe\""},
	    {"\"gate\": [1]", "/gate: is an array, but must be an object"},
	    {"\"gate\": {\"legs\": 9}", "/gate/legs: is 9, but must be an integer from 0 to 8"},
	    {"\"pets\": []", "/pets: is an array, but must be an array of at least one object"},
	    {"\"pets\": [{}, {\"legs\": 9}]",
	     "/pets/1/legs: is 9, but must be an integer from 0 to 8"},
	    {"\"even\": 3", "/even/half: is odd"},
	    {"\"motto\": "
	     "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]",
	     "/motto: is an array, but must be a string that is not empty"},
	    {"\"port\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9zz\"",
	     "/port: is \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…, but must be "
	     "an integer from 0 to 65535"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer text = {0}, error = {0};

		buffer_append_format(&text, "{\n\"named\": {},\n%s}", rows[i].member);
		buffer_append_format(&error, "f:3: %s\n", rows[i].error);
		check_errors(buffer_text(&text), buffer_text(&error));
		buffer_free(&text);
		buffer_free(&error);
	}
}

/* Names: unknown ones with what was probably meant, repeated ones, and those that a map can't have.
 */
static void test_config_wrong_names_are_refused(void **state)
{
	static const struct {
		const char *text, *errors;
	} rows[] = {
	    {"{\"named\": {}, \"prot\": 1}",
	     "f:1: /prot: unknown setting; did you mean \"port\"?\n"},
	    {"{\"named\": {}, \"Port\": 1}",
	     "f:1: /Port: unknown setting; did you mean \"port\"?\n"},
	    {"{\"named\": {}, \"passwrd_file\": 1}",
	     "f:1: /passwrd_file: unknown setting; did you mean \"password_file\"?\n"},
	    {"{\"named\": {}, \"port_file\": 1}",
	     "f:1: /port_file: unknown setting; did you mean \"map_file\"?\n"},
	    {"{\"named\": {}, \"zzzzzz\": 1}",
	     "f:1: /zzzzzz: unknown setting; conf/README.md lists those there are\n"},
	    {"{\"named\": {}, \"\": 1}",
	     "f:1: /: unknown setting; conf/README.md lists those there are\n"},
	    {"{\"named\": {}, \"a/b~\\n\": 1}",
	     "f:1: /a~1b~0?: unknown setting; conf/README.md lists those there are\n"},
	    {"{\"named\":\n{\"x\":\n{\"legz\": 1}}}",
	     "f:3: /named/x/legz: unknown setting; did you mean \"legs\"?\n"},
	    {"{\"named\": {}, \"port\": 1,\n\"port\": 2}",
	     "f:2: /port: is there twice: the name must be unique in its object\n"},
	    {"{\"named\": {}, \"notes\": [{\"a\": 1,\n\"\\u0061\": 1}]}",
	     "f:2: /notes/0/a: is there twice: the name must be unique in its object\n"},
	    {"{\"named\": {\"a b\": {}}}",
	     "f:1: /named/a b: a name is made of 1 to 64 letters, digits, _, . and -\n"},
	    {"{\"named\": {\"\": {}}}",
	     "f:1: /named/: a name is made of 1 to 64 letters, digits, _, . and -\n"},
	    {"{\n}", "f:1: lacks \"named\": Pets by name.\n"},
	    {"[]", "f:1: is an array, but must be an object\n"},
	    {"7", "f:1: is 7, but must be an object\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_errors(rows[i].text, rows[i].errors);
}

/* All errors of a file are told, in the order of its lines. */
static void test_config_several_errors_are_all_told(void **state)
{
	(void)state;
	check_errors("{\n  \"even\": 1,\n  \"mood\": \"x\",\n  \"prot\": 1,\n  \"named\": {\n"
		     "    \"a\": {\"legs\": 9}, \"b\": 1\n  }\n}",
		     "f:2: /even/half: is odd\n"
		     "f:3: /mood: is \"x\", but must be one of \"calm\", \"loud\"\n"
		     "f:4: /prot: unknown setting; did you mean \"port\"?\n"
		     "f:6: /named/a/legs: is 9, but must be an integer from 0 to 8\n"
		     "f:6: /named/b: is 1, but must be an object\n");
}

/* A text that is not JSON is told by line and column; hostile bytes crash nothing. */
static void test_config_malformed_text_is_refused_with_its_place(void **state)
{
	static const struct {
		struct slice text;
		const char *start;
	} rows[] = {
	    {SLICE_LIT(""), "f:1: column 1: not valid JSON: "},
	    {SLICE_LIT("{\n\"named\": {},\n}"), "f:3: column 1: not valid JSON: "},
	    {SLICE_LIT("{\"named\": {}} x"), "f:1: column 15: not valid JSON: "},
	    {SLICE_LIT("{\"named\": \"\xff\"}"), "f:1: column 11: not valid JSON: "},
	    {SLICE_LIT("{\"named\": \"\\u0000\"}"), "f:1: column "},
	    {SLICE_LIT("{\"named\0\": 1}"), "f:1: column "},
	    {SLICE_LIT("{\"named\": {}, \"port\": 1e999}"), "f:1: column "},
	    {SLICE_LIT("{\"named\": {\"x\": \"\r\n\"}}"), "f:"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *errors = errors_of("f", rows[i].text);

		if (strncmp(errors, rows[i].start, strlen(rows[i].start)))
			fail_msg("row %zu: %s", i, errors);
		free(errors);
	}
}

/* What is nested or long beyond the limits is refused, and not walked into. */
static void test_config_oversized_text_is_refused(void **state)
{
	struct buffer deep = {0}, large = {0};
	char *errors;

	(void)state;
	for (int i = 0; i < 100; i++)
		buffer_append_text(&deep, "[");
	for (int i = 0; i < 100; i++)
		buffer_append_text(&deep, "]");
	check_errors(buffer_text(&deep), "f:1: is nested deeper than 64 levels\n");
	memset(buffer_reserve(&large, CONFIG_MAX_BYTES + 1), ' ', CONFIG_MAX_BYTES + 1);
	large.len = CONFIG_MAX_BYTES + 1;
	errors = errors_of("f", buffer_slice(&large));
	assert_string_equal(errors, "f: is larger than 1 MiB\n");
	free(errors);
	buffer_free(&deep);
	buffer_free(&large);
}

/* ${…} stands for the environment's values in strings, and for numbers and booleans. */
static void test_config_environment_is_expanded(void **state)
{
	static const struct {
		const char *text, *motto;
	} rows[] = {
	    {"${SLUICE_T_A}", "alpha"},
	    {"<${SLUICE_T_A}${SLUICE_T_A}>", "<alphaalpha>"},
	    {"${SLUICE_T_NONE:-rest}", "rest"},
	    {"${SLUICE_T_EMPTY:-rest}", "rest"},
	    {"${SLUICE_T_A:-rest}", "alpha"},
	    {"x${SLUICE_T_EMPTY}", "x"},
	    {"${SLUICE_T_NONE:-a:-b}", "a:-b"},
	    {"$${SLUICE_T_A}", "${SLUICE_T_A}"},
	    {"$$${SLUICE_T_A}", "$${SLUICE_T_A}"},
	    {"$SLUICE_T_A $ {} }", "$SLUICE_T_A $ {} }"},
	    {"${SLUICE_T_TWICE}", "${SLUICE_T_A}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer text = {0};
		struct farm farm;

		buffer_append_format(&text, "{\"named\": {}, \"motto\": \"%s\"}", rows[i].text);
		farm = read_farm("f", buffer_text(&text));
		assert_string_equal(farm.motto, rows[i].motto);
		config_fini(&farm_table, &farm);
		buffer_free(&text);
	}
}

/* A number or boolean may come from the environment, and is held to its limits. */
static void test_config_environment_gives_numbers(void **state)
{
	struct farm farm =
	    read_farm("f", "{\"named\": {}, \"open\": \"${SLUICE_T_NONE:-false}\","
			   " \"port\": \"${SLUICE_T_PORT}\", \"slope\": \"${SLUICE_T_NONE:-2}\"}");

	(void)state;
	assert_false(farm.open);
	assert_int_equal(farm.port, 4711);
	assert_true(farm.has_slope);
	config_fini(&farm_table, &farm);
	check_errors("{\"named\": {}, \"port\": \"${SLUICE_T_A}\"}",
		     "f:1: /port: is \"alpha\", but must be an integer from 0 to 65535\n");
	check_errors("{\"named\": {}, \"port\": \"${SLUICE_T_NONE:-99999}\"}",
		     "f:1: /port: is \"99999\", but must be an integer from 0 to 65535\n");
}

/* A variable that is not set, or is none, is an error. */
static void test_config_environment_errors_are_told(void **state)
{
	static const struct {
		const char *text, *errors;
	} rows[] = {
	    {"{\"named\": {},\n\"motto\": \"${SLUICE_T_NONE}\"}",
	     "f:2: /motto: the environment variable SLUICE_T_NONE is not set: set it, or write "
	     "${SLUICE_T_NONE:-default}\n"},
	    {"{\"named\": {}, \"port\": \"${SLUICE_T_NONE}\"}",
	     "f:1: /port: the environment variable SLUICE_T_NONE is not set: set it, or write "
	     "${SLUICE_T_NONE:-default}\n"},
	    {"{\"named\": {}, \"notes\": [{\"x\": \"${SLUICE_T_NONE}\"}]}",
	     "f:1: /notes/0/x: the environment variable SLUICE_T_NONE is not set: set it, or write "
	     "${SLUICE_T_NONE:-default}\n"},
	    {"{\"named\": {}, \"notes\": \"${}\"}",
	     "f:1: /notes: \"${}\" is no environment variable: write ${NAME}, ${NAME:-default}, or "
	     "$${ for ${\n"},
	    {"{\"named\": {}, \"notes\": \"${1A}\"}",
	     "f:1: /notes: \"${1A}\" is no environment variable: write ${NAME}, ${NAME:-default}, "
	     "or "
	     "$${ for ${\n"},
	    {"{\"named\": {}, \"notes\": \"a ${B\"}",
	     "f:1: /notes: \"${\" has no \"}\": write $${ for ${\n"},
	    {"{\"named\": {}, \"notes\": \"${SLUICE_T_BYTES}\"}",
	     "f:1: /notes: the environment's value is not valid UTF-8\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_errors(rows[i].text, rows[i].errors);
}

/* A folder with a configuration and its secrets; the working folder while a test runs. */
static int enter_folder(void **state)
{
	static char folder[] = "/tmp/sluice-test-config-XXXXXX";

	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	*state = folder;
	return 0;
}

static char *path_in(void **state, const char *name)
{
	struct buffer path = {0};

	buffer_append_format(&path, "%s/%s", (const char *)*state, name);
	buffer_text(&path);
	return path.base;
}

static int leave_folder(void **state)
{
	static const char *const names[] = {"conf.json", "secret", "empty", "nul"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = path_in(state, names[i]);

		unlink(path);
		free(path);
	}
	return rmdir(*state);
}

/* NAME_file gives the file's content without its last line break, from beside the configuration. */
static void test_config_secret_file_gives_its_content(void **state)
{
	static const struct {
		const char *content, *secret;
	} rows[] = {
	    {"hush\n", "hush"}, {"hush\r\n", "hush"}, {"hush", "hush"},
	    {"a\n\n", "a\n"},   {"hush\r", "hush\r"}, {"${SLUICE_T_A}", "${SLUICE_T_A}"},
	};
	char *path = path_in(state, "secret"), *file = path_in(state, "conf.json");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct farm farm;

		write_file(path, rows[i].content, strlen(rows[i].content));
		farm = read_farm(file, "{\"named\": {}, \"password_file\": \"secret\"}");
		assert_string_equal(farm.password, rows[i].secret);
		config_fini(&farm_table, &farm);
	}
	free(path);
	free(file);
}

/* Only a secret that knows its length may hold NUL. */
static void test_config_secret_file_with_nul_needs_a_length(void **state)
{
	char *path = path_in(state, "nul"), *file = path_in(state, "conf.json"), *errors;
	struct farm farm;

	write_file(path, "a\0b\n", 4);
	farm = read_farm(file, "{\"named\": {}, \"key_file\": \"nul\"}");
	assert_int_equal(farm.key_len, 3);
	assert_memory_equal(farm.key, "a\0b", 3);
	config_fini(&farm_table, &farm);
	errors = errors_of(file, slice_of("{\"named\": {}, \"password_file\": \"nul\"}"));
	assert_non_null(strstr(errors, ":1: /password_file: the file holds a NUL byte\n"));
	free(errors);
	free(path);
	free(file);
}

/* A secret's file that is not there, is empty, no name, or stands beside the secret. */
static void test_config_secret_file_errors_are_told(void **state)
{
	static const struct {
		const char *member, *error;
	} rows[] = {
	    {"\"password_file\": \"none\"", "/none can't be read: No such file or directory\n"},
	    {"\"password_file\": \"empty\"", "/empty is empty\n"},
	    {"\"password_file\": \"\"",
	     "/password_file: is \"\", but must be a file that holds the secret\n"},
	    {"\"password_file\": 1",
	     "/password_file: is 1, but must be a file that holds the secret\n"},
	    {"\"password\": \"p\", \"password_file\": \"secret\"",
	     "/password_file: stands beside \"password\": give one of them\n"},
	    {"\"password_file\": \"/dev/zero\"", "/dev/zero holds more than 65536 bytes\n"},
	};
	char *empty = path_in(state, "empty"), *file = path_in(state, "conf.json");

	write_file(empty, "\n", 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer text = {0};
		char *errors;

		buffer_append_format(&text, "{\"named\": {}, %s}", rows[i].member);
		errors = errors_of(file, slice_of(buffer_text(&text)));
		if (!strstr(errors, rows[i].error))
			fail_msg("%s gives %s", rows[i].member, errors);
		free(errors);
		buffer_free(&text);
	}
	free(empty);
	free(file);
}

/* A file that can't be read is an error of its own, without a line. */
static void test_config_unreadable_file_is_told(void **state)
{
	struct config_errors errors = {0};
	char *path = path_in(state, "conf.json");
	struct farm farm;

	assert_int_equal(config_load(&farm_table, &farm, path, &errors), ERROR_IO);
	assert_int_equal(errors.count, 1);
	assert_int_equal(errors.items[0].line, 0);
	assert_string_equal(errors.items[0].message, "No such file or directory");
	config_errors_free(&errors);
	write_file(path, "{\"named\": {}}", 13);
	assert_int_equal(config_load(&farm_table, &farm, path, &errors), 0);
	config_fini(&farm_table, &farm);
	free(path);
}

/* A near name is suggested, a far one is not. */
static void test_config_suggest_finds_the_nearest(void **state)
{
	static const char *const names[] = {"topics", "path", "filter", "on_gap", "x"};
	static const struct {
		const char *name, *suggested;
	} rows[] = {
	    {"topic", "topics"}, {"tpoics", "topics"}, {"filters", "filter"}, {"on-gap", "on_gap"},
	    {"paht", "path"},    {"", NULL},           {"y", NULL},           {"completely", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *found = config_suggest(rows[i].name, names, 5);

		if (!rows[i].suggested)
			assert_null(found);
		else
			assert_string_equal(found, rows[i].suggested);
	}
}

/* The schema has every row, with its limits and default; secrets have their file. */
static void test_config_schema_has_every_setting(void **state)
{
	json_t *schema = config_schema(&farm_table, "A farm");
	const json_t *properties = json_object_get(schema, "properties");
	const json_t *port = json_object_get(properties, "port");

	(void)state;
	assert_int_equal(json_object_size(properties),
			 sizeof(farm_rows) / sizeof(farm_rows[0]) + 2);
	assert_int_equal(json_integer_value(json_object_get(
			     json_array_get(json_object_get(port, "anyOf"), 0), "maximum")),
			 65535);
	assert_string_equal(
	    json_string_value(json_object_get(json_object_get(properties, "nap"), "default")),
	    "15s");
	assert_non_null(json_object_get(properties, "password_file"));
	assert_int_equal(json_array_size(json_object_get(schema, "allOf")), 2);
	assert_int_equal(json_array_size(json_object_get(schema, "required")), 1);
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	json_decref(schema);
}

/* The reference has a section for each struct and a row for each setting. */
static void test_config_reference_has_every_setting(void **state)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	config_print_reference(&farm_table, out);
	fclose(out);
	for (size_t i = 0; i < sizeof(farm_rows) / sizeof(farm_rows[0]); i++) {
		struct buffer row = {0};

		buffer_append_format(&row, "\n| `%s` | ", farm_rows[i].name);
		assert_non_null(strstr(text, buffer_text(&row)));
		buffer_free(&row);
	}
	assert_non_null(strstr(text, "| A \\| motto. | a string that is not empty |  |\n"));
	assert_non_null(strstr(text, "\n### `pets[]`\n"));
	assert_non_null(strstr(text, "\n### `named.NAME`\n"));
	assert_non_null(strstr(text, "a string; or `password_file`: a file that holds it"));
	free(text);
}

static int set_environment(void **state)
{
	(void)state;
	setenv("SLUICE_T_A", "alpha", 1);
	setenv("SLUICE_T_EMPTY", "", 1);
	setenv("SLUICE_T_PORT", "4711", 1);
	setenv("SLUICE_T_TWICE", "${SLUICE_T_A}", 1);
	setenv("SLUICE_T_BYTES", "\xff", 1);
	unsetenv("SLUICE_T_NONE");
	return 0;
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_config_absent_settings_have_their_defaults),
	    cmocka_unit_test(test_config_settings_of_every_type_are_read),
	    cmocka_unit_test(test_config_quantities_have_units),
	    cmocka_unit_test(test_config_wrong_value_is_refused_with_what_is_right),
	    cmocka_unit_test(test_config_wrong_names_are_refused),
	    cmocka_unit_test(test_config_several_errors_are_all_told),
	    cmocka_unit_test(test_config_malformed_text_is_refused_with_its_place),
	    cmocka_unit_test(test_config_oversized_text_is_refused),
	    cmocka_unit_test(test_config_environment_is_expanded),
	    cmocka_unit_test(test_config_environment_gives_numbers),
	    cmocka_unit_test(test_config_environment_errors_are_told),
	    WITH_FOLDER(test_config_secret_file_gives_its_content),
	    WITH_FOLDER(test_config_secret_file_with_nul_needs_a_length),
	    WITH_FOLDER(test_config_secret_file_errors_are_told),
	    WITH_FOLDER(test_config_unreadable_file_is_told),
	    cmocka_unit_test(test_config_suggest_finds_the_nearest),
	    cmocka_unit_test(test_config_schema_has_every_setting),
	    cmocka_unit_test(test_config_reference_has_every_setting),
	};

	return cmocka_run_group_tests(tests, set_environment, NULL);
}
