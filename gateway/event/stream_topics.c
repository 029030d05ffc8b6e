#include <stdlib.h>

#include "base/mem.h"
#include "event/position.h"
#include "event/stream_priv.h"

/* Kafka's own limit of a topic's name (org.apache.kafka.common.internals.Topic). */
enum { TOPIC_MAX_BYTES = 249 };

#define LEGAL_NAME "a topic's name is made of 1 to 249 letters, digits, ., _ and -"

static bool is_legal(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.base[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
			return false;
	}
	return name.len && name.len <= TOPIC_MAX_BYTES && !slice_equal(name, SLICE_LIT(".")) &&
	       !slice_equal(name, SLICE_LIT(".."));
}

/* The name inside "{path.NAME}"; empty where it is not that. */
static struct slice path_variable(const char *text)
{
	static const char start[] = "{path.";
	size_t begin = sizeof(start) - 1, len = strlen(text);

	if (strncmp(text, start, begin) || len <= begin + 1 || text[len - 1] != '}')
		return (struct slice){0};
	return (struct slice){text + begin, len - begin - 1};
}

static void take_topic_param(const struct config_at *at, struct stream *stream, struct slice name)
{
	const struct stream_param *param = stream_param_find(stream, name);
	int shown = (int)name.len;

	if (stream->path && (!param || param->in != STREAM_PARAM_PATH))
		config_refuse(at, "/0", "\"%.*s\" is no parameter of the path: write {%.*s} in it",
			      shown, name.base, shown, name.base);
	else if (param && param->type != PATTERN_STRING)
		config_refuse(at, "/0", "names a topic: declare \"%.*s\" with \"type\": \"string\"",
			      shown, name.base);
	stream->topic_param = mem_strndup(name.base, name.len);
	free(stream->topics[0]);
	stream->topic_count = 0;
}

static void check_name(const struct config_at *at, const char *name)
{
	if (!*name)
		return; /* refused already */
	if (path_variable(name).len)
		config_refuse(at, NULL, "a topic from the path must be the only entry");
	else if (strchr(name, '{'))
		config_refuse(at, NULL,
			      "the only variable here is a path parameter, \"{path.NAME}\"");
	else if (!is_legal(slice_of(name)))
		config_refuse(at, NULL, "is no topic: " LEGAL_NAME);
}

void stream_topics_check(const struct config_at *at, void *target)
{
	struct stream *stream = target;
	struct slice name = {0};

	if (stream->topic_count == 1)
		name = path_variable(stream->topics[0]);
	if (name.len) {
		take_topic_param(at, stream, name);
		return;
	}
	if (stream->topic_count > POSITION_MAX_TOPICS)
		config_refuse(at, NULL, "holds more than %d topics", POSITION_MAX_TOPICS);
	for (size_t i = 0; i < stream->topic_count; i++) {
		struct config_at place = config_element(at, i);

		check_name(&place, stream->topics[i]);
	}
}

static void check_allowed(const struct config_at *at, const char *name)
{
	struct slice legal = slice_of(name);

	if (legal.len && name[legal.len - 1] == '*')
		legal.len--;
	if (legal.len && !is_legal(legal))
		config_refuse(at, NULL,
			      "is no topic or prefix: " LEGAL_NAME
			      ", and only a prefix ends with *");
}

void stream_topics_check_allowed(const struct config_at *at, void *target)
{
	struct stream *stream = target;

	if (stream->topic_param && !stream->allow_topic_count)
		config_refuse(at->parent, NULL,
			      "lacks \"allow_topics\": name the topics that the path may ask for");
	else if (stream->topic_count && stream->allow_topic_count)
		config_refuse(at, NULL, "is for \"topics\": [\"{path.NAME}\"] only: take it out");
	for (size_t i = 0; i < stream->allow_topic_count; i++) {
		struct config_at place = config_element(at, i);

		check_allowed(&place, stream->allow_topics[i]);
	}
}

static bool is_kafkas_own(struct slice topic)
{
	return topic.len >= 2 && !memcmp(topic.base, "__", 2);
}

static bool allows(const char *allowed, struct slice topic)
{
	size_t len = strlen(allowed);

	if (allowed[len - 1] != '*')
		return slice_equal(slice_of(allowed), topic);
	if (is_kafkas_own(topic) && len <= 2)
		return false;
	return topic.len >= len - 1 && !memcmp(allowed, topic.base, len - 1);
}

bool stream_allows_topic(const struct stream *stream, struct slice topic)
{
	if (!is_legal(topic))
		return false;
	for (size_t i = 0; i < stream->topic_count; i++)
		if (slice_equal(slice_of(stream->topics[i]), topic))
			return true;
	for (size_t i = 0; i < stream->allow_topic_count; i++)
		if (allows(stream->allow_topics[i], topic))
			return true;
	return false;
}
