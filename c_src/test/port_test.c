/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

/* A port whose BEAM is the test: beam[1] is its end of both pipes. */
struct rig {
	struct loop loop;
	struct port port;
	struct loop_timer end;
	int beam;
	int terms, writable, closed;
	size_t data_len;
	uint8_t data[1 << 18];
};

static struct rig *rig_of(struct port *port)
{
	return container_of(port, struct rig, port);
}

static void on_term(struct port *port, const char *term, size_t len)
{
	CHECK(len == 3 && (uint8_t)term[0] == 131);
	rig_of(port)->terms++;
}

static void on_data(struct port *port, const uint8_t *bytes, size_t len)
{
	struct rig *rig = rig_of(port);

	memcpy(rig->data + rig->data_len, bytes, len);
	rig->data_len += len;
}

static void on_writable(struct port *port)
{
	rig_of(port)->writable++;
}

static void on_closed(struct port *port)
{
	rig_of(port)->closed++;
	loop_stop(port->loop);
}

static const struct port_ops ops = {
	.term = on_term,
	.data = on_data,
	.writable = on_writable,
	.closed = on_closed,
};

static void turn_over(struct loop_timer *timer)
{
	loop_stop(&container_of(timer, struct rig, end)->loop);
}

static void rig_open(struct rig *rig)
{
	int fds[2];

	memset(rig, 0, sizeof(*rig));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	rig->beam = fds[1];
	CHECK(!loop_init(&rig->loop));
	/* epoll knows a descriptor once: in and out need one each. */
	CHECK(!port_init(&rig->port, &rig->loop, &ops, fds[0], dup(fds[0])));
}

/* Run the loop until nothing is ready any more. */
static void rig_settle(struct rig *rig)
{
	struct pollfd pfd = {.fd = rig->loop.epoll_fd, .events = POLLIN};

	while (poll(&pfd, 1, 0) == 1) {
		rig->loop.stopped = false;
		loop_timer_set(&rig->loop, &rig->end, 0, turn_over);
		CHECK(!loop_run(&rig->loop));
	}
}

static void rig_close(struct rig *rig)
{
	int in = rig->port.in.fd, out = rig->port.out.fd;

	port_close(&rig->port);
	loop_close(&rig->loop);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	close(rig->beam);
}

static size_t packet(uint8_t *at, const void *payload, uint32_t len)
{
	uint32_t header = htonl(len);

	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), payload, len);
	return sizeof(header) + len;
}

static struct rig rig;

static void packets_are_found_however_they_are_cut(void)
{
	static const uint8_t term[] = {131, 97, 1}, data[] = "\1some bytes";
	static const uint8_t credit[] = {PORT_KIND_CREDIT, 0, 0, 1, 2};
	uint8_t bytes[64];
	size_t len = packet(bytes, term, sizeof(term));

	len += packet(bytes + len, data, sizeof(data) - 1);
	len += packet(bytes + len, credit, sizeof(credit));
	len += packet(bytes + len, term, sizeof(term));
	for (size_t cut = 1; cut <= len; cut++) {
		rig_open(&rig);
		for (size_t at = 0; at < len; at += cut) {
			size_t n = len - at < cut ? len - at : cut;

			CHECK(write(rig.beam, bytes + at, n) == (ssize_t)n);
			rig_settle(&rig);
		}
		rig_settle(&rig);
		CHECK(rig.terms == 2);
		CHECK(rig.data_len == 10);
		CHECK(!memcmp(rig.data, "some bytes", 10));
		CHECK(port_credit(&rig.port) == 258);
		CHECK(rig.writable == 1);
		rig_close(&rig);
	}
}

static void large_packets_arrive_whole(void)
{
	static uint8_t payload[200000], bytes[200004];
	size_t len, at = 0;

	payload[0] = PORT_KIND_DATA;
	for (size_t i = 1; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	len = packet(bytes, payload, sizeof(payload));
	rig_open(&rig);
	CHECK(!fcntl(rig.beam, F_SETFL, O_NONBLOCK));
	while (at < len) {
		ssize_t n = write(rig.beam, bytes + at, len - at);

		if (n > 0)
			at += (size_t)n;
		rig_settle(&rig);
	}
	rig_settle(&rig);
	CHECK(rig.data_len == sizeof(payload) - 1);
	CHECK(!memcmp(rig.data, payload + 1, sizeof(payload) - 1));
	rig_close(&rig);
}

static void data_goes_out_framed_and_costs_credit(void)
{
	uint8_t got[64];

	rig_open(&rig);
	rig.port.credit = 10;
	port_send_data(&rig.port, "abcd", 4);
	CHECK(port_credit(&rig.port) == 6);
	CHECK(read(rig.beam, got, sizeof(got)) == 9);
	CHECK(!memcmp(got, "\0\0\0\5\1abcd", 9));
	rig_close(&rig);
}

/* Forgotten, it would widen the window at every round. */
static void credit_pays_what_was_overdrawn(void)
{
	static const uint8_t credit[] = {0, 0, 0, 5, PORT_KIND_CREDIT,
					 0, 0, 0, 6};

	rig_open(&rig);
	rig.port.credit = 3;
	port_send_data(&rig.port, "abcdefgh", 8);
	CHECK(port_credit(&rig.port) == 0);
	CHECK(write(rig.beam, credit, sizeof(credit)) == sizeof(credit));
	rig_settle(&rig);
	CHECK(port_credit(&rig.port) == 1);
	rig_close(&rig);
}

static size_t drain(int fd)
{
	static uint8_t sink[1 << 16];
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	size_t total = 0;

	while (poll(&pfd, 1, 0) == 1) {
		ssize_t n = read(fd, sink, sizeof(sink));

		if (n <= 0)
			break;
		total += (size_t)n;
	}
	return total;
}

static void congest(void)
{
	static const uint8_t bytes[10000];

	while (!port_congested(&rig.port))
		port_send_data(&rig.port, bytes, sizeof(bytes));
}

static void congestion_ends_with_writable(void)
{
	rig_open(&rig);
	congest();
	rig_settle(&rig);
	CHECK(rig.writable == 0);
	for (int i = 0; i < 100 && port_congested(&rig.port); i++) {
		drain(rig.beam);
		rig_settle(&rig);
	}
	CHECK(!port_congested(&rig.port));
	CHECK(rig.writable == 1);
	rig_close(&rig);
}

/* What ends the congestion may be the next send, not an event. */
static void congestion_that_a_send_ends_is_told_too(void)
{
	rig_open(&rig);
	congest();
	for (int i = 0; i < 100 && buf_len(&rig.port.tx); i++) {
		drain(rig.beam);
		port_send_data(&rig.port, "x", 1);
	}
	CHECK(!buf_len(&rig.port.tx));
	drain(rig.beam);
	rig_settle(&rig);
	CHECK(rig.writable == 1);
	rig_settle(&rig);
	CHECK(rig.writable == 1);
	rig_close(&rig);
}

static void end_of_stdin_is_told(void)
{
	rig_open(&rig);
	CHECK(!shutdown(rig.beam, SHUT_WR));
	rig_settle(&rig);
	CHECK(rig.closed == 1);
	CHECK(rig.port.in.fd == -1);
	/* The other direction still works. */
	port_send_data(&rig.port, "abcd", 4);
	CHECK(drain(rig.beam) == 9);
	rig_close(&rig);
}

int main(void)
{
	RUN(packets_are_found_however_they_are_cut);
	RUN(large_packets_arrive_whole);
	RUN(data_goes_out_framed_and_costs_credit);
	RUN(credit_pays_what_was_overdrawn);
	RUN(congestion_ends_with_writable);
	RUN(congestion_that_a_send_ends_is_told_too);
	RUN(end_of_stdin_is_told);
	UNIT_DONE();
}
