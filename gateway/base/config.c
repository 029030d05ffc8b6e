#include "base/config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/config_priv.h"
#include "base/mem.h"

/* Where a setting's value, or how many of it there are, stands in its struct. */
static void *field_at(void *target, size_t offset)
{
	return (char *)target + offset;
}

static char *secret_file_name(const struct setting *setting)
{
	struct buffer name = {0};

	buffer_append_format(&name, "%s_file", setting->name);
	buffer_text(&name);
	return name.base;
}

static void fini_list(const struct setting *setting, void *target)
{
	const struct config_table *table = setting->table;
	void *list = *(void **)field_at(target, setting->offset);
	size_t count = *(size_t *)field_at(target, setting->count_offset);

	for (size_t i = 0; i < count; i++) {
		void *item =
		    setting->indirect ? ((void **)list)[i] : field_at(list, i * table->bytes);

		config_fini(table, item);
		if (setting->indirect)
			free(item);
	}
	free(list);
}

static void fini_strings(const struct setting *setting, void *target)
{
	char **strings = *(char ***)field_at(target, setting->offset);
	size_t count = *(size_t *)field_at(target, setting->count_offset);

	for (size_t i = 0; i < count; i++)
		free(strings[i]);
	free(strings);
}

static void fini_setting(const struct setting *setting, void *target)
{
	void *field = field_at(target, setting->offset);

	switch (setting->type) {
	case SETTING_STRING:
	case SETTING_PATH:
		free(*(char **)field);
		break;
	case SETTING_STRINGS:
		fini_strings(setting, target);
		break;
	case SETTING_OBJECT:
		config_fini(setting->table, field);
		break;
	case SETTING_ARRAY:
	case SETTING_MAP:
		fini_list(setting, target);
		break;
	case SETTING_JSON:
		json_decref(*(json_t **)field);
		break;
	default:
		break;
	}
}

void config_fini(const struct config_table *table, void *target)
{
	if (table->fini)
		table->fini(target);
	for (size_t i = 0; i < table->count; i++)
		fini_setting(&table->settings[i], target);
	if (table->named)
		free(*(char **)target);
}

static void refuse_unknown(const struct config_at *at, const struct config_table *table)
{
	const char **names = mem_alloc(2 * table->count * sizeof(*names));
	size_t count = 0, own = table->count;
	const char *near;

	for (size_t i = 0; i < own; i++)
		names[count++] = table->settings[i].name;
	for (size_t i = 0; i < own; i++)
		if (table->settings[i].secret)
			names[count++] = secret_file_name(&table->settings[i]);
	near = config_suggest(at->name, names, count);
	if (near)
		config_refuse(at, NULL, "unknown setting; did you mean \"%s\"?", near);
	else
		config_refuse(at, NULL, "unknown setting; conf/README.md lists those there are");
	while (count > own)
		free((void *)(uintptr_t)names[--count]);
	free(names);
}

static bool is_known(const struct config_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct setting *setting = &table->settings[i];
		size_t len = strlen(setting->name);

		if (!strncmp(setting->name, name, len) &&
		    (!name[len] || (setting->secret && !strcmp(name + len, "_file"))))
			return true;
	}
	return false;
}

static void refuse_unknowns(const struct config_at *at, const json_t *object,
			    const struct config_table *table)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		struct config_at place = config_member(at, name);

		if (!is_known(table, name))
			refuse_unknown(&place, table);
	}
}

static void read_array(const struct config_at *at, const json_t *value,
		       const struct setting *setting, void *target)
{
	size_t *count = field_at(target, setting->count_offset);
	size_t bytes = setting->table->bytes;
	size_t length = json_array_size(value);
	char *items;

	if (!json_is_array(value) || length < (size_t)setting->min) {
		config_refuse_value(at, value,
				    setting->min ? "an array of at least one object"
						 : "an array of objects");
		return;
	}
	items = mem_zalloc((length + 1) * bytes);
	*(void **)field_at(target, setting->offset) = items;
	*count = length;
	for (size_t i = 0; i < length; i++) {
		struct config_at place = config_element(at, i);

		config_read_object(&place, json_array_get(value, i), setting->table,
				   items + i * bytes);
	}
}

static bool is_map_name(const char *name)
{
	enum { NAME_MAX_BYTES = 64 };
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "_.-");

	return len && len <= NAME_MAX_BYTES && !name[len];
}

static void read_map(const struct config_at *at, const json_t *value, const struct setting *setting,
		     void *target)
{
	size_t *count = field_at(target, setting->count_offset);
	size_t stride = setting->indirect ? sizeof(void *) : setting->table->bytes;
	const char *name;
	json_t *member;
	char *items;

	assert(setting->table->named);
	if (!json_is_object(value)) {
		config_refuse_value(at, value, "an object of names, each with an object");
		return;
	}
	items = mem_zalloc((json_object_size(value) + 1) * stride);
	*(void **)field_at(target, setting->offset) = items;
	json_object_foreach((json_t *)(uintptr_t)value, name, member)
	{
		struct config_at place = config_member(at, name);
		void *item = items + (*count)++ * stride;

		if (setting->indirect)
			item = *(void **)item = mem_zalloc(setting->table->bytes);
		*(char **)item = mem_strdup(name);
		if (!is_map_name(name))
			config_refuse(&place, NULL,
				      "a name is made of 1 to 64 letters, digits, _, . and -");
		config_read_object(&place, member, setting->table, item);
	}
}

void config_read_as(const struct config_at *at, const json_t *value, const struct setting *setting,
		    void *target)
{
	void *field = field_at(target, setting->offset);

	switch (setting->type) {
	case SETTING_OBJECT:
		config_read_object(at, value, setting->table, field);
		break;
	case SETTING_ARRAY:
		read_array(at, value, setting, target);
		break;
	case SETTING_MAP:
		read_map(at, value, setting, target);
		break;
	case SETTING_CUSTOM:
		setting->read(at, value, target);
		break;
	default:
		config_value_read(at, value, setting, field, target);
	}
}

static void read_secret(const struct config_at *at, const json_t *path,
			const struct setting *setting, void *target)
{
	char *text;
	size_t len;

	if (!config_read_secret(at, path, &text, &len))
		return;
	if (!setting->count_offset && memchr(text, '\0', len)) {
		config_refuse(at, NULL, "the file holds a NUL byte");
		free(text);
		return;
	}
	*(char **)field_at(target, setting->offset) = text;
	if (setting->count_offset)
		*(size_t *)field_at(target, setting->count_offset) = len;
}

/* True where the object has NAME_file, so that NAME is settled. */
static bool read_secret_file(const struct config_at *at, const json_t *object,
			     const struct setting *setting, void *target)
{
	char *name = secret_file_name(setting);
	struct config_at place = config_member(at, name);
	const json_t *path = json_object_get(object, name);

	if (path && json_object_get(object, setting->name))
		config_refuse(&place, NULL, "stands beside \"%s\": give one of them",
			      setting->name);
	else if (path)
		read_secret(&place, path, setting, target);
	free(name);
	return path;
}

static void read_absent(const struct config_at *place, const struct setting *setting, void *target)
{
	json_t *fallback = config_value_fallback(setting);

	if (setting->required)
		config_refuse(place->parent, NULL, "lacks \"%s\": %s", setting->name, setting->doc);
	else if (fallback || setting->type == SETTING_CUSTOM)
		config_read_as(place, fallback, setting, target);
	json_decref(fallback);
}

static void read_setting(const struct config_at *at, const json_t *object,
			 const struct setting *setting, void *target)
{
	struct config_at place = config_member(at, setting->name);
	const json_t *value = json_object_get(object, setting->name);
	bool settled = setting->secret && read_secret_file(at, object, setting, target);

	settled = settled || config_text_was_refused(&place, value);
	if (!settled && value)
		config_read_as(&place, value, setting, target);
	else if (!settled)
		read_absent(&place, setting, target);
	if (setting->check)
		setting->check(&place, target);
}

void config_read_object(const struct config_at *at, const json_t *value,
			const struct config_table *table, void *target)
{
	size_t refused = at->config->errors->count;

	if (!json_is_object(value)) {
		config_refuse_value(at, value, "an object");
		return;
	}
	refuse_unknowns(at, value, table);
	for (size_t i = 0; i < table->count; i++)
		read_setting(at, value, &table->settings[i], target);
	if (table->check && at->config->errors->count == refused)
		table->check(at, target);
}

static void refuse_syntax(struct config *config, const json_error_t *error)
{
	struct buffer message = {0};

	buffer_append_format(&message, "column %d: not valid JSON: %s",
			     error->column > 0 ? error->column : 1, error->text);
	config_add_error(config, error->line > 0 ? (unsigned)error->line : 1, "",
			 buffer_text(&message));
	buffer_free(&message);
}

static void read_text(struct config *config, const struct config_table *table, void *target,
		      struct slice text)
{
	struct config_at root = {.config = config};
	json_error_t error;
	json_t *value = json_loadb(text.len ? text.base : "", text.len, JSON_DECODE_ANY, &error);

	if (!value) {
		refuse_syntax(config, &error);
		return;
	}
	if (config_text_scan(config, text)) {
		config_text_expand(&root, value);
		config_read_object(&root, value, table, target);
	}
	json_decref(value);
}

int config_read(const struct config_table *table, void *target, const char *file, struct slice text,
		struct config_errors *errors)
{
	struct config config = {file, json_object(), json_object(), errors};
	void *read = mem_zalloc(table->bytes);

	if (text.len > CONFIG_MAX_BYTES)
		config_add_error(&config, 0, "", "is larger than 1 MiB");
	else
		read_text(&config, table, read, text);
	json_decref(config.lines);
	json_decref(config.expanded);
	if (errors->count)
		config_fini(table, read);
	else
		memcpy(target, read, table->bytes);
	free(read);
	return errors->count ? ERROR_INVALID : 0;
}

int config_load(const struct config_table *table, void *target, const char *file,
		struct config_errors *errors)
{
	struct config config = {.file = file, .errors = errors};
	struct buffer text = {0};
	int rc = config_file_read(file, CONFIG_MAX_BYTES + 1, &text);

	if (rc == ERROR_IO) {
		config_add_error(&config, 0, "", strerror(errno));
		buffer_free(&text);
		return rc;
	}
	rc = config_read(table, target, file, buffer_slice(&text), errors);
	buffer_free(&text);
	return rc;
}
