#include <assert.h>
#include <stdlib.h>

#include "base/config_priv.h"
#include "base/mem.h"

/* One setting while it is read. */
struct reading {
	const struct config_at *at;
	const json_t *value;
	const struct setting *setting;
	void *field;
	void *target;
};

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {NULL, 0},
};

static const struct unit *units_of(const struct setting *setting)
{
	return setting->type == SETTING_DURATION ? duration_units : size_units;
}

int64_t config_value_max(const struct setting *setting)
{
	if (setting->max)
		return setting->max;
	switch (setting->bytes) {
	case sizeof(uint16_t):
		return UINT16_MAX;
	case sizeof(uint32_t):
		return UINT32_MAX;
	default:
		return INT64_MAX;
	}
}

void config_value_append_quantity(const struct setting *setting, int64_t quantity,
				  struct buffer *out)
{
	const struct unit *unit = units_of(setting);

	while (quantity % unit->factor)
		unit++;
	buffer_append_format(out, "%lld%s", (long long)(quantity / unit->factor),
			     quantity ? unit->name : "");
}

static void append_values(const struct setting *setting, struct buffer *out)
{
	for (size_t i = 0; setting->values[i]; i++)
		buffer_append_format(out, "%s\"%s\"", i ? ", " : "", setting->values[i]);
}

static void append_quantities(const struct setting *setting, const char *what, struct buffer *out)
{
	buffer_append_format(out, "a %s from ", what);
	config_value_append_quantity(setting, setting->min, out);
	buffer_append_text(out, " to ");
	config_value_append_quantity(setting, config_value_max(setting), out);
	if (setting->fallback)
		buffer_append_format(out, ", such as \"%s\"", setting->fallback);
}

static void append_strings(const struct setting *setting, struct buffer *out)
{
	buffer_append_text(out, "an array of ");
	if (setting->min > 0)
		buffer_append_format(out, "at least %lld of ", (long long)setting->min);
	if (setting->values)
		append_values(setting, out);
	else
		buffer_append_text(out, "strings");
}

void config_value_wanted(const struct setting *setting, struct buffer *out)
{
	switch (setting->type) {
	case SETTING_BOOL:
		buffer_append_text(out, "true or false");
		break;
	case SETTING_INTEGER:
		buffer_append_format(out, "an integer from %lld to %lld", (long long)setting->min,
				     (long long)config_value_max(setting));
		break;
	case SETTING_NUMBER:
		buffer_append_text(out, "a number");
		break;
	case SETTING_DURATION:
		append_quantities(setting, "duration", out);
		break;
	case SETTING_SIZE:
		append_quantities(setting, "size", out);
		break;
	case SETTING_STRING:
		buffer_append_text(out, setting->min ? "a string that is not empty" : "a string");
		break;
	case SETTING_PATH:
		buffer_append_text(out, "a file's name");
		break;
	case SETTING_ENUM:
		buffer_append_text(out, "one of ");
		append_values(setting, out);
		break;
	case SETTING_STRINGS:
		append_strings(setting, out);
		break;
	case SETTING_ARRAY:
		buffer_append_text(out, "an array of objects");
		break;
	case SETTING_OBJECT:
		buffer_append_text(out, "an object");
		break;
	case SETTING_MAP:
		buffer_append_text(out, "an object of names, each with an object");
		break;
	case SETTING_JSON:
	case SETTING_CUSTOM:
		buffer_append_text(out, setting->wanted);
		break;
	}
}

json_t *config_value_fallback(const struct setting *setting)
{
	json_t *value;

	if (!setting->fallback)
		return NULL;
	switch (setting->type) {
	case SETTING_DURATION:
	case SETTING_SIZE:
	case SETTING_STRING:
	case SETTING_PATH:
	case SETTING_ENUM:
		return json_string(setting->fallback);
	default:
		value = json_loads(setting->fallback, JSON_DECODE_ANY, NULL);
		assert(value);
		return value;
	}
}

static void refuse(const struct reading *reading)
{
	struct buffer wanted = {0};

	config_value_wanted(reading->setting, &wanted);
	if (reading->setting->secret)
		config_refuse(reading->at, NULL, "must be %s", buffer_text(&wanted));
	else
		config_refuse_value(reading->at, reading->value, buffer_text(&wanted));
	buffer_free(&wanted);
}

/* What the environment gave is text: here it is the JSON that it spells. A new reference, or NULL.
 */
static json_t *spelled(const struct reading *reading)
{
	if (!config_text_was_expanded(reading->at, reading->value))
		return json_deep_copy(reading->value);
	return json_loads(json_string_value(reading->value), JSON_DECODE_ANY, NULL);
}

static void read_bool(const struct reading *reading)
{
	json_t *value = spelled(reading);

	if (json_is_boolean(value))
		*(bool *)reading->field = json_is_true(value);
	else
		refuse(reading);
	json_decref(value);
}

/* A JSON Schema integer: 1.0 is one too. */
static bool whole(const json_t *value, int64_t *number)
{
	double real = json_real_value(value);
	static const double exact = 9007199254740992.0; /* 2^53 */

	if (json_is_integer(value)) {
		*number = json_integer_value(value);
		return true;
	}
	if (!json_is_real(value) || real > exact || real < -exact || (double)(int64_t)real != real)
		return false;
	*number = (int64_t)real;
	return true;
}

static void store(const struct reading *reading, int64_t number)
{
	const struct setting *setting = reading->setting;

	if (number < setting->min || number > config_value_max(setting)) {
		refuse(reading);
		return;
	}
	switch (setting->bytes) {
	case sizeof(uint16_t):
		*(uint16_t *)reading->field = (uint16_t)number;
		break;
	case sizeof(uint32_t):
		*(uint32_t *)reading->field = (uint32_t)number;
		break;
	default:
		assert(setting->bytes == sizeof(uint64_t));
		*(uint64_t *)reading->field = (uint64_t)number;
	}
}

static void read_integer(const struct reading *reading)
{
	json_t *value = spelled(reading);
	int64_t number;

	if (whole(value, &number))
		store(reading, number);
	else
		refuse(reading);
	json_decref(value);
}

static void read_number(const struct reading *reading)
{
	json_t *value = spelled(reading);

	if (json_is_number(value)) {
		*(double *)reading->field = json_number_value(value);
		*((bool *)reading->target + reading->setting->count_offset) = true;
	} else {
		refuse(reading);
	}
	json_decref(value);
}

static bool parse_quantity(const struct setting *setting, const char *text, int64_t *quantity)
{
	int64_t number = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *at - '0', &number))
			return false;
	for (const struct unit *unit = units_of(setting); at > text && unit->name; unit++)
		if (!strcmp(at, unit->name))
			return !__builtin_mul_overflow(number, unit->factor, quantity);
	return false;
}

static void read_quantity(const struct reading *reading)
{
	const char *text = json_string_value(reading->value);
	int64_t quantity;

	if (text ? parse_quantity(reading->setting, text, &quantity)
		 : whole(reading->value, &quantity))
		store(reading, quantity);
	else
		refuse(reading);
}

static void read_string(const struct reading *reading)
{
	const struct setting *setting = reading->setting;
	size_t len = json_string_length(reading->value);

	if (!json_is_string(reading->value) || len < (size_t)setting->min) {
		refuse(reading);
		return;
	}
	*(char **)reading->field = mem_strdup(json_string_value(reading->value));
	if (setting->count_offset)
		*(size_t *)(void *)((char *)reading->target + setting->count_offset) = len;
}

static void read_path(const struct reading *reading)
{
	if (!json_string_length(reading->value))
		refuse(reading);
	else
		*(char **)reading->field =
		    config_file_path(reading->at->config, json_string_value(reading->value));
}

/* -1: it is none of the values. */
static int find_value(const struct setting *setting, const json_t *value)
{
	for (int i = 0; json_is_string(value) && setting->values[i]; i++)
		if (!strcmp(setting->values[i], json_string_value(value)))
			return i;
	return -1;
}

static void read_enum(const struct reading *reading)
{
	int i = find_value(reading->setting, reading->value);

	if (i < 0)
		refuse(reading);
	else
		*(int *)reading->field = i;
}

static bool is_among(const char *text, char *const *strings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(strings[i], text))
			return true;
	return false;
}

static void read_string_of(const struct reading *reading, size_t i, char **strings)
{
	const json_t *value = json_array_get(reading->value, i);
	struct config_at at = config_element(reading->at, i);
	struct setting element = *reading->setting;

	element.type = element.values ? SETTING_ENUM : SETTING_STRING;
	element.min = 1;
	strings[i] = mem_strdup(json_is_string(value) ? json_string_value(value) : "");
	if (!*strings[i] || (element.values && find_value(&element, value) < 0))
		refuse(&(struct reading){&at, value, &element, NULL, NULL});
	else if (is_among(strings[i], strings, i))
		config_refuse(&at, NULL, "\"%s\" is there twice", strings[i]);
}

static void read_strings(const struct reading *reading)
{
	size_t *count =
	    (size_t *)(void *)((char *)reading->target + reading->setting->count_offset);
	size_t length = json_array_size(reading->value);
	char **strings;

	if (!json_is_array(reading->value) || length < (size_t)reading->setting->min) {
		refuse(reading);
		return;
	}
	strings = mem_zalloc((length + 1) * sizeof(*strings));
	*(char ***)reading->field = strings;
	for (size_t i = 0; i < length; i++)
		read_string_of(reading, i, strings);
	*count = length;
}

static void read_json(const struct reading *reading)
{
	*(json_t **)reading->field = json_deep_copy(reading->value);
}

static void (*const readers[])(const struct reading *) = {
    [SETTING_BOOL] = read_bool,       [SETTING_INTEGER] = read_integer,
    [SETTING_NUMBER] = read_number,   [SETTING_DURATION] = read_quantity,
    [SETTING_SIZE] = read_quantity,   [SETTING_STRING] = read_string,
    [SETTING_PATH] = read_path,       [SETTING_ENUM] = read_enum,
    [SETTING_STRINGS] = read_strings, [SETTING_JSON] = read_json,
};

void config_value_read(const struct config_at *at, const json_t *value,
		       const struct setting *setting, void *field, void *target)
{
	readers[setting->type](&(struct reading){at, value, setting, field, target});
}
