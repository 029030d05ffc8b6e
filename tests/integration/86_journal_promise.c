/*
 * The promise with a journal: every matching event exactly once and in partition order, while
 * connections are cut, gateways are killed, PostgreSQL is killed and paused, and Kafka deletes what
 * is journaled.
 *
 * What happens when is drawn from a seed that is printed; SLUICE_TEST_SEED sets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal_replay.h"
#include "lib/random.h"

enum {
	STEPS = 40,
	CROWD_EVERY = 10, /* steps */
	EVENTS_A_STEP = 500,
	CUTS_A_STEP = 4,
	STEP_TURNS = 8,
	MAX_CUT_BITS = 14,
	SUBSCRIBERS = USERS + 3,
};

static struct subscriber subscribers[SUBSCRIBERS];
static char paths[SUBSCRIBERS][32];
static bool up[REPLICAS];
/* Of gateways that were killed. */
static double from_journal, from_kafka;

static void connect_all(void)
{
	for (int i = 0; i < SUBSCRIBERS; i++) {
		int user = i < USERS ? i : -1;

		if (user >= 0)
			snprintf(paths[i], sizeof(paths[i]), "/users/u%d", user);
		else
			snprintf(paths[i], sizeof(paths[i]), "/all");
		subscriber_init(&subscribers[i], paths[i], user);
		subscribe(&subscribers[i], (int)random_draw(REPLICAS), paths[i], NULL);
		assert_true(
		    sse_client_loop_until(loop, is_connected, &subscribers[i], PATIENCE_MS));
	}
}

static void send_step(void)
{
	uint32_t from = sent;

	send_events(EVENTS_A_STEP);
	for (int i = 0; i < SUBSCRIBERS; i++)
		owe_from(&subscribers[i], from);
}

/* Half of them go on at another gateway. */
static void cut_somebody(void)
{
	uint32_t i = random_draw(SUBSCRIBERS);
	char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%s%s", ports[random_draw(REPLICAS)], paths[i]);
	if (random_draw(3))
		sse_client_cut_after(subscribers[i].client,
				     1 + random_draw(1u << random_draw(MAX_CUT_BITS + 1)));
	else
		sse_client_cut(subscribers[i].client);
	sse_client_set_url(subscribers[i].client, url);
}

static void count_replays(struct gateway_process *gateway)
{
	from_journal += gateway_process_metric(gateway, "sluice_replays_total{source=\"journal\"}");
	from_kafka += gateway_process_metric(gateway, "sluice_replays_total{source=\"kafka\"}");
}

static void kill_somebody(void)
{
	uint32_t i = random_draw(REPLICAS);

	count_replays(&replicas[i]);
	gateway_process_kill(&replicas[i]);
	up[i] = false;
}

static void start_killed(void)
{
	for (int i = 0; i < REPLICAS; i++)
		if (!up[i])
			start_replica(i);
	up[0] = up[1] = true;
}

static void run_loop(void)
{
	for (int i = 0; i < STEP_TURNS; i++)
		sse_client_loop_run(loop, random_draw(TURN_MS));
}

/* Somebody breaks: a step of several is quiet, that what is away comes back. */
static void break_something(int step)
{
	switch (step % 8) {
	case 1:
		kill_somebody();
		break;
	case 3:
		private_postgres_kill(postgres.cluster);
		run_loop();
		postgres_server_restart(&postgres);
		break;
	case 5:
		private_postgres_pause(postgres.cluster);
		run_loop();
		private_postgres_resume(postgres.cluster);
		break;
	case 6:
	case 7:
		/* Ingest of all gateways has them: who is up reads faster than the journal. */
		forget_in_kafka(random_draw(20));
		break;
	}
}

/* All go; when they come back, what they have missed is in the journal alone. */
static void come_back_as_a_crowd(void)
{
	start_killed();
	for (int i = 0; i < SUBSCRIBERS; i++)
		unsubscribe(&subscribers[i]);
	send_step();
	send_step();
	wait_journaled();
	forget_in_kafka(0);
	for (int i = 0; i < SUBSCRIBERS; i++)
		subscribe(&subscribers[i], (int)random_draw(REPLICAS), paths[i],
			  subscribers[i].last_event_id);
}

static bool all_complete(void *context)
{
	(void)context;
	for (int i = 0; i < SUBSCRIBERS; i++) {
		if (subscribers[i].ledger.fault[0])
			return true;
		if (!is_complete(&subscribers[i]))
			return false;
	}
	return true;
}

static void check_all(void)
{
	bool good = true;

	sse_client_loop_until(loop, all_complete, NULL, PATIENCE_MS);
	for (int i = 0; i < SUBSCRIBERS; i++) {
		good &= ledger_report(&subscribers[i].ledger);
		if (subscribers[i].gaps)
			print_message("%s: %u gaps\n", paths[i], subscribers[i].gaps);
		good &= !subscribers[i].gaps;
	}
	assert_true(good);
}

static void test_journal_promise_holds(void **state)
{
	(void)state;
	up[0] = up[1] = true;
	connect_all();
	for (int step = 0; step < STEPS; step++) {
		start_killed();
		send_step();
		for (int i = 0; i < CUTS_A_STEP; i++)
			cut_somebody();
		break_something(step);
		if (step % CROWD_EVERY == CROWD_EVERY - 1)
			come_back_as_a_crowd();
		run_loop();
	}
	start_killed();
	check_all();
	/* What is sent last would come after everything that came twice. */
	send_step();
	check_all();
	for (int i = 0; i < REPLICAS; i++)
		count_replays(&replicas[i]);
	print_message("%.0f replays from the journal, %.0f from Kafka\n", from_journal, from_kafka);
	assert_true(from_journal >= SUBSCRIBERS);
	for (int i = 0; i < SUBSCRIBERS; i++)
		subscriber_fini(&subscribers[i]);
}

static int start(void **state)
{
	random_start();
	return start_servers(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_journal_promise_holds),
	};

	return cmocka_run_group_tests(tests, start, stop_servers);
}
