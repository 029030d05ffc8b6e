#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "commands.h"

/* A file with `text` in place of a standard stream; the stream's own is returned. */
static int replace(int fd, const char *text)
{
	char path[] = "/tmp/test_match_command-XXXXXX";
	int file = mkstemp(path), own = dup(fd);

	assert_true(file >= 0 && own >= 0);
	unlink(path);
	assert_int_equal(write(file, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	assert_int_equal(dup2(file, fd), fd);
	close(file);
	return own;
}

static void read_back(int fd, char *text, size_t size)
{
	ssize_t len = pread(fd, text, size - 1, 0);

	text[len > 0 ? len : 0] = '\0';
}

/* What the command says of the argument and the input, and what it has to return. */
static void check(const char *argument, const char *input, int code, const char *output,
		  const char *error)
{
	char *argv[] = {(char *)(uintptr_t) "match", (char *)(uintptr_t)argument, NULL};
	char said[4096], complaint[4096];
	int own[3] = {replace(STDIN_FILENO, input), 0, 0}, result;

	fflush(stdout);
	own[1] = replace(STDOUT_FILENO, "");
	own[2] = replace(STDERR_FILENO, "");
	clearerr(stdin);
	result = match_command(argument ? 2 : 1, argv);
	fflush(stdout);
	read_back(STDOUT_FILENO, said, sizeof(said));
	read_back(STDERR_FILENO, complaint, sizeof(complaint));
	for (int fd = 0; fd < 3; fd++) {
		dup2(own[fd], fd);
		close(own[fd]);
	}
	assert_int_equal(result, code);
	assert_string_equal(said, output);
	if (!strstr(complaint, error) || !*error != !*complaint)
		fail_msg("%s: %s", argument, complaint);
}

/* The events that match come out as they came in; empty lines are none. */
static void test_match_command_pattern_prints_the_events_that_match(void **state)
{
	(void)state;
	check("{\"a\": [{\"prefix\": \"{x\"}]}",
	      "{\"a\": \"{xy\"}\n\n{\"a\":\"y\"}\r\n{ \"a\": [\"{x\"] }\r\n{\"a\":\"{x\"}", 0,
	      "{\"a\": \"{xy\"}\n{ \"a\": [\"{x\"] }\n{\"a\":\"{x\"}\n", "");
	check("{\"a\": [1]}", "", 0, "", "");
}

/* A line that is not JSON is told with its number, and the others go on. */
static void test_match_command_line_that_is_not_json_is_told(void **state)
{
	(void)state;
	check("{\"a\": [1]}", "{\"a\": 1}\nx\n{\"a\": 1.0}\n", EXIT_FAILURE,
	      "{\"a\": 1}\n{\"a\": 1.0}\n", "line 2 is not JSON");
}

/* What is no pattern is refused as the gateway refuses it, a field that comes twice too. */
static void test_match_command_bad_pattern_is_refused(void **state)
{
	(void)state;
	check("{", "", EXIT_FAILURE, "", "the pattern is not JSON: line 1");
	check("{\"a\": [1], \"a\": [2]}", "", EXIT_FAILURE, "", "duplicate object key");
	check("{\"a\": {\"b/c\": [{\"prefix\": 1}]}}", "", EXIT_FAILURE, "",
	      "/a/b~1c/0: \"prefix\" takes a string");
	check("@/nowhere/at/all", "", EXIT_FAILURE, "", "/nowhere/at/all");
	check("--unknown", "", COMMAND_USAGE, "", "unknown");
	check(NULL, "", COMMAND_USAGE, "", "usage:");
}

static void append_word(struct buffer *line, const char *text)
{
	unsigned char word[512];
	int len = EVP_EncodeBlock(word, (const unsigned char *)text, (int)strlen(text));

	buffer_append(line, (const char *)word, (size_t)len);
}

/* Each line has its answer, also one that holds no pair. */
static void test_match_command_pairs_are_answered_line_by_line(void **state)
{
	static const struct {
		const char *pattern, *event;
	} rows[] = {
	    {"{\"a\": [300]}", "{\"a\": 3.0e2}"},
	    {"{\"a\": [300]}", "{\"a\": \"300\"}"},
	    {"{\"a\": 300}", "{\"a\": 300}"},
	    {"{\"a\": [1]}", "{"},
	    {"{\"a\": [1], \"a\": [2]}", "{\"a\": 2}"},
	    {"{\"a\": [2]}", "{\"a\": 1, \"a\": 2}"},
	    {"{\"a\": [18446744073709551615]}", "{\"a\": 18446744073709551615}"},
	};
	struct buffer input = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		append_word(&input, rows[i].pattern);
		buffer_append_text(&input, " ");
		append_word(&input, rows[i].event);
		buffer_append_text(&input, "\n");
	}
	buffer_append_text(&input, "e30=\n\n??? e30=\n");
	check("--pairs", buffer_text(&input), 0,
	      "true\nfalse\ninvalid\ninvalid\ninvalid\ntrue\ntrue\ninvalid\ninvalid\ninvalid\n",
	      "");
	buffer_free(&input);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_match_command_pattern_prints_the_events_that_match),
	    cmocka_unit_test(test_match_command_line_that_is_not_json_is_told),
	    cmocka_unit_test(test_match_command_bad_pattern_is_refused),
	    cmocka_unit_test(test_match_command_pairs_are_answered_line_by_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
