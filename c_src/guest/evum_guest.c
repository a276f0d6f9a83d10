/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evum_guest - one machine: the port program between evum_vm and a User Mode
 * Linux kernel.
 *
 *   evum_vm == port == evum_guest -- fork --> keeper -- fork --> UML kernel
 *                        |  |                                      |  |
 *                        |  +-------- console (socketpair) --------+  |
 *                        +------ agent (virtio console, vhost-user) --+
 *                        +------ mconsole, notices (jail's tmpfs) ----+
 *
 * States: waiting for the start request; running; ended. It decides nothing:
 * whatever happens to the guest is told to evum_vm. Once the guest has ended it
 * stays until it is told to stop: were it gone sooner, a write of evum_vm could
 * find a broken pipe, and the BEAM would then drop the news of the guest's end
 * unread. When stdin ends, all that was made here is gone with this process.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "console.h"
#include "jail.h"
#include "keeper.h"
#include "log.h"
#include "loop.h"
#include "mconsole.h"
#include "port.h"
#include "serial.h"
#include "start.h"
#include "term.h"

struct guest {
	struct loop loop;
	struct port port;
	bool started, running;
	struct keeper keeper;
	struct loop_fd status;
	struct console console;
	struct mconsole mconsole;
	struct serial serial;
};

static void reply_error(struct guest *guest, uint64_t id, const char *where,
			int err)
{
	ei_x_buff x;

	term_reply(&x, id);
	term_put_error(&x, where, err);
	port_send_term(&guest->port, &x);
}

static void send_event(struct guest *guest, const char *name, const void *text,
		       size_t len)
{
	ei_x_buff x;

	term_event(&x, name);
	term_put_binary(&x, text, len);
	port_send_term(&guest->port, &x);
}

/* {event, exited, {exit | signal, Number}} */
static void send_exited(struct guest *guest, int wait_status)
{
	bool by_signal = WIFSIGNALED(wait_status);
	ei_x_buff x;

	term_event(&x, "exited");
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_atom(&x, by_signal ? "signal" : "exit");
	ei_x_encode_long(&x, by_signal ? WTERMSIG(wait_status)
				       : WEXITSTATUS(wait_status));
	port_send_term(&guest->port, &x);
}

static void status_ready(struct loop_fd *entry, uint32_t events)
{
	struct guest *guest = container_of(entry, struct guest, status);
	int wait_status = SIGKILL;

	(void)events;
	loop_del(&guest->loop, &guest->status);
	console_drain(&guest->console);
	/* A keeper that was killed takes the guest along: SIGKILL as well. */
	keeper_end(&guest->keeper, &wait_status);
	guest->running = false;
	send_exited(guest, wait_status);
}

static void mconsole_answered(struct mconsole *mc, uint64_t id, int err,
			      const void *output, size_t len)
{
	struct guest *guest = container_of(mc, struct guest, mconsole);
	ei_x_buff x;

	if (err && err != -EREMOTEIO) {
		reply_error(guest, id, "mconsole", err);
		return;
	}
	term_reply(&x, id);
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_atom(&x, err ? "error" : "ok");
	if (err) {
		ei_x_encode_tuple_header(&x, 2);
		ei_x_encode_atom(&x, "guest");
	}
	term_put_binary(&x, output, len);
	port_send_term(&guest->port, &x);
}

static void guest_booted(struct mconsole *mc)
{
	struct guest *guest = container_of(mc, struct guest, mconsole);

	send_event(guest, "booted", "", 0);
}

static void guest_panicked(struct mconsole *mc, const void *text, size_t len)
{
	struct guest *guest = container_of(mc, struct guest, mconsole);

	send_event(guest, "panic", text, len);
}

static void guest_notified(struct mconsole *mc, const void *text, size_t len)
{
	struct guest *guest = container_of(mc, struct guest, mconsole);

	send_event(guest, "notify", text, len);
}

static const struct mconsole_ops mconsole_ops = {
	.answer = mconsole_answered,
	.booted = guest_booted,
	.panicked = guest_panicked,
	.notified = guest_notified,
};

/* {event, agent, opened | closed | gone | broken} */
static void serial_changed(struct serial *serial, enum serial_state state)
{
	static const char *const names[] = {
		[SERIAL_OPENED] = "opened",
		[SERIAL_CLOSED] = "closed",
		[SERIAL_GONE] = "gone",
		[SERIAL_BROKEN] = "broken",
	};
	struct guest *guest = container_of(serial, struct guest, serial);
	ei_x_buff x;

	term_event(&x, "agent");
	ei_x_encode_atom(&x, names[state]);
	port_send_term(&guest->port, &x);
}

static const struct serial_ops serial_ops = {.changed = serial_changed};

/* Build and fork it all; 0 or -errno with *step. */
static int guest_start(struct guest *guest, const struct start *start,
		       const char **step)
{
	struct handover handover;
	int err;

	*step = "switch";
	err = handover_connect(&handover, start);
	if (err)
		return err;
	err = jail_enter(start, step);
	if (err)
		return err;
	*step = "mconsole";
	err = mconsole_init(&guest->mconsole, &guest->loop, &mconsole_ops);
	if (err)
		return err;
	*step = "serial";
	err = serial_init(&guest->serial, &guest->loop, &guest->port,
			  &serial_ops);
	if (err)
		return err;
	err = keeper_start(&guest->keeper, start, &handover, step);
	handover_close(&handover);
	if (err)
		return err;
	*step = "watch";
	err = console_init(&guest->console, &guest->loop, &guest->port,
			   guest->keeper.console_fd);
	if (!err)
		err = loop_add(&guest->loop, &guest->status,
			       guest->keeper.status_fd, EPOLLIN, status_ready);
	if (!err) {
		*step = "privileges";
		err = jail_drop_privileges();
	}
	return err;
}

static void request_start(struct guest *guest, uint64_t id,
			  struct term_reader *r)
{
	const char *step = "request";
	struct start start;
	ei_x_buff x;
	int err = start_decode(&start, r);

	if (!err && guest->started)
		err = -EALREADY;
	if (!err)
		err = guest_start(guest, &start, &step);
	if (err) {
		/* The jail may be half built: this process serves no more. */
		reply_error(guest, id, step, err);
		loop_stop(&guest->loop);
	}
	start_free(&start);
	if (err)
		return;
	guest->started = guest->running = true;
	term_reply(&x, id);
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_atom(&x, "ok");
	ei_x_encode_long(&x, guest->keeper.kernel);
	port_send_term(&guest->port, &x);
}

static void request_mconsole(struct guest *guest, uint64_t id,
			     struct term_reader *r)
{
	size_t len = 0;
	char *command = term_binary(r, &len);
	int err = r->err;

	if (!err)
		err = guest->running ? mconsole_request(&guest->mconsole, id,
							command, len)
				     : -ENOTCONN;
	if (err)
		reply_error(guest, id, "mconsole", err);
	free(command);
}

static void port_term(struct port *port, const char *term, size_t len)
{
	struct guest *guest = container_of(port, struct guest, port);
	char op[TERM_ATOM_MAX];
	struct term_reader r;
	uint64_t id;

	(void)len;
	term_open(&r, term);
	term_tuple(&r);
	id = term_u64(&r);
	term_atom(&r, op);
	if (!strcmp(op, "start"))
		request_start(guest, id, &r);
	else if (!strcmp(op, "mconsole"))
		request_mconsole(guest, id, &r);
	else if (!strcmp(op, "stop"))
		/* Answered by the end of this process. */
		loop_stop(&guest->loop);
	else
		reply_error(guest, id, "request", -EOPNOTSUPP);
}

static void port_data(struct port *port, const uint8_t *bytes, size_t len)
{
	struct guest *guest = container_of(port, struct guest, port);

	if (guest->running)
		console_input(&guest->console, bytes, len);
}

static void port_second(struct port *port, const uint8_t *bytes, size_t len)
{
	struct guest *guest = container_of(port, struct guest, port);

	if (guest->running)
		serial_input(&guest->serial, bytes, len);
}

static void port_writable(struct port *port)
{
	struct guest *guest = container_of(port, struct guest, port);

	if (guest->running)
		console_resume(&guest->console);
	if (guest->running)
		serial_resume(&guest->serial);
}

static void port_closed(struct port *port)
{
	struct guest *guest = container_of(port, struct guest, port);

	loop_stop(&guest->loop);
}

static const struct port_ops port_ops = {
	.term = port_term,
	.data = port_data,
	.second = port_second,
	.writable = port_writable,
	.closed = port_closed,
};

int main(void)
{
	static struct guest guest;
	int err, ignored;

	log_init("evum_guest");
	/* The shell's ^C is the shell's; the end of stdin ends us. */
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	err = loop_init(&guest.loop);
	if (!err)
		err = port_init(&guest.port, &guest.loop, &port_ops,
				STDIN_FILENO, STDOUT_FILENO);
	if (!err)
		err = loop_run(&guest.loop);
	if (err)
		log_msg("%s", strerror(-err));
	keeper_end(&guest.keeper, &ignored);
	port_flush(&guest.port);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
