/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "unit.h"

#define SIZE ((size_t)16384)

static struct ring ring;

static void wraps_in_one_piece(void)
{
	const uint8_t *at;
	uint8_t *room;

	CHECK(!ring_init(&ring, SIZE));
	CHECK(ring_filled(&ring, &at) == 0);
	CHECK(ring_room(&ring, SIZE));
	CHECK(!ring_room(&ring, SIZE + 1));
	for (int i = 0; i < 100; i++) {
		size_t n = SIZE - 5;

		room = ring_room(&ring, n);
		CHECK(room);
		if (!room)
			break;
		memset(room, i, n);
		ring_put(&ring, n);
		CHECK(!ring_room(&ring, 6));
		CHECK(ring_filled(&ring, &at) == n);
		for (size_t j = 0; j < n; j++)
			if (at[j] != i)
				CHECK(0);
		ring_take(&ring, n);
	}
	ring_free(&ring);
}

#define WORDS 300000u

static void *put_words(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < WORDS; i++) {
		uint8_t *room;

		while (!(room = ring_room(&ring, sizeof(i))))
			sched_yield();
		memcpy(room, &i, sizeof(i));
		ring_put(&ring, sizeof(i));
	}
	return NULL;
}

static void between_threads(void)
{
	uint32_t next = 0, wrong = 0;
	pthread_t thread;

	CHECK(!ring_init(&ring, SIZE));
	CHECK(!pthread_create(&thread, NULL, put_words, NULL));
	while (next < WORDS) {
		const uint8_t *at;
		size_t n = ring_filled(&ring, &at);

		if (!n)
			sched_yield();
		for (size_t i = 0; i < n; i += sizeof(next)) {
			uint32_t word;

			memcpy(&word, at + i, sizeof(word));
			wrong += word != next++;
		}
		ring_take(&ring, n);
	}
	CHECK(!wrong);
	pthread_join(thread, NULL);
	ring_free(&ring);
}

int main(void)
{
	RUN(wraps_in_one_piece);
	RUN(between_threads);
	UNIT_DONE();
}
