/*
 * error: the one table of error codes.
 *
 * Functions that can fail because of what the world does return 0 or a negative code of this table,
 * and leave their out-parameters untouched on failure. What cannot happen is an assert; memory
 * exhaustion ends the process (base/mem.h).
 */
#ifndef SLUICE_BASE_ERROR_H
#define SLUICE_BASE_ERROR_H

/* One row an error: name, what it says to an operator. */
#define ERROR_TABLE(X)                                                                             \
	X(INVALID, "the input is malformed")                                                       \
	X(FOREIGN, "the input belongs to something else")                                          \
	X(LIMIT, "a configured limit is reached")                                                  \
	X(NOT_FOUND, "there is no such thing")                                                     \
	X(DENIED, "the request is not allowed")                                                    \
	X(EXPIRED, "the credential has expired")                                                   \
	X(PENDING, "the answer is not known yet")                                                  \
	X(IO, "reading or writing failed")                                                         \
	X(KAFKA, "Kafka answered with an error")                                                   \
	X(POSTGRES, "PostgreSQL answered with an error")                                           \
	X(UNAVAILABLE, "the server cannot be reached")                                             \
	X(CONFLICT, "somebody else has changed it")                                                \
	X(CANCELLED, "the caller no longer wants the answer")

enum error_number {
	ERROR_NUMBER_NONE = 0,
#define ERROR_NUMBER(name, text) ERROR_NUMBER_##name,
	ERROR_TABLE(ERROR_NUMBER)
#undef ERROR_NUMBER
};

/* What functions return: -1, -2, ... in the order of the table. */
enum error {
	ERROR_NONE = 0,
#define ERROR_CODE(name, text) ERROR_##name = -ERROR_NUMBER_##name,
	ERROR_TABLE(ERROR_CODE)
#undef ERROR_CODE
};

/* The table's text for a code. Returns a constant. Thread: any. */
const char *error_text(int code);

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
