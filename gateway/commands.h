/*
 * commands: `sluice NAME …`, each in NAME_command.c.
 *
 * argv[0] is the name; what is returned is the exit code. What went wrong is said on standard
 * error.
 */
#ifndef SLUICE_COMMANDS_H
#define SLUICE_COMMANDS_H

enum { COMMAND_USAGE = 2 }; /* the exit code for arguments that are wrong */

/* One row a command: name, its lines of `sluice --help`. */
#define COMMAND_TABLE(X)                                                                           \
	X(produce, "  sluice produce [--brokers LIST] TOPIC\n"                                     \
		   "                                records from standard input, one a line: "     \
		   "key<TAB>value or\n"                                                            \
		   "                                value (LIST: $SLUICE_KAFKA)\n")                \
	X(migrate, "  sluice migrate [--status] --config FILE\n"                                   \
		   "                                make PostgreSQL's tables what this program "   \
		   "needs, or say what\n"                                                          \
		   "                                is missing\n")                                 \
	X(cursor,                                                                                  \
	  "  sluice cursor list --config FILE [--subject S] [--stream NAME] [--name N]\n"          \
	  "  sluice cursor delete --config FILE --subject S [--stream NAME] [--name N]\n"          \
	  "                                the positions that are kept for ?cursor=NAME\n")        \
	X(token, "  sluice token create|list|revoke --config FILE ...\n"                           \
		 "                                opaque tokens, and what is revoked\n")           \
	X(filter, "  sluice filter add|list|remove --config FILE ...\n"                            \
		  "                                patterns that narrow what a token's subject "   \
		  "receives\n")                                                                    \
	X(match, "  sluice match PATTERN          the events (standard input, JSON, one a line) "  \
		 "that match; PATTERN is\n"                                                        \
		 "                                JSON, or @FILE\n"                                \
		 "  sluice match --pairs          answers lines of two base64 words (pattern, "    \
		 "event) with true,\n"                                                             \
		 "                                false or invalid\n")                             \
	X(health, "  sluice health [URL]           ask a running gateway; 0 where it answers "     \
		  "200 (URL:\n"                                                                    \
		  "                                http://127.0.0.1:9090/healthz)\n")

#define COMMAND_DECLARATION(name, usage) int name##_command(int argc, char **argv);
COMMAND_TABLE(COMMAND_DECLARATION)
#undef COMMAND_DECLARATION

#endif
