/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filter.h"
#include "net.h"

enum capture_state {
	CAPTURE_OPENING, /* capture_start() is not answered yet */
	CAPTURE_RUNNING,
	CAPTURE_CLOSING, /* records nothing any more */
	CAPTURE_ENDED,	 /* nobody has asked for the result */
};

/* Of a port; it stays when the port goes. */
struct capture_interface {
	uint64_t recorded, dropped;
	uint64_t missed; /* since the last that was recorded */
	bool described;	 /* its block is in the ring */
};

struct capture_tap {
	struct capture *capture;
	struct net_port *port;
	uint32_t interface;
	struct loop_garbage garbage;
	LIST_ENTRY(capture_tap) port_link;
	TAILQ_ENTRY(capture_tap) capture_link;
};
TAILQ_HEAD(capture_tap_queue, capture_tap);

struct capture {
	struct net *net;
	enum capture_state state;
	uint32_t id;
	uint32_t port; /* 0: all, and then only what comes in */
	uint32_t snaplen;
	bool filtered;
	struct bpf_program filter;
	char *filter_text;
	struct capture_interface *interfaces;
	uint32_t n_interfaces;
	uint64_t recorded, dropped;
	struct capture_result result; /* once it has ended */
	size_t lot; /* bytes that the writer was not told of */
	struct loop_timer lot_timer;
	struct writer writer;
	struct loop_fd told;
	uint64_t start_request, stop_request; /* stop: valid where has_stop */
	bool has_stop;
	struct capture_tap_queue taps; /* in the order of their interfaces */
	struct loop_garbage garbage;
	LIST_ENTRY(capture) link;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- Recording -------------------------------------------------------- */

static size_t interface_block(const struct capture *capture,
			      const struct net_port *port, uint8_t *at)
{
	char name[32], description[96];
	struct pcapng_interface interface = {
		.name = port->name[0] ? port->name : name,
		.description = description,
		.filter = capture->filter_text,
		.snaplen = capture->snaplen,
	};

	snprintf(name, sizeof(name), "port%u", port->id);
	snprintf(description, sizeof(description), "port %u, %s, process %d",
		 port->id, port->ops->kind, port->peer_pid);
	return pcapng_interface(at, &interface);
}

static bool describe(struct capture *capture, const struct capture_tap *tap)
{
	struct capture_interface *interface =
		&capture->interfaces[tap->interface];
	uint8_t *at = ring_room(&capture->writer.ring, PCAPNG_BLOCK_MAX);

	if (!at)
		return false;
	ring_put(&capture->writer.ring,
		 interface_block(capture, tap->port, at));
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
	struct capture *capture =
		container_of(timer, struct capture, lot_timer);

	capture->lot = 0;
	writer_wake(&capture->writer);
}

/* The writer is woken for a lot, or some time after its first frame. */
static void tell_writer(struct capture *capture, size_t n)
{
	struct loop *loop = &capture->net->loop;

	if (!capture->lot)
		loop_timer_set(loop, &capture->lot_timer, CAPTURE_LOT_MS,
			       lot_expired);
	capture->lot += n;
	if (capture->lot < CAPTURE_LOT)
		return;
	loop_timer_cancel(loop, &capture->lot_timer);
	lot_expired(&capture->lot_timer);
}

static bool record(struct capture *capture, const struct capture_tap *tap,
		   uint32_t direction, const struct frame *frame)
{
	struct capture_interface *interface =
		&capture->interfaces[tap->interface];
	struct pcapng_packet packet = {
		.interface = tap->interface,
		.captured = frame->len < capture->snaplen ? frame->len
							  : capture->snaplen,
		.length = frame->len,
		.direction = direction,
		.dropped = interface->missed,
	};
	uint8_t *at, *bytes;
	size_t n;

	if (!interface->described && !describe(capture, tap))
		return false;
	at = ring_room(&capture->writer.ring,
		       packet.captured + PCAPNG_PACKET_MAX);
	if (!at)
		return false;
	packet.time_ns = now_ns();
	n = pcapng_packet(at, &packet, &bytes);
	copy_head(frame, bytes, packet.captured);
	ring_put(&capture->writer.ring, n);
	tell_writer(capture, n);
	return true;
}

static void capture_tapped(struct capture_tap *tap, uint32_t direction,
			   const struct frame *frame)
{
	struct capture *capture = tap->capture;
	struct capture_interface *interface;

	if (capture->filtered && !filter_matches(&capture->filter, frame))
		return;
	if (tap->interface == CAPTURE_INTERFACES_MAX) {
		capture->dropped++;
		return;
	}
	interface = &capture->interfaces[tap->interface];
	if (record(capture, tap, direction, frame)) {
		capture->recorded++;
		interface->recorded++;
		interface->missed = 0;
	} else {
		capture->dropped++;
		interface->dropped++;
		interface->missed++;
	}
}

void capture_frame(struct net_port *port, uint32_t direction,
		   const struct frame *frame)
{
	struct capture_tap *tap;

	LIST_FOREACH(tap, &port->taps, port_link)
	if (direction == PCAPNG_INBOUND || tap->capture->port)
		capture_tapped(tap, direction, frame);
}

/* --- Taps ------------------------------------------------------------- */

/* One more interface: its number, or CAPTURE_INTERFACES_MAX. */
static uint32_t interface_new(struct capture *capture)
{
	uint32_t n = capture->n_interfaces;
	struct capture_interface *more = capture->interfaces;

	if (n == CAPTURE_INTERFACES_MAX)
		return n;
	/* Grows at the powers of two. */
	if (!(n & (n - 1)))
		more = realloc(more, (n ? 2 * (size_t)n : 1) * sizeof(*more));
	if (!more)
		return CAPTURE_INTERFACES_MAX;
	capture->interfaces = more;
	more[n] = (struct capture_interface){.described = false};
	capture->n_interfaces++;
	return n;
}

static int tap_add(struct capture *capture, struct net_port *port)
{
	struct capture_tap *tap = malloc(sizeof(*tap));

	if (!tap)
		return -ENOMEM;
	*tap = (struct capture_tap){.capture = capture,
				    .port = port,
				    .interface = interface_new(capture)};
	LIST_INSERT_HEAD(&port->taps, tap, port_link);
	TAILQ_INSERT_TAIL(&capture->taps, tap, capture_link);
	return 0;
}

static void tap_free(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct capture_tap, garbage));
}

static void tap_remove(struct capture_tap *tap)
{
	LIST_REMOVE(tap, port_link);
	TAILQ_REMOVE(&tap->capture->taps, tap, capture_link);
	loop_defer(&tap->port->net->loop, &tap->garbage, tap_free);
}

static void taps_remove(struct capture *capture)
{
	while (!TAILQ_EMPTY(&capture->taps))
		tap_remove(TAILQ_FIRST(&capture->taps));
}

static bool is_on(const struct capture *capture)
{
	return capture->state == CAPTURE_OPENING ||
	       capture->state == CAPTURE_RUNNING;
}

void captures_port_up(struct net_port *port)
{
	struct capture *capture;

	LIST_FOREACH(capture, &port->net->captures, link)
	if (is_on(capture) && !capture->port && tap_add(capture, port))
		log_limited(&port->net->resource_log,
			    "capture %u: no memory for port %u", capture->id,
			    port->id);
}

/* --- The end ---------------------------------------------------------- */

/* The statistics of each interface that is in the file. */
static void put_trailer(struct capture *capture)
{
	struct pcapng_statistics statistics = {.time_ns = now_ns()};
	uint8_t *at;

	for (uint32_t i = 0; i < capture->n_interfaces; i++) {
		const struct capture_interface *interface =
			&capture->interfaces[i];

		if (!interface->described ||
		    buf_reserve(&capture->writer.trailer, PCAPNG_BLOCK_MAX,
				&at))
			continue;
		statistics.interface = i;
		statistics.received = interface->recorded + interface->dropped;
		statistics.dropped = interface->dropped;
		buf_produced(&capture->writer.trailer,
			     pcapng_statistics(at, &statistics));
	}
}

/* Record no more; the writer is to write the rest, and to end. */
static void capture_close(struct capture *capture)
{
	struct loop *loop = &capture->net->loop;

	if (!is_on(capture))
		return;
	taps_remove(capture);
	loop_timer_cancel(loop, &capture->lot_timer);
	capture->state = CAPTURE_CLOSING;
	put_trailer(capture);
	writer_finish(&capture->writer);
}

void captures_port_down(struct net_port *port)
{
	while (!LIST_EMPTY(&port->taps)) {
		struct capture_tap *tap = LIST_FIRST(&port->taps);

		if (tap->capture->port)
			capture_close(tap->capture);
		else
			tap_remove(tap);
	}
}

static void capture_free(struct loop_garbage *garbage)
{
	struct capture *capture =
		container_of(garbage, struct capture, garbage);

	if (capture->filtered)
		pcap_freecode(&capture->filter);
	free(capture->filter_text);
	free(capture->interfaces);
	free(capture);
}

static void capture_forget(struct capture *capture)
{
	LIST_REMOVE(capture, link);
	loop_defer(&capture->net->loop, &capture->garbage, capture_free);
}

static void put_result(struct net *net, ei_x_buff *x,
		       const struct capture_result *result)
{
	ei_x_encode_atom(x,
			 result->err ? net_errno_name(net, result->err) : "ok");
	ei_x_encode_ulonglong(x, result->written);
	ei_x_encode_ulonglong(x, result->dropped);
}

static void answer_stop(struct capture *capture, uint64_t request)
{
	ei_x_buff x;

	term_reply(&x, request);
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_atom(&x, "ok");
	ei_x_encode_tuple_header(&x, 3);
	put_result(capture->net, &x, &capture->result);
	net_send_term(capture->net, &x);
	capture_forget(capture);
}

static void answer_start(struct capture *capture, int err)
{
	ei_x_buff x;

	term_reply(&x, capture->start_request);
	if (err) {
		term_put_error(&x, "capture", -err);
	} else {
		ei_x_encode_tuple_header(&x, 2);
		ei_x_encode_atom(&x, "ok");
		ei_x_encode_ulong(&x, capture->id);
	}
	net_send_term(capture->net, &x);
}

static void tell_of_end(struct capture *capture)
{
	const struct writer_target *target = &capture->writer.target;
	ei_x_buff x;

	term_event(&x, "capture_ended");
	ei_x_encode_tuple_header(&x, 5);
	ei_x_encode_ulong(&x, capture->id);
	put_result(capture->net, &x, &capture->result);
	term_put_binary(&x, target->path,
			target->is_socket ? 0 : target->path_len);
	net_send_term(capture->net, &x);
}

static void forget_oldest(struct net *net)
{
	struct capture *capture, *oldest = NULL;
	unsigned int n = 0;

	LIST_FOREACH(capture, &net->captures, link)
	{
		if (capture->state != CAPTURE_ENDED)
			continue;
		n++;
		oldest = capture; /* the newest is the first */
	}
	if (n > CAPTURES_ENDED_MAX)
		capture_forget(oldest);
}

/* The writer's thread is over. */
static void capture_ended(struct capture *capture, bool answered)
{
	capture->result = (struct capture_result){
		.err = capture->writer.err,
		.written = atomic_load(&capture->writer.written),
	};
	/* What was recorded and is not in the file is lost, too. */
	capture->result.dropped =
		capture->dropped + capture->recorded - capture->result.written;
	capture->state = CAPTURE_ENDED;
	if (!answered) {
		answer_start(capture, capture->result.err);
		capture_forget(capture);
	} else if (capture->has_stop) {
		answer_stop(capture, capture->stop_request);
	} else {
		tell_of_end(capture);
		forget_oldest(capture->net);
	}
}

static void writer_told(struct loop_fd *entry, uint32_t events)
{
	struct capture *capture = container_of(entry, struct capture, told);
	bool answered = capture->state != CAPTURE_OPENING;
	uint64_t count;

	(void)events;
	if (read(entry->fd, &count, sizeof(count)) < 0)
		return;
	if (!answered && atomic_load(&capture->writer.opened)) {
		capture->state = CAPTURE_RUNNING;
		answer_start(capture, 0);
		answered = true;
	}
	if (!atomic_load(&capture->writer.ended))
		return;
	capture_close(capture);
	loop_del(&capture->net->loop, &capture->told);
	writer_join(&capture->writer, NULL);
	capture_ended(capture, answered);
}

void captures_close(struct net *net)
{
	struct capture *capture;
	struct timespec until;

	LIST_FOREACH(capture, &net->captures, link)
	capture_close(capture);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CAPTURE_CLOSE_MS / 1000;
	while ((capture = LIST_FIRST(&net->captures))) {
		bool joined = capture->state == CAPTURE_ENDED;

		if (!joined) {
			loop_del(&net->loop, &capture->told);
			joined = !writer_join(&capture->writer, &until);
		}
		/* A thread that hangs in a disk ends with the process. */
		if (joined)
			capture_forget(capture);
		else
			LIST_REMOVE(capture, link);
	}
}

/* --- Requests --------------------------------------------------------- */

static unsigned int count_on(const struct net *net)
{
	const struct capture *capture;
	unsigned int n = 0;

	LIST_FOREACH(capture, &net->captures, link)
	n += capture->state != CAPTURE_ENDED;
	return n;
}

static int tap_all(struct capture *capture)
{
	struct net_port *port;
	int err = 0;

	for (size_t i = 0; i < NET_ID_BUCKETS; i++)
		LIST_FOREACH(port, &capture->net->by_id[i], id_link)
	if (!err)
		err = tap_add(capture, port);
	return err;
}

/* The file begins with the ports that there are. */
static int put_prologue(struct capture *capture, struct buf *prologue)
{
	struct capture_tap *tap;
	uint8_t *at;
	int err = buf_reserve(prologue, PCAPNG_BLOCK_MAX, &at);

	if (err)
		return err;
	buf_produced(prologue, pcapng_section(at));
	TAILQ_FOREACH(tap, &capture->taps, capture_link)
	{
		if (tap->interface == CAPTURE_INTERFACES_MAX)
			continue;
		err = buf_reserve(prologue, PCAPNG_BLOCK_MAX, &at);
		if (err)
			return err;
		buf_produced(prologue, interface_block(capture, tap->port, at));
		capture->interfaces[tap->interface].described = true;
	}
	return 0;
}

static int capture_open(struct capture *capture,
			const struct capture_options *options)
{
	struct net *net = capture->net;
	struct net_port *port =
		options->port ? net_port_by_id(net, options->port) : NULL;
	struct buf prologue;
	int err;

	if (options->port && !port)
		return -ENOENT;
	err = port ? tap_add(capture, port) : tap_all(capture);
	if (err)
		return err;
	buf_init(&prologue, WRITER_PROLOGUE_MAX);
	err = put_prologue(capture, &prologue);
	if (!err)
		err = writer_start(&capture->writer, &options->target,
				   buf_data(&prologue), buf_len(&prologue));
	buf_free(&prologue);
	return err;
}

static int set_filter(struct capture *capture, const char *text, char **error)
{
	int err;

	capture->filter_text = strdup(text);
	if (!capture->filter_text)
		return -ENOMEM;
	if (!*text)
		return 0;
	err = filter_compile(&capture->filter, text, error);
	capture->filtered = !err;
	return err;
}

int capture_start(struct net *net, uint64_t request,
		  const struct capture_options *options, char **error)
{
	struct capture *capture;
	int err;

	if (count_on(net) >= CAPTURES_MAX)
		return -EMFILE;
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return -ENOMEM;
	capture->net = net;
	capture->port = options->port;
	capture->snaplen = options->snaplen;
	capture->start_request = request;
	capture->told.fd = -1;
	TAILQ_INIT(&capture->taps);
	err = set_filter(capture, options->filter, error);
	if (!err)
		err = capture_open(capture, options);
	if (!err) {
		capture->id = ++net->last_capture_id;
		LIST_INSERT_HEAD(&net->captures, capture, link);
		err = loop_add(&net->loop, &capture->told,
			       capture->writer.told_fd, EPOLLIN, writer_told);
		if (!err)
			return 0;
		writer_finish(&capture->writer);
		writer_join(&capture->writer, NULL);
		LIST_REMOVE(capture, link);
	}
	taps_remove(capture);
	capture_free(&capture->garbage);
	return err;
}

int capture_stop(struct net *net, uint64_t request, uint32_t id)
{
	struct capture *capture;

	LIST_FOREACH(capture, &net->captures, link)
	if (capture->id == id)
		break;
	if (!capture || capture->has_stop || capture->state == CAPTURE_OPENING)
		return -ENOENT;
	if (capture->state == CAPTURE_ENDED) {
		answer_stop(capture, request);
		return 0;
	}
	capture->has_stop = true;
	capture->stop_request = request;
	capture_close(capture);
	return 0;
}

void captures_visit(struct net *net,
		    void (*visit)(void *arg, uint32_t id, bool running,
				  const struct capture_result *result),
		    void *arg)
{
	struct capture *capture;

	LIST_FOREACH(capture, &net->captures, link)
	{
		struct capture_result result = capture->result;

		if (capture->state == CAPTURE_OPENING)
			continue;
		if (capture->state != CAPTURE_ENDED) {
			result.written = atomic_load(&capture->writer.written);
			result.dropped = capture->dropped;
		}
		visit(arg, capture->id, capture->state != CAPTURE_ENDED,
		      &result);
	}
}
