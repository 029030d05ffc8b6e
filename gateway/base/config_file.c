#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/config_priv.h"

char *config_file_path(const struct config *config, const char *path)
{
	const char *slash = strrchr(config->file, '/');
	struct buffer full = {0};

	if (path[0] != '/' && slash)
		buffer_append(&full, config->file, (size_t)(slash - config->file) + 1);
	buffer_append_text(&full, path);
	buffer_text(&full);
	return full.base;
}

static int read_all(int fd, size_t max, struct buffer *out)
{
	enum { STEP_BYTES = 16 * 1024 };

	for (;;) {
		ssize_t got = read(fd, buffer_reserve(out, STEP_BYTES), STEP_BYTES);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? ERROR_IO : 0;
		out->len += (size_t)got;
		if (out->len > max)
			return ERROR_LIMIT;
	}
}

int config_file_read(const char *path, size_t max, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int saved;
	int rc;

	if (fd < 0)
		return ERROR_IO;
	rc = read_all(fd, max, out);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

static bool check_secret(const struct config_at *at, const char *path, int rc,
			 const struct buffer *text)
{
	if (rc == ERROR_IO)
		config_refuse(at, NULL, "%s can't be read: %s", path, strerror(errno));
	else if (rc)
		config_refuse(at, NULL, "%s holds more than %d bytes", path,
			      CONFIG_MAX_SECRET_BYTES);
	else if (!text->len)
		config_refuse(at, NULL, "%s is empty", path);
	return !rc && text->len;
}

static void strip_newline(struct buffer *text)
{
	if (!text->len || text->base[text->len - 1] != '\n')
		return;
	text->len--;
	if (text->len && text->base[text->len - 1] == '\r')
		text->len--;
}

bool config_read_secret(const struct config_at *at, const json_t *path, char **text, size_t *len)
{
	struct buffer content = {0};
	char *full;
	bool good;
	int rc;

	if (!json_string_length(path)) {
		config_refuse_value(at, path, "a file that holds the secret");
		return false;
	}
	full = config_file_path(at->config, json_string_value(path));
	rc = config_file_read(full, CONFIG_MAX_SECRET_BYTES, &content);
	if (!rc)
		strip_newline(&content);
	good = check_secret(at, full, rc, &content);
	free(full);
	if (!good) {
		buffer_free(&content);
		return false;
	}
	buffer_text(&content);
	*len = content.len;
	*text = content.base;
	return true;
}
