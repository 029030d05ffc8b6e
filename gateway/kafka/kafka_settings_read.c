#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kafka/kafka_settings.h"

/* What may be given as NAME_file; librdkafka takes any value of these, so that none is shown in an
 * error. */
static const char *const secrets[] = {"sasl.password", "ssl.key.password", "ssl.key.pem",
				      "ssl.keystore.password", "sasl.oauthbearer.client.secret"};

enum { SECRET_COUNT = sizeof(secrets) / sizeof(secrets[0]) };

const char kafka_settings_schema[] =
    "{\"type\": \"object\", \"required\": [\"bootstrap.servers\"], \"properties\":"
    " {\"bootstrap.servers\": {\"type\": [\"string\", \"number\", \"boolean\"],"
    " \"description\": \"Brokers, as host:port,host:port.\"}},"
    " \"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}";

/* True where `name` is a secret's NAME_file; *len is the length of NAME then. */
static bool is_secret_file(const char *name, size_t *len)
{
	for (size_t i = 0; i < SECRET_COUNT; i++) {
		*len = strlen(secrets[i]);
		if (!strncmp(secrets[i], name, *len) && !strcmp(name + *len, "_file"))
			return true;
	}
	return false;
}

/* What librdkafka is told, the caller's to free(); NULL: it can't be told that. */
static char *text_of(const json_t *value)
{
	if (json_is_string(value))
		return mem_strdup(json_string_value(value));
	if (json_is_number(value) || json_is_boolean(value))
		return json_dumps(value, JSON_ENCODE_ANY);
	return NULL;
}

static void check_property(const struct config_at *at, const struct kafka_property *property)
{
	char reason[256] = "";

	if (kafka_settings_check(property->name, property->value, reason))
		config_refuse(at, NULL, "%s", reason);
}

/* The name of the property that a member sets, the caller's to free(); *value is likewise, or NULL
 * where it was refused. */
static char *read_member(const struct config_at *at, const json_t *member, char **value)
{
	size_t name_len, value_len;

	*value = NULL;
	if (is_secret_file(at->name, &name_len)) {
		if (config_read_secret(at, member, value, &value_len) &&
		    strlen(*value) != value_len)
			config_refuse(at, NULL, "the file holds a NUL byte");
		return mem_strndup(at->name, name_len);
	}
	*value = text_of(member);
	if (!*value)
		config_refuse_value(at, member, "a string, a number, true or false");
	return mem_strdup(at->name);
}

static bool has_property(const struct kafka_settings *kafka, const char *name)
{
	for (size_t i = 0; i < kafka->property_count; i++)
		if (!strcmp(kafka->properties[i].name, name))
			return true;
	return false;
}

static void read_property(const struct config_at *at, const json_t *member,
			  struct kafka_settings *kafka)
{
	struct kafka_property property;

	property.name = read_member(at, member, &property.value);
	if (property.value && has_property(kafka, property.name))
		config_refuse(at, NULL, "\"%s\" is given both itself and as a file: take one out",
			      property.name);
	else if (property.value)
		check_property(at, &property);
	if (property.value)
		kafka->properties[kafka->property_count++] = property;
	else
		free(property.name);
}

void kafka_settings_read(const struct config_at *at, const json_t *value,
			 struct kafka_settings *kafka)
{
	const char *name;
	json_t *member;

	if (!json_is_object(value)) {
		config_refuse_value(at, value, "an object of librdkafka's properties");
		return;
	}
	if (!json_object_get(value, "bootstrap.servers"))
		config_refuse(at, NULL,
			      "lacks \"bootstrap.servers\": the brokers, as host:port,host:port");
	kafka->properties =
	    mem_zalloc((json_object_size(value) + 1) * sizeof(kafka->properties[0]));
	json_object_foreach((json_t *)(uintptr_t)value, name, member)
	{
		struct config_at place = config_member(at, name);

		read_property(&place, member, kafka);
	}
}

void kafka_settings_fini(struct kafka_settings *kafka)
{
	for (size_t i = 0; i < kafka->property_count; i++) {
		free(kafka->properties[i].name);
		free(kafka->properties[i].value);
	}
	free(kafka->properties);
}
