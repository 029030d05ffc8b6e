#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cluster.h"

static struct database *open_database(void)
{
	return database_new(&cluster.settings, "sluice test");
}

static int64_t run_for_number(struct database *database, const struct database_statement *statement,
			      const struct database_param *params, size_t count)
{
	struct database_result *result;
	int64_t number;

	cluster_must(database, database_run(database, statement, params, count, &result));
	assert_int_equal(database_result_count(result), 1);
	number = database_get_int8(result, 0, 0);
	database_result_free(result);
	return number;
}

/* Of several hosts the next is tried where one is away. */
static void test_database_next_host_is_tried(void **state)
{
	struct postgres_settings two = cluster.settings;
	struct buffer url = {0};
	struct database *database;

	(void)state;
	buffer_append_format(&url, "host=/nowhere,%s user=sluice dbname=postgres", cluster.folder);
	buffer_text(&url);
	two.url = url.base;
	database = database_new(&two, "sluice test");
	cluster_must(database, database_connect(database));
	database_free(database);
	buffer_free(&url);
}

static void write_access_rules(const char *rules)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/data/pg_hba.conf", cluster.folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(rules, file);
	fclose(file);
	cluster_stop();
	cluster_start();
}

/* The password of the configuration is used, and a wrong one is in no error. */
static void test_database_password_is_used_and_not_told(void **state)
{
	struct postgres_settings locked = cluster.settings;
	struct buffer url = {0};
	struct database *database;
	char right[] = "geheim!", wrong[] = "verraten?";

	(void)state;
	cluster_execute("create role locked login password 'geheim!'");
	write_access_rules("local all locked scram-sha-256\nlocal all all trust\n");
	buffer_append_format(&url, "host=%s user=locked dbname=postgres", cluster.folder);
	buffer_text(&url);
	locked.url = url.base;
	locked.password = wrong;
	database = database_new(&locked, "sluice test");
	assert_int_equal(database_connect(database), ERROR_UNAVAILABLE);
	assert_non_null(strstr(database_error(database), "password authentication failed"));
	assert_null(strstr(database_error(database), wrong));
	locked.password = right;
	cluster_must(database, database_connect(database));
	database_free(database);
	buffer_free(&url);
	write_access_rules("local all all trust\nhost all all 127.0.0.1/32 trust\n");
}

static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_false(bind(fd, (struct sockaddr *)&address, len));
	assert_false(getsockname(fd, (struct sockaddr *)&address, &len));
	close(fd);
	return ntohs(address.sin_port);
}

/* Where the server looks for them; they are its user's. */
static void write_certificate(void)
{
	char command[1024], path[128];
	struct stat folder;

	snprintf(command, sizeof(command),
		 "cd %s/data && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
		 "-nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 "
		 "-keyout server.key -out server.crt 2>/dev/null && chmod 600 server.key",
		 cluster.folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(stat(cluster.folder, &folder), 0);
	snprintf(path, sizeof(path), "%s/data/server.key", cluster.folder);
	assert_int_equal(chown(path, folder.st_uid, folder.st_gid), 0);
	snprintf(path, sizeof(path), "%s/data/server.crt", cluster.folder);
	assert_int_equal(chown(path, folder.st_uid, folder.st_gid), 0);
}

/* More than a record and a socket's buffer hold, both ways. */
static void send_large(struct database *database)
{
	static const struct database_statement twice = {"twice", "select $1 || $1"};
	const size_t len = 4 << 20;
	char *text = mem_alloc(len);
	struct database_result *result;
	struct database_param param;

	memset(text, 'x', len);
	param = database_text((struct slice){text, len});
	cluster_must(database, database_run(database, &twice, &param, 1, &result));
	assert_int_equal(database_get_bytes(result, 0, 0).len, 2 * len);
	database_result_free(result);
	free(text);
}

/* The connection string asks for TLS and says whom to trust; nobody else is. */
static void test_database_tls_is_as_the_url_says(void **state)
{
	static const struct database_statement encrypted = {
	    "encrypted", "select ssl::integer from pg_stat_ssl where pid = pg_backend_pid()"};
	struct postgres_settings tls = cluster.settings;
	struct buffer url = {0};
	char port[32];
	struct database *database;

	(void)state;
	write_certificate();
	snprintf(port, sizeof(port), "port=%u", free_port());
	cluster_options[0] = "listen_addresses=127.0.0.1";
	cluster_options[1] = "ssl=on";
	cluster_options[2] = port;
	cluster_stop();
	cluster_start();
	buffer_append_format(&url,
			     "host=127.0.0.1 %s user=sluice dbname=postgres sslmode=verify-full "
			     "sslrootcert=%s/data/server.crt",
			     port, cluster.folder);
	buffer_text(&url);
	tls.url = url.base;
	database = database_new(&tls, "sluice test");
	cluster_must(database, database_connect(database));
	assert_int_equal(run_for_number(database, &encrypted, NULL, 0), 1);
	send_large(database);
	write_certificate();
	database_free(database);
	database = database_new(&tls, "sluice test");
	assert_int_equal(database_connect(database), ERROR_UNAVAILABLE);
	assert_non_null(strstr(database_error(database), "certificate verify failed"));
	database_free(database);
	buffer_free(&url);
	cluster_options[0] = NULL;
	cluster_stop();
	cluster_start();
}

/* The session is what it is meant to be. */
static void test_database_session_has_its_settings(void **state)
{
	static const struct database_statement settings = {
	    "settings", "select (current_setting('statement_timeout') = '30s' "
			"and current_setting('idle_in_transaction_session_timeout') = '30s' "
			"and current_setting('client_connection_check_interval') = '1s' "
			"and current_setting('client_encoding') = 'UTF8' "
			"and current_setting('application_name') = 'sluice test')::integer"};
	struct database *database = open_database();

	(void)state;
	assert_int_equal(run_for_number(database, &settings, NULL, 0), 1);
	database_free(database);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_database_next_host_is_tried),
	    cmocka_unit_test(test_database_password_is_used_and_not_told),
	    cmocka_unit_test(test_database_tls_is_as_the_url_says),
	    cmocka_unit_test(test_database_session_has_its_settings),
	};

	return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
