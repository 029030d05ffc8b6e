/*
 * life_promise: the streams of 48_life_promise.c, what is in the log, what each record is to each
 * stream, and what a client makes of that which comes.
 */
#ifndef SLUICE_TESTS_INTEGRATION_LIFE_PROMISE_H
#define SLUICE_TESTS_INTEGRATION_LIFE_PROMISE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ledger.h"

enum {
	PARTITIONS = 8,
	USERS = 4,
	LEVELS = 4,
	RANKS = 6,
	TASKS = 8,
	PHASES = 7,
	MAX_EVENTS = 12000,
};

enum topic { EVENTS, MORE, STEPS_OF_TASKS, TOPICS };
enum shape { PLAIN, TOMBSTONE, LARGE, BROKEN, SHAPES };

/* What is in the log by its number, which is its key as well. */
struct event {
	enum topic topic;
	enum shape shape;
	uint32_t partition;
	uint32_t user, level, rank, padding;
	uint32_t task;
	bool is_last, is_after; /* its task's end, and what comes after it */
	int closes;             /* the phase, whose filters let it pass; -1: none */
};

static const char *const topics[] = {"events", "more", "tasks"};
static const char *const levels[] = {"debug", "info", "warn", "alarm"};

static struct event events[MAX_EVENTS];
static uint32_t sent;
static int numbers[TOPICS][PARTITIONS][MAX_EVENTS]; /* by offset; -1: none */
static int64_t next_offset[TOPICS][PARTITIONS];
static int phase;

/* What an event is to a stream. */
enum outcome { NOTHING, DATA, DELETED, FAULT };
enum envelope { BARE, RECORD, CLOUD };

struct lane;

/* A stream, with what a client asks of it. */
struct kind {
	const char *path, *after; /* before and after the choice; `after` NULL: there is none */
	const char *body;         /* of a POST; NULL: GET */
	bool takes[TOPICS];
	enum outcome as[SHAPES]; /* what it makes of them */
	bool (*passes)(const struct lane *lane, const struct event *event); /* NULL: all do */
	enum envelope envelope;
	bool typed, welcomes, beats, comments, ages, idles, polls, is_task;
	bool narrowed, narrowed_by_value; /* by the subject's filters */
};

/* One stream of a connection. */
struct lane {
	const struct kind *kind;
	uint32_t choice;
	bool is_adas; /* whose filters change */
	char address[160];
	struct ledger ledger;
	uint32_t connected, beats, comments, timeouts, ends;
	bool expects_welcome;
	int marked;  /* the newest phase whose mark has come */
	bool baited; /* what only a stream without a filter passes has come since the last mark */
};

/* Ada's filters by phase: the ranks that pass; all of them: no filter. */
enum { ALL_RANKS = (1 << RANKS) - 1 };
static const unsigned accepted[PHASES] = {ALL_RANKS, 0x07, ALL_RANKS, 0x0a, 0x00, 0x1c, 0x31};

static inline bool is_narrowed(const struct lane *lane)
{
	return lane->is_adas && lane->kind->narrowed && accepted[phase] != ALL_RANKS;
}

static inline bool is_of_user(const struct lane *lane, const struct event *event)
{
	return event->user == lane->choice;
}

static inline bool is_at_level(const struct lane *lane, const struct event *event)
{
	return event->level >= lane->choice;
}

static inline bool is_at_rank(const struct lane *lane, const struct event *event)
{
	return event->rank >= lane->choice;
}

static inline bool is_of_rank(const struct lane *lane, const struct event *event)
{
	return event->rank == lane->choice;
}

static inline bool is_of_even_rank(const struct lane *lane, const struct event *event)
{
	(void)lane;
	return event->rank == 2 || event->rank == 4;
}

static inline bool is_of_odd_level(const struct lane *lane, const struct event *event)
{
	(void)lane;
	return event->level % 2 == 1;
}

static inline bool is_of_task(const struct lane *lane, const struct event *event)
{
	return event->task == lane->choice && !event->is_after;
}

static inline bool is_last_of_task(const struct lane *lane, const struct event *event)
{
	return is_of_task(lane, event) && event->is_last;
}

#define RANK_FILTER "/narrow?filter=%7B%22value%22%3A%7B%22rank%22%3A%5B"

enum kind_name {
	WIDE,
	RECORDS,
	CLOUDS,
	USER,
	LEVEL,
	RANK,
	NARROW_GET,
	NARROW_POST,
	MINE,
	MINE_SMALL,
	MINE_KEPT,
	MINE_POST,
	TASK,
	TASK_KEPT,
	TASK_LAST,
	TASK_LATE,
	POLL
};

#define FROM(...)       .takes = {__VA_ARGS__}
#define AS(...)         .as = {__VA_ARGS__}
#define OF_TASKS        FROM(false, false, true), AS(DATA), .after = "", .is_task = true
#define EVENTS_ALONE    FROM(true)
#define EVENTS_AND_MORE FROM(true, true)

static const struct kind kinds[] = {
    [WIDE] = {"/wide", EVENTS_AND_MORE, AS(DATA, NOTHING, FAULT, DATA), .comments = true},
    [RECORDS] = {"/record", EVENTS_ALONE, AS(DATA, DATA, FAULT, DATA), .envelope = RECORD,
		 .welcomes = true, .beats = true},
    [CLOUDS] = {"/cloud", EVENTS_AND_MORE, AS(DATA, DELETED, FAULT, DATA), .envelope = CLOUD,
		.ages = true},
    [USER] = {"/users/u", "", EVENTS_ALONE, AS(DATA, DELETED, FAULT, FAULT), .passes = is_of_user,
	      .typed = true, .welcomes = true, .ages = true},
    /* The condition's variable leaves what is not JSON to nobody. */
    [LEVEL] = {"/levels?level=", "", EVENTS_ALONE, AS(DATA, NOTHING, FAULT, NOTHING),
	       .passes = is_at_level, .idles = true},
    [RANK] = {"/ranks/", "", EVENTS_ALONE, AS(DATA), .passes = is_at_rank},
    [NARROW_GET] = {RANK_FILTER, "%5D%7D%7D", EVENTS_ALONE, AS(DATA), .passes = is_of_rank},
    [NARROW_POST] = {"/narrow", .body = "{\"headers\":{\"rank\":[\"2\",\"4\"]}}", EVENTS_ALONE,
		     AS(DATA, DELETED, FAULT, DATA), .passes = is_of_even_rank},
    [MINE] = {"/mine", EVENTS_ALONE, AS(DATA, NOTHING, FAULT, DATA), .narrowed = true,
	      .narrowed_by_value = true},
    [MINE_SMALL] = {"/mine_small/u", "", EVENTS_ALONE, AS(DATA, DELETED, FAULT, DATA),
		    .passes = is_of_user, .narrowed = true},
    [MINE_KEPT] = {"/mine_kept", EVENTS_ALONE, AS(DATA, NOTHING, FAULT, DATA), .narrowed = true,
		   .narrowed_by_value = true},
    [MINE_POST] = {"/mine_kept", .body = "{\"value\":{\"level\":[\"info\",\"alarm\",\"all\"]}}",
		   EVENTS_ALONE, AS(DATA), .passes = is_of_odd_level, .narrowed = true,
		   .narrowed_by_value = true},
    [TASK] = {"/tasks/t", OF_TASKS, .passes = is_of_task},
    [TASK_KEPT] = {"/kept_tasks/t", OF_TASKS, .passes = is_of_task},
    [TASK_LAST] = {"/last_tasks/t", OF_TASKS, .passes = is_of_task},
    [TASK_LATE] = {"/last_tasks/t", OF_TASKS, .passes = is_last_of_task},
    [POLL] = {"/poll?follow=false", EVENTS_AND_MORE, AS(DATA, NOTHING, FAULT, DATA), .polls = true},
};

static inline enum outcome outcome_of(const struct lane *lane, const struct event *event)
{
	const struct kind *kind = lane->kind;

	if (!kind->takes[event->topic] || (kind->passes && !kind->passes(lane, event)))
		return NOTHING;
	if (is_narrowed(lane) && !(accepted[phase] >> event->rank & 1) && event->closes != phase)
		return NOTHING;
	if (is_narrowed(lane) && kind->narrowed_by_value && event->shape != PLAIN)
		return NOTHING;
	return kind->as[event->shape];
}

/* What came is told by its number; NO_EVENT: it is none that counts. */
enum { NO_EVENT = -1, UNKNOWN = -2 };

static inline int number_at(const json_t *data)
{
	const char *topic = json_string_value(json_object_get(data, "topic"));
	json_int_t partition = json_integer_value(json_object_get(data, "partition"));
	json_int_t offset = json_integer_value(json_object_get(data, "offset"));

	for (int t = 0; t < TOPICS; t++)
		if (topic && !strcmp(topic, topics[t]) && partition >= 0 &&
		    partition < PARTITIONS && offset >= 0 && offset < next_offset[t][partition])
			return numbers[t][partition][offset];
	return UNKNOWN;
}

static inline int number_of_key(const json_t *data, const char *name)
{
	const char *key = json_string_value(json_object_get(data, name));

	if (!key)
		return UNKNOWN;
	return strcmp(key, "mark") && strcmp(key, "bait") ? atoi(key) : NO_EVENT;
}

static inline int number_of_text(const char *text)
{
	int number;

	if (!strncmp(text, "{\"mark\"", 7) || !strncmp(text, "{\"bait\"", 7))
		return NO_EVENT;
	return sscanf(text, "{\"n\":%d,", &number) == 1 ? number : UNKNOWN;
}

static inline int number_of(const struct lane *lane, enum outcome outcome, const char *text)
{
	enum envelope envelope = lane->kind->envelope;
	json_t *data;
	int number;

	if (outcome == DATA && envelope == BARE)
		return number_of_text(text);
	data = json_loads(text, 0, NULL);
	if (outcome == FAULT)
		number = number_at(data);
	else
		number = number_of_key(data, envelope == CLOUD ? "partitionkey" : "key");
	if (envelope == RECORD && outcome == DATA && number_at(data) != number)
		number = UNKNOWN;
	json_decref(data);
	return number;
}

static inline const char *type_of(const struct lane *lane, const struct event *event,
				  enum outcome outcome)
{
	if (outcome == FAULT)
		return "error";
	if (outcome == DELETED)
		return "deleted";
	if (lane->kind->typed)
		return levels[event->level];
	return "message";
}

static inline enum outcome outcome_of_type(const char *type)
{
	if (!strcmp(type, "error"))
		return FAULT;
	return strcmp(type, "deleted") ? DATA : DELETED;
}

static inline void take_mark(struct lane *lane, const char *text)
{
	const char *mark = strstr(text, "\"mark\":");

	if (!mark) {
		lane->baited = true;
		return;
	}
	if (!lane->baited || !is_narrowed(lane))
		lane->marked = atoi(mark + 7);
	lane->baited = false;
}

/* True: it counts. */
static inline bool take_record(struct lane *lane, const char *type, const char *text)
{
	enum outcome outcome = outcome_of_type(type);
	int number = number_of(lane, outcome, text);
	const struct event *event;

	if (number == NO_EVENT) {
		take_mark(lane, text);
		return false;
	}
	if (number < 0 || (uint32_t)number >= sent) {
		ledger_fail(&lane->ledger, "what came is no event: %s: %s", type, text);
		return false;
	}
	event = &events[number];
	if (outcome_of(lane, event) != outcome || strcmp(type, type_of(lane, event, outcome)) != 0)
		ledger_fail(&lane->ledger, "event %d came as %s: %s", number, type, text);
	ledger_take(&lane->ledger, (uint32_t)number, event->topic * PARTITIONS + event->partition);
	return true;
}

/* What a stream says of itself. False: it is something else. */
static inline bool take_notice(struct lane *lane, const char *type, const char *text)
{
	const struct kind *kind = lane->kind;
	bool connects = !strcmp(type, "connected");

	/* A cut between the two leaves the next connection to say both again. */
	if (!connects && lane->expects_welcome != !strcmp(type, "welcome"))
		ledger_fail(&lane->ledger, "%s came, and a welcome %s", type,
			    lane->expects_welcome ? "did not" : "was there");
	lane->expects_welcome = kind->welcomes && connects;
	if (!strcmp(type, "welcome"))
		return true;
	if (connects)
		lane->connected++;
	else if (kind->beats && !strcmp(type, "beat"))
		lane->beats++;
	else if ((kind->ages && !strcmp(type, "timeout") && strstr(text, "\"max_age\"")) ||
		 (kind->idles && !strcmp(type, "timeout") && strstr(text, "\"idle\"")))
		lane->timeouts++;
	else if ((kind->is_task && !strcmp(type, "end") && strstr(text, "\"end_when\"")) ||
		 (kind->polls && !strcmp(type, "end") && strstr(text, "\"backlog\"")))
		lane->ends++;
	else
		return false;
	return true;
}

static inline void owe(struct lane *lane, uint32_t number)
{
	if (outcome_of(lane, &events[number]) != NOTHING)
		ledger_owe(&lane->ledger, number);
}

static inline void choose_address(struct lane *lane)
{
	const struct kind *kind = lane->kind;
	char choice[16] = "";

	if (kind == &kinds[LEVEL])
		snprintf(choice, sizeof(choice), "%s", levels[lane->choice]);
	else if (kind->after)
		snprintf(choice, sizeof(choice), "%u", lane->choice);
	snprintf(lane->address, sizeof(lane->address), "%s%s%s", kind->path, choice,
		 kind->after ? kind->after : "");
}

#endif
