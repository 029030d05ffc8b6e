/*
 * replay_ties: what feed/ knows as sources of a replay, made of kafka/ and postgres/.
 */
#ifndef SLUICE_REPLAY_TIES_H
#define SLUICE_REPLAY_TIES_H

#include "feed/replay.h"
#include "settings.h"

/* `settings` is borrowed. */
struct replay_source replay_ties_kafka(const struct settings *settings);
/* For settings with PostgreSQL. */
struct replay_journal replay_ties_journal(const struct settings *settings);

#endif
