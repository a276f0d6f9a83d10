/* SPDX-License-Identifier: Apache-2.0 */
#include "recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net.h"

/* Of a port; it stays when the port goes. */
struct capture_interface {
	uint64_t recorded, dropped;
	uint64_t missed; /* since the last that was recorded */
	bool described;	 /* its block is in the ring */
};

struct capture_tap {
	struct recording *recording;
	struct net_port *port;
	uint32_t interface;
	struct loop_garbage garbage;
	LIST_ENTRY(capture_tap) port_link;
	TAILQ_ENTRY(capture_tap) capture_link;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- Recording -------------------------------------------------------- */

static size_t interface_block(const struct recording *recording,
			      const struct net_port *port, uint8_t *at)
{
	char name[32], description[96];
	struct pcapng_interface interface = {
		.name = port->name[0] ? port->name : name,
		.description = description,
		.filter = recording->filter_text,
		.snaplen = recording->snaplen,
	};

	snprintf(name, sizeof(name), "port%u", port->id);
	snprintf(description, sizeof(description), "port %u, %s, process %d",
		 port->id, port->ops->kind, port->peer_pid);
	return pcapng_interface(at, &interface);
}

static bool describe(struct recording *recording, const struct capture_tap *tap)
{
	struct capture_interface *interface =
		&recording->interfaces[tap->interface];
	uint8_t *at = ring_room(&recording->writer->ring, PCAPNG_BLOCK_MAX);

	if (!at)
		return false;
	ring_put(&recording->writer->ring,
		 interface_block(recording, tap->port, at));
	interface->described = true;
	return true;
}

static void copy_head(const struct frame *frame, uint8_t *at, uint32_t n)
{
	uint32_t len = n < frame_head(frame) ? n : frame_head(frame);

	memcpy(at, frame->bytes, len);
	for (unsigned int i = 0; i < frame->n_rest && len < n; i++) {
		size_t piece = frame->rest[i].iov_len;

		if (piece > n - len)
			piece = n - len;
		memcpy(at + len, frame->rest[i].iov_base, piece);
		len += (uint32_t)piece;
	}
}

static void lot_expired(struct loop_timer *timer)
{
	struct recording *recording =
		container_of(timer, struct recording, lot_timer);

	recording->lot = 0;
	writer_wake(recording->writer);
}

/* The writer is woken for a lot, or some time after its first frame. */
static void tell_writer(struct recording *recording, size_t n)
{
	struct loop *loop = &recording->net->loop;

	if (!recording->lot)
		loop_timer_set(loop, &recording->lot_timer, CAPTURE_LOT_MS,
			       lot_expired);
	recording->lot += n;
	if (recording->lot < CAPTURE_LOT)
		return;
	loop_timer_cancel(loop, &recording->lot_timer);
	lot_expired(&recording->lot_timer);
}

static bool record(struct recording *recording, const struct capture_tap *tap,
		   uint32_t direction, const struct frame *frame)
{
	struct capture_interface *interface =
		&recording->interfaces[tap->interface];
	struct pcapng_packet packet = {
		.interface = tap->interface,
		.captured = frame->len < recording->snaplen
				    ? frame->len
				    : recording->snaplen,
		.length = frame->len,
		.direction = direction,
		.dropped = interface->missed,
	};
	uint8_t *at, *bytes;
	size_t n;

	if (!interface->described && !describe(recording, tap))
		return false;
	at = ring_room(&recording->writer->ring,
		       packet.captured + PCAPNG_PACKET_MAX);
	if (!at)
		return false;
	packet.time_ns = now_ns();
	n = pcapng_packet(at, &packet, &bytes);
	copy_head(frame, bytes, packet.captured);
	ring_put(&recording->writer->ring, n);
	tell_writer(recording, n);
	return true;
}

static void capture_tapped(struct capture_tap *tap, uint32_t direction,
			   const struct frame *frame)
{
	struct recording *recording = tap->recording;
	struct capture_interface *interface;

	if (recording->filtered && !filter_matches(&recording->filter, frame))
		return;
	if (tap->interface == CAPTURE_INTERFACES_MAX) {
		recording->dropped++;
		return;
	}
	interface = &recording->interfaces[tap->interface];
	if (record(recording, tap, direction, frame)) {
		recording->recorded++;
		interface->recorded++;
		interface->missed = 0;
	} else {
		recording->dropped++;
		interface->dropped++;
		interface->missed++;
	}
}

void capture_frame(struct net_port *port, uint32_t direction,
		   const struct frame *frame)
{
	struct capture_tap *tap;

	LIST_FOREACH(tap, &port->taps, port_link)
	if (direction == PCAPNG_INBOUND || tap->recording->port)
		capture_tapped(tap, direction, frame);
}

/* --- Taps ------------------------------------------------------------- */

/* One more interface: its number, or CAPTURE_INTERFACES_MAX. */
static uint32_t interface_new(struct recording *recording)
{
	uint32_t n = recording->n_interfaces;
	struct capture_interface *more = recording->interfaces;

	if (n == CAPTURE_INTERFACES_MAX)
		return n;
	/* Grows at the powers of two. */
	if (!(n & (n - 1)))
		more = realloc(more, (n ? 2 * (size_t)n : 1) * sizeof(*more));
	if (!more)
		return CAPTURE_INTERFACES_MAX;
	recording->interfaces = more;
	more[n] = (struct capture_interface){.described = false};
	recording->n_interfaces++;
	return n;
}

int recording_tap(struct recording *recording, struct net_port *port)
{
	struct capture_tap *tap = malloc(sizeof(*tap));

	if (!tap)
		return -ENOMEM;
	*tap = (struct capture_tap){.recording = recording,
				    .port = port,
				    .interface = interface_new(recording)};
	LIST_INSERT_HEAD(&port->taps, tap, port_link);
	TAILQ_INSERT_TAIL(&recording->taps, tap, capture_link);
	return 0;
}

static void tap_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct capture_tap, garbage));
}

static void recording_untap(struct capture_tap *tap)
{
	LIST_REMOVE(tap, port_link);
	TAILQ_REMOVE(&tap->recording->taps, tap, capture_link);
	loop_defer(&tap->port->net->loop, &tap->garbage, tap_free);
}

static void recording_untap_all(struct recording *recording)
{
	while (!TAILQ_EMPTY(&recording->taps))
		recording_untap(TAILQ_FIRST(&recording->taps));
}

/* Which recording the first tap of a port is of, and whether it has one. */
struct recording *recording_of(const struct net_port *port)
{
	struct capture_tap *tap = LIST_FIRST(&port->taps);

	return tap ? tap->recording : NULL;
}

void recording_untap_first(struct net_port *port)
{
	recording_untap(LIST_FIRST(&port->taps));
}

/* --- From the beginning to the end ------------------------------------ */

int recording_init(struct recording *recording, const char *text, char **error)
{
	int err;

	TAILQ_INIT(&recording->taps);
	recording->filter_text = strdup(text);
	if (!recording->filter_text)
		return -ENOMEM;
	if (!*text)
		return 0;
	err = filter_compile(&recording->filter, text, error);
	recording->filtered = !err;
	return err;
}

/* The file begins with the ports that there are. */
int recording_begin(struct recording *recording, struct buf *prologue)
{
	struct capture_tap *tap;
	uint8_t *at;
	int err = buf_reserve(prologue, PCAPNG_BLOCK_MAX, &at);

	if (err)
		return err;
	buf_produced(prologue, pcapng_section(at));
	TAILQ_FOREACH(tap, &recording->taps, capture_link)
	{
		if (tap->interface == CAPTURE_INTERFACES_MAX)
			continue;
		err = buf_reserve(prologue, PCAPNG_BLOCK_MAX, &at);
		if (err)
			return err;
		buf_produced(prologue,
			     interface_block(recording, tap->port, at));
		recording->interfaces[tap->interface].described = true;
	}
	return 0;
}

/* The statistics of each interface that is in the file. */
static void put_trailer(struct recording *recording)
{
	struct pcapng_statistics statistics = {.time_ns = now_ns()};
	uint8_t *at;

	for (uint32_t i = 0; i < recording->n_interfaces; i++) {
		const struct capture_interface *interface =
			&recording->interfaces[i];

		if (!interface->described ||
		    buf_reserve(&recording->writer->trailer, PCAPNG_BLOCK_MAX,
				&at))
			continue;
		statistics.interface = i;
		statistics.received = interface->recorded + interface->dropped;
		statistics.dropped = interface->dropped;
		buf_produced(&recording->writer->trailer,
			     pcapng_statistics(at, &statistics));
	}
}

void recording_end(struct recording *recording)
{
	recording_untap_all(recording);
	loop_timer_cancel(&recording->net->loop, &recording->lot_timer);
	put_trailer(recording);
}

void recording_free(struct recording *recording)
{
	recording_untap_all(recording);
	if (recording->filtered)
		pcap_freecode(&recording->filter);
	free(recording->filter_text);
	free(recording->interfaces);
}
