/*
 * fuzz_config: arbitrary text as a configuration file. A text that is refused has an error, and
 * whatever is read is freed.
 */
#include <stdint.h>
#include <stdlib.h>

#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Secrets are read from files: none of this name is there. */
static const char file[] = "/nowhere/sluice.json";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *)data, size};
	struct config_errors errors = {0};
	struct settings settings;

	if (settings_read(file, text, &settings, &errors) == 0)
		settings_free(&settings);
	else if (!errors.count)
		abort();
	config_errors_free(&errors);
	return 0;
}
