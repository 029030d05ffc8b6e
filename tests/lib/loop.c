#include "lib/loop.h"

struct sse_client_loop *loop;

int loop_open(void **state)
{
	(void)state;
	loop = sse_client_loop_new();
	return 0;
}

int loop_close(void **state)
{
	(void)state;
	sse_client_loop_free(loop);
	return 0;
}
