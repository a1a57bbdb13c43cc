/* The time that libdevmapper takes for a metadata text, parse alone: `parse TEXT ROUNDS` prints nanoseconds. */
#include <libdevmapper.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int by_size(const void *a, const void *b)
{
	long long x = *(const long long *) a, y = *(const long long *) b;
	return (x > y) - (x < y);
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
	long rounds = argc == 3 ? atol(argv[2]) : 0;
	long long *times = calloc(rounds > 0 ? rounds : 1, sizeof(*times));
	long size;
	char *text;

	if (!file || rounds < 1 || !times || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 1)
		return 2;
	rewind(file);
	if (!(text = malloc(size)) || fread(text, 1, size, file) != (size_t) size)
		return 2;
	for (long round = 0; round < rounds; round++) {
		struct dm_config_tree *tree = dm_config_create();
		long long start = now();
		if (!tree || !dm_config_parse_without_dup_node_check(tree, text, text + size))
			return 1;
		times[round] = now() - start;
		dm_config_destroy(tree);
	}
	qsort(times, rounds, sizeof(*times), by_size);
	printf("%lld\n", times[rounds / 2]);
	return 0;
}
