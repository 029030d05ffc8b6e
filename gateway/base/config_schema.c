#include <assert.h>

#include "base/config_priv.h"

#define MAP_NAME "^[A-Za-z0-9_.-]{1,64}$"

static const char environment_schema[] =
    "{\"type\": \"string\", \"pattern\": \"[$][{]\","
    " \"description\": \"An environment variable: ${NAME} or ${NAME:-default}.\"}";

static json_t *schema_of_table(const struct config_table *table);

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	assert(json);
	return json;
}

/* Takes `schema` over. */
static json_t *or_environment(json_t *schema)
{
	return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "$ref", "#/$defs/environment");
}

static json_t *schema_of_range(const struct setting *setting)
{
	return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)setting->min,
			 "maximum", (json_int_t)config_value_max(setting));
}

static json_t *schema_of_quantity(const struct setting *setting)
{
	const char *pattern =
	    setting->type == SETTING_DURATION ? "^[0-9]+(ms|s|m|h|d)$" : "^[0-9]+(B|KiB|MiB|GiB)$";

	return json_pack("{s:[o, {s:s, s:s}, {s:s}]}", "anyOf", schema_of_range(setting), "type",
			 "string", "pattern", pattern, "$ref", "#/$defs/environment");
}

static json_t *schema_of_string(const struct setting *setting)
{
	json_int_t least = setting->type == SETTING_PATH ? 1 : setting->min;

	if (!least)
		return json_pack("{s:s}", "type", "string");
	return json_pack("{s:s, s:I}", "type", "string", "minLength", least);
}

static json_t *schema_of_values(const struct setting *setting)
{
	json_t *values = json_array();

	for (size_t i = 0; setting->values[i]; i++)
		json_array_append_new(values, json_string(setting->values[i]));
	return or_environment(json_pack("{s:o}", "enum", values));
}

static json_t *schema_of_strings(const struct setting *setting)
{
	json_t *item = setting->values ? schema_of_values(setting)
				       : json_pack("{s:s, s:i}", "type", "string", "minLength", 1);

	return json_pack("{s:s, s:o, s:I, s:b}", "type", "array", "items", item, "minItems",
			 (json_int_t)setting->min, "uniqueItems", true);
}

static json_t *schema_of_setting(const struct setting *setting)
{
	switch (setting->type) {
	case SETTING_BOOL:
		return or_environment(json_pack("{s:s}", "type", "boolean"));
	case SETTING_INTEGER:
		return or_environment(schema_of_range(setting));
	case SETTING_NUMBER:
		return or_environment(json_pack("{s:s}", "type", "number"));
	case SETTING_DURATION:
	case SETTING_SIZE:
		return schema_of_quantity(setting);
	case SETTING_STRING:
	case SETTING_PATH:
		return schema_of_string(setting);
	case SETTING_ENUM:
		return schema_of_values(setting);
	case SETTING_STRINGS:
		return schema_of_strings(setting);
	case SETTING_OBJECT:
		return schema_of_table(setting->table);
	case SETTING_ARRAY:
		return json_pack("{s:s, s:o, s:I}", "type", "array", "items",
				 schema_of_table(setting->table), "minItems",
				 (json_int_t)setting->min);
	case SETTING_MAP:
		return json_pack("{s:s, s:{s:s}, s:o}", "type", "object", "propertyNames",
				 "pattern", MAP_NAME, "additionalProperties",
				 schema_of_table(setting->table));
	default:
		return parse(setting->schema);
	}
}

static void add_property(json_t *properties, const struct setting *setting)
{
	json_t *property = json_pack("{s:s}", "description", setting->doc);
	json_t *fallback = config_value_fallback(setting);
	json_t *schema = schema_of_setting(setting);

	json_object_update(property, schema);
	if (fallback && setting->type != SETTING_OBJECT)
		json_object_set(property, "default", fallback);
	json_object_set_new(properties, setting->name, property);
	json_decref(schema);
	json_decref(fallback);
}

/* NAME_file beside NAME, and the rule that one of them is given. */
static void add_secret(json_t *properties, json_t *rules, const struct setting *setting)
{
	json_t *file = json_sprintf("%s_file", setting->name);

	json_object_set_new(properties, json_string_value(file),
			    json_pack("{s:s, s:s, s:i}", "description",
				      "A file that holds it, relative to this file's folder.",
				      "type", "string", "minLength", 1));
	json_array_append_new(
	    rules, setting->required
		       ? json_pack("{s:[{s:[s]}, {s:[O]}]}", "oneOf", "required", setting->name,
				   "required", file)
		       : json_pack("{s:{s:[s, O]}}", "not", "required", setting->name, file));
	json_decref(file);
}

/* Takes `list` over; left out where it is empty. */
static void add_list(json_t *schema, const char *name, json_t *list)
{
	if (json_array_size(list))
		json_object_set(schema, name, list);
	json_decref(list);
}

static json_t *schema_of_table(const struct config_table *table)
{
	json_t *schema = json_pack("{s:s}", "type", "object");
	json_t *properties = json_object(), *required = json_array(), *rules = json_array();

	for (size_t i = 0; i < table->count; i++) {
		const struct setting *setting = &table->settings[i];

		add_property(properties, setting);
		if (setting->secret)
			add_secret(properties, rules, setting);
		else if (setting->required)
			json_array_append_new(required, json_string(setting->name));
	}
	json_object_set_new(schema, "properties", properties);
	add_list(schema, "required", required);
	add_list(schema, "allOf", rules);
	json_object_set_new(schema, "additionalProperties", json_false());
	return schema;
}

json_t *config_schema(const struct config_table *table, const char *title)
{
	json_t *schema = json_pack("{s:s, s:s}", "$schema",
				   "https://json-schema.org/draft/2020-12/schema", "title", title);
	json_t *definitions = parse(table->definitions ? table->definitions : "{}");
	json_t *root = schema_of_table(table);

	json_object_update(schema, root);
	json_object_set_new(definitions, "environment", parse(environment_schema));
	json_object_set_new(schema, "$defs", definitions);
	json_decref(root);
	return schema;
}
