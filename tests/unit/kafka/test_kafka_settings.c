#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "kafka/kafka_settings.h"

/* What librdkafka takes is taken, of every scope that a user may need. */
static void test_kafka_settings_known_property_is_taken(void **state)
{
	static const char *const rows[][2] = {
	    {"bootstrap.servers", "a:9092,b:9092"},
	    {"security.protocol", "SASL_SSL"},
	    {"sasl.mechanisms", "SCRAM-SHA-512"},
	    {"sasl.password", "with \"quotes\" and \n"},
	    {"ssl.ca.location", "/nowhere"},
	    {"fetch.wait.max.ms", "0"},
	    {"linger.ms", "5"},
	    {"acks", "all"},
	    {"compression.type", "zstd"},
	};
	char reason[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(kafka_settings_check(rows[i][0], rows[i][1], reason), 0);
}

/* What librdkafka refuses is refused in its words, which name the property. */
static void test_kafka_settings_bad_property_is_refused_with_reason(void **state)
{
	static const struct {
		const char *name, *value, *word;
	} rows[] = {
	    {"", "x", "property"},
	    {"no.such.thing", "x", "no.such.thing"},
	    {"bootstrap.servers\n", "x", "bootstrap.servers"},
	    {"fetch.wait.max.ms", "many", "fetch.wait.max.ms"},
	    {"fetch.wait.max.ms", "-1", "fetch.wait.max.ms"},
	    {"fetch.wait.max.ms", "99999999999999999999", "fetch.wait.max.ms"},
	    {"security.protocol", "TLS", "security.protocol"},
	    {"error_cb", "x", "error_cb"},
	    {"\xff\xfe", "x", "property"},
	};
	char reason[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		*reason = '\0';
		assert_int_equal(kafka_settings_check(rows[i].name, rows[i].value, reason),
				 ERROR_INVALID);
		assert_non_null(strstr(reason, rows[i].word));
	}
}

/* What the promise rests on is the gateway's own, whatever the value. */
static void test_kafka_settings_owned_property_is_refused_with_reason(void **state)
{
	static const char *const rows[][2] = {
	    {"group.id", "mine"},
	    {"isolation.level", "read_committed"},
	    {"enable.auto.commit", "false"},
	    {"auto.offset.reset", "latest"},
	    {"enable.partition.eof", "true"},
	    {"allow.auto.create.topics", "true"},
	    {"transactional.id", "mine"},
	    {"test.mock.num.brokers", "3"},
	};
	char reason[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(kafka_settings_check(rows[i][0], rows[i][1], reason),
				 ERROR_INVALID);
		assert_non_null(strstr(reason, rows[i][0]));
		assert_non_null(strstr(reason, "can't be set: "));
	}
}

/* A name and value of any length leave the 256 bytes of the reason intact. */
static void test_kafka_settings_overlong_property_is_cut(void **state)
{
	char reason[256], text[2048];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(kafka_settings_check(text, text, reason), ERROR_INVALID);
	assert_non_null(memchr(reason, '\0', sizeof(reason)));
	assert_int_equal(kafka_settings_check("fetch.wait.max.ms", text, reason), ERROR_INVALID);
	assert_non_null(memchr(reason, '\0', sizeof(reason)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kafka_settings_known_property_is_taken),
	    cmocka_unit_test(test_kafka_settings_bad_property_is_refused_with_reason),
	    cmocka_unit_test(test_kafka_settings_owned_property_is_refused_with_reason),
	    cmocka_unit_test(test_kafka_settings_overlong_property_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
