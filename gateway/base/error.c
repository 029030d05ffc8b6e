#include "base/error.h"

#include <assert.h>
#include <stddef.h>

const char *error_text(int code)
{
	static const char *const texts[] = {"no error",
#define ERROR_ROW(name, text) text,
					    ERROR_TABLE(ERROR_ROW)
#undef ERROR_ROW
	};

	assert(code <= 0 && (size_t)-code < sizeof(texts) / sizeof(texts[0]));
	return texts[-code];
}
