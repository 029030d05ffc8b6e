/* Replays from a journal beside Kafka: what one has lost, lacks or refuses the other has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

/* A journal of the world's log: [first, next) of each partition. Event times are offsets. */
static struct {
	struct log *log;
	_Atomic int64_t first[PARTITIONS], next[PARTITIONS];
	_Atomic bool creeps; /* it gets one further with each look */
	_Atomic bool down;
	_Atomic bool blocks; /* until it is interrupted */
	_Atomic bool interrupted;
	_Atomic int failures; /* so many calls fail */
	_Atomic uint64_t reads;
} journal;

static bool fails(void)
{
	int failures = journal.failures;

	while (journal.blocks && !journal.interrupted)
		usleep(1000);
	if (failures > 0)
		journal.failures = failures - 1;
	return journal.down || failures > 0 || journal.interrupted;
}

static void *journal_open(void *context)
{
	return context;
}

static void journal_close(void *reader)
{
	(void)reader;
}

static void journal_interrupt(void *reader)
{
	(void)reader;
	journal.interrupted = true;
}

static int journal_cover(void *reader, const struct feed *feed,
			 const struct replay_source_range *ranges, size_t count,
			 struct replay_cover *covers)
{
	(void)reader;
	(void)feed;
	if (fails())
		return ERROR_UNAVAILABLE;
	for (size_t i = 0; i < count; i++) {
		int32_t partition = ranges[i].partition;

		if (journal.creeps && journal.next[partition] < journal.log->high[partition])
			journal.next[partition]++;
		covers[i] =
		    (struct replay_cover){journal.first[partition], journal.next[partition], 0};
	}
	return 0;
}

static bool covered(const struct replay_journal_query *query)
{
	for (size_t i = 0; i < query->count; i++) {
		const struct replay_source_range *range = &query->ranges[i];

		if (!journal.next[range->partition] ||
		    range->from < journal.first[range->partition] ||
		    range->until > journal.next[range->partition])
			return false;
	}
	return true;
}

/* By offset, which is the time, and partition. */
static bool find_least(const struct replay_journal_query *query, const int64_t *at, size_t *least)
{
	bool found = false;

	for (size_t i = 0; i < query->count; i++) {
		if (at[i] >= query->ranges[i].until || (found && at[i] >= at[*least]))
			continue;
		*least = i;
		found = true;
	}
	return found;
}

static bool is_selected(const struct replay_journal_query *query, int32_t partition, int64_t offset)
{
	char text[2] = {(char)('0' + journal.log->user[partition][offset]), '\0'};
	const struct slice sought = {text, 1};
	struct slice key;
	size_t at = 0;

	if (!query->keys)
		return true;
	while (route_keys_next(query->keys, &at, &key))
		if (memmem(key.base, key.len, sought.base, sought.len))
			return true;
	return false;
}

static int journal_read(void *reader, const struct replay_journal_query *query, size_t bytes,
			uint64_t budget, bool (*on_record)(void *, size_t, const struct record *),
			void (*progress)(void *, size_t, int64_t), void *visitor)
{
	int64_t at[PARTITIONS];
	size_t i = 0;

	(void)reader;
	(void)bytes;
	if (fails())
		return ERROR_POSTGRES;
	if (!covered(query))
		return ERROR_CONFLICT;
	journal.reads++;
	for (size_t j = 0; j < query->count; j++)
		at[j] = query->ranges[j].from;
	while (find_least(query, at, &i)) {
		int32_t partition = query->ranges[i].partition;
		struct record_text text;
		struct record record;
		int64_t offset = at[i]++;

		if (!is_selected(query, partition, offset))
			continue;
		if (!budget--)
			return ERROR_LIMIT;
		make_record(journal.log, partition, offset, &text, &record);
		if (!on_record(visitor, i, &record))
			return ERROR_CANCELLED;
	}
	for (size_t j = 0; j < query->count; j++)
		progress(visitor, j, query->ranges[j].until);
	return 0;
}

/* Ids are offsets: the newest with it is the last partition's. */
static int journal_find(void *reader, const struct feed *feed, struct slice event_id,
			struct replay_event_place *place)
{
	int64_t offset = strtoll(event_id.base, NULL, 10);

	(void)reader;
	(void)feed;
	if (fails())
		return ERROR_UNAVAILABLE;
	if (offset < journal.first[PARTITIONS - 1] || offset >= journal.next[PARTITIONS - 1])
		return ERROR_NOT_FOUND;
	*place = (struct replay_event_place){offset, 0, PARTITIONS - 1, offset};
	return 0;
}

static int journal_seek(void *reader, const struct replay_journal_query *query,
			const struct replay_event_place *place)
{
	(void)reader;
	if (fails())
		return ERROR_UNAVAILABLE;
	if (!covered(query))
		return ERROR_CONFLICT;
	for (size_t i = 0; i < query->count; i++) {
		struct replay_source_range *range = &query->ranges[i];
		int64_t at = place->event_time_ms + (range->partition <= place->partition);

		if (range->from < at)
			range->from = at < range->until ? at : range->until;
	}
	return 0;
}

static int journal_last(void *reader, const struct replay_journal_query *query, uint32_t n,
			uint64_t *found)
{
	int64_t at[PARTITIONS];

	(void)reader;
	if (fails())
		return ERROR_UNAVAILABLE;
	if (!covered(query))
		return ERROR_CONFLICT;
	for (size_t i = 0; i < query->count; i++)
		at[i] = query->ranges[i].until;
	for (*found = 0; *found < n;) {
		size_t newest = query->count;

		for (size_t i = 0; i < query->count; i++) {
			while (at[i] > query->ranges[i].from &&
			       !is_selected(query, query->ranges[i].partition, at[i] - 1))
				at[i]--;
			if (at[i] > query->ranges[i].from &&
			    (newest == query->count || at[i] >= at[newest]))
				newest = i;
		}
		if (newest == query->count)
			break;
		at[newest]--;
		++*found;
	}
	for (size_t i = 0; i < query->count; i++)
		query->ranges[i].from = at[i];
	return 0;
}

static struct replay_journal fake = {journal_open,  journal_close, journal_interrupt,
				     journal_cover, journal_read,  journal_find,
				     journal_seek,  journal_last,  NULL};

static struct world world;
static struct client client;

static void reset_journal(void)
{
	memset(&journal, 0, sizeof(journal));
	journal.log = &world.log;
}

static int set_up(void **state)
{
	(void)state;
	reset_journal();
	world_journal = &fake;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world_journal = NULL;
	return 0;
}

/* The journal has all of the log but the newest `behind` of each partition. */
static void journal_reaches(int64_t behind)
{
	for (int p = 0; p < PARTITIONS; p++) {
		int64_t next = world.log.high[p] - behind;

		if (next > journal.next[p])
			journal.next[p] = next;
	}
}

static void kafka_keeps(int64_t newest)
{
	for (int p = 0; p < PARTITIONS; p++)
		world.log.low[p] = world.log.high[p] > newest ? world.log.high[p] - newest : 0;
}

static void produce_all(int count)
{
	for (int i = 0; i < count; i++)
		produce(&world);
	turn(&world, true);
}

/* What Kafka has deleted comes from the journal, the rest from Kafka; nobody is told of a gap. */
static void test_replay_journal_has_what_kafka_has_deleted(void **state)
{
	uint64_t from_journal = metrics_sum(METRIC_REPLAYS_JOURNAL);
	uint64_t from_kafka = metrics_sum(METRIC_REPLAYS_KAFKA);

	(void)state;
	come_back_late(&world, &client);
	kafka_keeps(10);
	journal_reaches(5);
	drain(&client, 1);
	assert_int_equal(client.gaps, 0);
	assert_int_equal(client.received, 5000);
	assert_int_equal(metrics_sum(METRIC_REPLAYS_JOURNAL), from_journal + 1);
	assert_int_equal(metrics_sum(METRIC_REPLAYS_KAFKA), from_kafka);
	end_alone(&world, &client);
}

/* A journal that is behind, and gets on slowly, holds nobody up: Kafka has the rest. */
static void test_replay_journal_that_creeps_is_left_for_kafka(void **state)
{
	(void)state;
	come_back_late(&world, &client);
	journal_reaches(300);
	journal.creeps = true;
	drain(&client, 1);
	assert_int_equal(client.received, 5000);
	assert_true(journal.reads < 100);
	end_alone(&world, &client);
}

/* Kafka serves a replay whose journal is away, and it is counted. */
static void test_replay_journal_away_is_kafkas(void **state)
{
	uint64_t fallbacks = metrics_sum(METRIC_JOURNAL_FALLBACKS);
	uint64_t from_kafka = metrics_sum(METRIC_REPLAYS_KAFKA);

	(void)state;
	come_back_late(&world, &client);
	journal_reaches(0);
	journal.down = true;
	drain(&client, 1);
	assert_int_equal(client.gaps, 0);
	assert_int_equal(journal.reads, 0);
	assert_int_equal(metrics_sum(METRIC_JOURNAL_FALLBACKS), fallbacks + 1);
	assert_int_equal(metrics_sum(METRIC_REPLAYS_KAFKA), from_kafka + 1);
	end_alone(&world, &client);
}

/* While the journal is away and Kafka has no longer what is missing, it is waited for; when it is
 * back nothing is lost. */
static void test_replay_journal_away_is_waited_for_where_kafka_lacks_it(void **state)
{
	(void)state;
	come_back_late(&world, &client);
	kafka_keeps(10);
	journal_reaches(5);
	journal.down = true;
	connect_client_to(&client, &world.replicas[0]);
	while (!world.replicas[0].fanout->retry) {
		turn(&world, true);
		take(&client, SIZE_MAX);
	}
	journal.down = false;
	for (int tries = 0; tries < 20000 && !has_all(&client); tries++) {
		turn(&world, true);
		tick(&world);
		take(&client, SIZE_MAX);
		usleep(200);
	}
	assert_true(has_all(&client));
	assert_int_equal(client.gaps, 0);
	end_alone(&world, &client);
}

/* But not for ever: then it is a gap. */
static void test_replay_journal_away_for_long_is_a_gap(void **state)
{
	(void)state;
	come_back_late(&world, &client);
	kafka_keeps(10);
	journal_reaches(5);
	journal.down = true;
	client.follows_gaps = true;
	connect_client_to(&client, &world.replicas[0]);
	wait_for(&client, &client.gaps);
	drain(&client, 1);
	assert_int_equal(client.gaps, 1);
	end_alone(&world, &client);
}

/* What both have lost is a gap up to the journal's beginning, not up to Kafka's. */
static void test_replay_journal_begins_where_a_gap_ends(void **state)
{
	(void)state;
	come_back_late(&world, &client);
	kafka_keeps(10);
	journal_reaches(5);
	for (int p = 0; p < PARTITIONS; p++)
		journal.first[p] = 200;
	connect_client_to(&client, &world.replicas[0]);
	while (!client.gaps) {
		turn(&world, true);
		take(&client, 1);
	}
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = 200;
	drain(&client, 1);
	assert_int_equal(client.gaps, 1);
	end_alone(&world, &client);
}

static void begin_with_history(uint64_t window_bytes, bool filtered)
{
	reset_journal();
	open_world(&world, window_bytes, filtered);
	init_client(&client, &world, filtered ? 3 : -1);
	produce_all(5000);
	kafka_keeps(10);
	journal_reaches(5);
	for (int p = 0; p < PARTITIONS; p++)
		journal.first[p] = 100;
}

/* The earliest event is the journal's where Kafka no longer has it; that is no gap. Who is cut off
 * before it comes back to it. */
static void test_replay_journal_is_the_earliest(void **state)
{
	(void)state;
	begin_with_history(16 << 10, false);
	world.stream.start = STREAM_START_EARLIEST;
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = 100;
	connect_client(&client);
	while (!client.connected) {
		turn(&world, true);
		take(&client, 1);
	}
	assert_int_equal(client.received, 0);
	disconnect_client(&client);
	assert_true(client.last_event_id[0]);
	world.stream.start = STREAM_START_LATEST;
	drain(&client, 1);
	assert_int_equal(client.gaps, 0);
	assert_int_equal(client.connected, 2);
	end_alone(&world, &client);
}

/* A replay that failed last is asked for again a moment later. */
static void drain_with_ticks(struct client *clients, int count)
{
	for (int tries = 0; tries < 200; tries++) {
		turn(&world, true);
		tick(&world);
		for (int i = 0; i < count; i++)
			if (clients[i].subscriber)
				take(&clients[i], SIZE_MAX);
		usleep(500);
	}
	drain(clients, count);
}

/* Journal and Kafka fail, come back, are behind and forget, connections are cut: all who are
 * filtered or not get everything once and in order, as long as one of the two has it. */
static void test_replay_journal_and_kafka_in_turn_are_exact(void **state)
{
	enum { CLIENTS = 5, ROUNDS = 400 };
	static struct client clients[CLIENTS];

	(void)state;
	for (int filtered = 0; filtered < 2; filtered++) {
		reset_journal();
		open_world(&world, 24 << 10, filtered);
		for (int i = 0; i < CLIENTS; i++) {
			init_client(&clients[i], &world, filtered ? i : -1);
			connect_client(&clients[i]);
			take(&clients[i], SIZE_MAX);
		}
		for (int round = 0; round < ROUNDS; round++) {
			for (int i = 0; i < 40; i++)
				produce(&world);
			turn(&world, round % 3 == 0);
			journal_reaches(rand_r(&world.seed) % 30);
			kafka_keeps(60 + rand_r(&world.seed) % 200);
			journal.failures = rand_r(&world.seed) % 5 ? 0 : 3;
			for (int i = 0; i < CLIENTS; i++) {
				if (clients[i].aborted || rand_r(&world.seed) % 30 == 0)
					disconnect_client(&clients[i]);
				if (!clients[i].subscriber && rand_r(&world.seed) % 10 == 0)
					connect_client(&clients[i]);
				if (clients[i].subscriber && rand_r(&world.seed) % 3)
					take(&clients[i], 20000);
			}
			tick(&world);
		}
		journal.failures = 0;
		drain_with_ticks(clients, CLIENTS);
		for (int i = 0; i < CLIENTS; i++) {
			assert_int_equal(clients[i].gaps, 0);
			disconnect_client(&clients[i]);
			buffer_free(&clients[i].unparsed);
		}
		assert_true(journal.reads > 10);
		close_world(&world);
	}
}

/* Takes for as long as anything comes. */
static void settle(void)
{
	for (int quiet = 0, tries = 0; quiet < 200 && tries < 20000; quiet++, tries++) {
		turn(&world, true);
		if (take(&client, SIZE_MAX) || client.subscriber->state == SUBSCRIBER_REPLAYING)
			quiet = 0;
		usleep(200);
	}
	assert_int_equal(client.subscriber->state, SUBSCRIBER_LIVE);
}

static int64_t count_from(const int64_t *from)
{
	int64_t count = 0;

	for (int p = 0; p < PARTITIONS; p++)
		for (int64_t o = from[p]; o < world.log.high[p]; o++)
			count += client.user < 0 || world.log.user[p][o] == client.user;
	return count;
}

/* The last N are exactly N, whether the newest that the journal lacks are enough or not; an
 * interval leaves none of them out. */
static void test_replay_journal_last_gives_exactly_so_many(void **state)
{
	static const struct {
		uint32_t n;
		bool filtered;
		uint32_t interval_ms;
	} rows[] = {{1, false, 0},  {20, false, 0},   {26, false, 0},       {300, false, 0},
		    {300, true, 0}, {4000, false, 0}, {300, false, 1000000}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_with_history(16 << 10, rows[i].filtered);
		world.stream.start = STREAM_START_LAST;
		world.stream.start_last = rows[i].n;
		client.any_start = true;
		for (int p = 0; p < PARTITIONS; p++)
			client.next[p] = -1;
		client.interval_ms = rows[i].interval_ms;
		connect_client(&client);
		settle();
		assert_int_equal(client.received, rows[i].n);
		assert_int_equal(client.gaps, 0);
		end_alone(&world, &client);
	}
}

/* Fewer than N in a journal that began later than Kafka's log: Kafka is searched. */
static void test_replay_journal_last_that_kafka_has_more_of_is_kafkas(void **state)
{
	(void)state;
	open_world(&world, 16 << 10, false);
	init_client(&client, &world, -1);
	produce_all(5000);
	for (int p = 0; p < PARTITIONS; p++)
		journal.first[p] = world.log.high[p] - 20;
	journal_reaches(5);
	world.stream.start = STREAM_START_LAST;
	world.stream.start_last = 300;
	client.any_start = true;
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = -1;
	connect_client(&client);
	settle();
	assert_int_equal(client.received, 300);
	end_alone(&world, &client);
}

static void connect_with(const struct subscriber_start *start)
{
	struct subscriber_start welcomed = *start;
	struct route_keys keys = {0};
	struct feed *feed;

	welcomed.welcome = WELCOME;
	client.awaits_welcome = true;
	client.at = &world.replicas[0];
	assert_int_equal(feeds_open(client.at->feeds, &world.stream, NULL, &feed), 0);
	if (client.user >= 0) {
		json_t *variables =
		    json_pack("{s:{s:s#}}", "path", "user", &"0123456789"[client.user], 1);

		assert_int_equal(pattern_request_keys(world.stream.filter, variables, &keys), 0);
		json_decref(variables);
	}
	client.subscriber =
	    subscriber_new(client.at->fanout, feed, &keys, &welcomed, INT64_MAX, &client.carrier);
}

/* From a time on that Kafka's log, only the journal, or neither reaches back to. */
static void test_replay_journal_since_begins_at_the_time(void **state)
{
	static const int64_t times[] = {2000, 985, 700, 100, 20, 0};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(times) / sizeof(times[0]); i++) {
		int64_t since_ms = times[i / 2], from[PARTITIONS];
		const struct subscriber_start start = {.has_since = true, .since_ms = since_ms};

		begin_with_history(16 << 10, i % 2);
		for (int p = 0; p < PARTITIONS; p++) {
			from[p] = since_ms > 100 ? since_ms : 100;
			if (from[p] > world.log.high[p])
				from[p] = world.log.high[p];
			client.next[p] = from[p];
		}
		connect_with(&start);
		settle();
		assert_int_equal(client.received, count_from(from));
		assert_int_equal(client.connected, 1);
		assert_int_equal(client.gaps, 0);
		assert_true(client.last_event_id[0]);
		end_alone(&world, &client);
	}
}

static void connect_with_custom_id(const char *id)
{
	const struct subscriber_start start = {.custom_id = slice_of(id)};

	connect_with(&start);
}

static void begin_with_custom_ids(void)
{
	begin_with_history(16 << 10, false);
	set_mapping(&world, "{\"id\": \"/value/o\"}");
}

/* An id of the stream's own is mapped back by the journal: each partition goes on after it, by
 * event time. */
static void test_replay_journal_maps_a_custom_id_back(void **state)
{
	int64_t from[PARTITIONS];

	(void)state;
	begin_with_custom_ids();
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = from[p] = 301;
	connect_with_custom_id("300");
	settle();
	assert_int_equal(client.received, count_from(from));
	assert_int_equal(client.connected, 1);
	assert_int_equal(client.gaps, 0);
	end_alone(&world, &client);
}

/* A partition that is new to the journal is read from its beginning. */
static void test_replay_journal_new_partition_begins_after_no_custom_id(void **state)
{
	int64_t from[PARTITIONS];

	(void)state;
	begin_with_custom_ids();
	journal.first[1] = journal.next[1] = world.log.low[1] = 0;
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = from[p] = p == 1 ? 0 : 301;
	connect_with_custom_id("300");
	settle();
	assert_int_equal(client.received, count_from(from));
	assert_int_equal(client.gaps, 0);
	end_alone(&world, &client);
}

/* One that it does not have is a gap, and the stream goes on where on_gap says. */
static void test_replay_journal_without_the_custom_id_is_a_gap(void **state)
{
	(void)state;
	begin_with_custom_ids();
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = 100;
	connect_with_custom_id("50");
	settle();
	assert_int_equal(client.gaps, 1);
	assert_int_equal(client.connected, 1);
	assert_true(has_all(&client));
	end_alone(&world, &client);
}

/* A journal that is away for a moment has the id a moment later. */
static void test_replay_journal_away_is_asked_again_for_a_custom_id(void **state)
{
	(void)state;
	begin_with_custom_ids();
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = 301;
	journal.failures = 2;
	connect_with_custom_id("300");
	for (int tries = 0; tries < 20000 && !has_all(&client); tries++) {
		turn(&world, true);
		tick(&world);
		take(&client, SIZE_MAX);
		usleep(200);
	}
	assert_true(has_all(&client));
	assert_int_equal(client.gaps, 0);
	end_alone(&world, &client);
}

/* The one event of partition 4 that has this offset. */
static struct checks *end_at(int64_t offset)
{
	return make_checks(
	    json_pack("{s:{s:[i], s:[I]}}", "value", "p", PARTITIONS - 1, "o", (json_int_t)offset));
}

/* Until the end has come, which it does. */
static void wait_for_end(void)
{
	wait_for(&client, &client.ends);
	assert_true(subscriber_ended(client.subscriber));
	assert_int_equal(client.gaps, 0);
}

/* A user's last event is an end that only the journal still has: who comes late gets it, and the
 * end. */
static void test_replay_journal_last_finds_the_end(void **state)
{
	struct subscriber_start start = {0};
	int64_t last = 600;

	(void)state;
	reset_journal();
	open_world_that_keeps(&world, 16 << 10, true, true);
	init_client(&client, &world, 3);
	for (int i = 0; i < 5000; i++)
		produce(&world);
	for (int p = 0; p < PARTITIONS; p++)
		for (int64_t o = last; o < world.log.high[p]; o++)
			world.log.user[p][o] = p == PARTITIONS - 1 && o == last ? 3 : 2;
	turn(&world, true);
	kafka_keeps(10);
	journal_reaches(5);
	world.stream.start = STREAM_START_LAST;
	world.stream.start_last = 1;
	client.any_start = true;
	memset(client.next, -1, sizeof(client.next));
	start.end_when = end_at(last);
	connect_with(&start);
	wait_for_end();
	assert_int_equal(client.received, 1);
	assert_int_equal(client.next[PARTITIONS - 1], last + 1);
	checks_unref(start.end_when);
	end_alone(&world, &client);
}

/* A request for what there is gets it from the journal and the window, or Kafka, and not what comes
 * meanwhile. */
static void test_replay_journal_and_kafka_are_what_there_is(void **state)
{
	const struct subscriber_start start = {.is_bounded = true};
	int64_t there[PARTITIONS];

	(void)state;
	for (int filtered = 0; filtered < 2; filtered++) {
		begin_with_history(16 << 10, filtered);
		/* Partition beside partition, so that the window has some of each. */
		for (int i = 0; i < 60; i++)
			produce_all(2);
		journal_reaches(2);
		world.stream.start = STREAM_START_EARLIEST;
		for (int p = 0; p < PARTITIONS; p++)
			client.next[p] = 100;
		connect_with(&start);
		for (int p = 0; p < PARTITIONS; p++)
			there[p] = world.log.high[p];
		produce_all(20);
		wait_for_end();
		for (int p = 0; p < PARTITIONS; p++) {
			assert_true(client.next[p] <= there[p]);
			for (int64_t o = client.next[p]; o < there[p]; o++)
				assert_true(filtered && world.log.user[p][o] != client.user);
		}
		end_alone(&world, &client);
	}
}

/* Who comes back with the id of the stream's own of its last event is told of the end; others go
 * on. */
static void test_replay_journal_custom_id_of_the_end_is_the_end(void **state)
{
	(void)state;
	for (int64_t end = 299; end < 302; end++) {
		struct subscriber_start start = {.custom_id = SLICE_LIT("300")};

		reset_journal();
		open_world_that_keeps(&world, 16 << 10, false, true);
		init_client(&client, &world, -1);
		produce_all(5000);
		kafka_keeps(10);
		journal_reaches(5);
		set_mapping(&world, "{\"id\": \"/value/o\"}");
		for (int p = 0; p < PARTITIONS; p++)
			client.next[p] = 301;
		start.end_when = end_at(end);
		connect_with(&start);
		if (end < 300)
			drain(&client, 1);
		else
			wait_for_end();
		assert_int_equal(client.received > 0, end != 300);
		assert_int_equal(client.connected, 1);
		checks_unref(start.end_when);
		end_alone(&world, &client);
	}
}

/* A stop does not wait for a journal that does not answer. */
static void test_replay_journal_that_hangs_is_interrupted_by_the_stop(void **state)
{
	(void)state;
	come_back_late(&world, &client);
	journal_reaches(5);
	journal.blocks = true;
	connect_client(&client);
	stop_replays(&world);
	assert_true(journal.interrupted);
	end_alone(&world, &client);
}

/* The journal still has the log of a topic that was made anew: it is not read. */
static void test_replay_journal_of_an_older_log_is_not_read(void **state)
{
	(void)state;
	come_back_late(&world, &client);
	for (int p = 0; p < PARTITIONS; p++)
		journal.next[p] = world.log.high[p] + 1000;
	drain(&client, 1);
	assert_int_equal(journal.reads, 0);
	end_alone(&world, &client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* A state is Kafka's where a filter may have kept a key's tombstone out of the journal: one that
 * looks at what a tombstone need not have as the key's other records do. */
static void test_replay_journal_serves_a_state_that_has_all_tombstones(void **state)
{
	static const struct {
		const char *filter;
		bool serves;
	} rows[] = {
	    {"{\"key\": [\"a\"]}", true},
	    {"{\"topic\": [\"t\"], \"partition\": [1]}", true},
	    {"{\"value\": {\"a\": [1]}}", false},
	    {"{\"headers\": {\"a\": [\"b\"]}}", false},
	};
	const struct replay_journal there = {0};
	const struct replay_worker worker = {.journal = &there};
	struct stream stream = {.journal_retain_ms = 1};
	struct feed feed = {.stream = &stream};
	struct replay_job job = {.feed = &feed};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *source = json_loads(rows[i].filter, 0, NULL);
		struct pattern_error error;

		assert_int_equal(pattern_compile(source, NULL, &stream.filter, &error), 0);
		job.mode = REPLAY_CURRENT;
		assert_int_equal(replay_journal_serves(&job, &worker), rows[i].serves);
		job.mode = REPLAY_RESUME;
		assert_true(replay_journal_serves(&job, &worker));
		pattern_free(stream.filter);
		json_decref(source);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_replay_journal_has_what_kafka_has_deleted),
	    TEST(test_replay_journal_that_creeps_is_left_for_kafka),
	    TEST(test_replay_journal_away_is_kafkas),
	    TEST(test_replay_journal_away_is_waited_for_where_kafka_lacks_it),
	    TEST(test_replay_journal_away_for_long_is_a_gap),
	    TEST(test_replay_journal_begins_where_a_gap_ends),
	    TEST(test_replay_journal_is_the_earliest),
	    TEST(test_replay_journal_and_kafka_in_turn_are_exact),
	    TEST(test_replay_journal_last_gives_exactly_so_many),
	    TEST(test_replay_journal_last_that_kafka_has_more_of_is_kafkas),
	    TEST(test_replay_journal_since_begins_at_the_time),
	    TEST(test_replay_journal_maps_a_custom_id_back),
	    TEST(test_replay_journal_new_partition_begins_after_no_custom_id),
	    TEST(test_replay_journal_without_the_custom_id_is_a_gap),
	    TEST(test_replay_journal_away_is_asked_again_for_a_custom_id),
	    TEST(test_replay_journal_last_finds_the_end),
	    TEST(test_replay_journal_and_kafka_are_what_there_is),
	    TEST(test_replay_journal_custom_id_of_the_end_is_the_end),
	    TEST(test_replay_journal_that_hangs_is_interrupted_by_the_stop),
	    TEST(test_replay_journal_of_an_older_log_is_not_read),
	    cmocka_unit_test(test_replay_journal_serves_a_state_that_has_all_tombstones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
