/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evum_attach - a terminal of the host, for the console of a machine.
 *
 *   evum_attach tty PATH              a port program of the BEAM, which reads
 *                                     that terminal's input itself
 *   evum_attach console SOCKET NAME   from a shell: the terminal is /dev/tty,
 *                                     SOCKET an evum's (an abstract name)
 *   evum_attach run SOCKET WORD...    from a shell: a command, see run.h
 *
 * All speak the port protocol, see lib/port.h. For a console, data towards C is
 * what the terminal shows, data from C what is typed; {event, resize, {Columns,
 * Rows}} and {event, written, Bytes} come from here.
 *
 *   shell or BEAM ── guardian ── relay
 *
 * The relay does the work. The guardian waits for it and then puts the terminal
 * back, whatever the relay has died of; a relay whose guardian has died does so
 * itself. There is nothing left to do it only when both are killed at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "loop.h"
#include "port.h"
#include "run.h"
#include "term.h"
#include "terminal.h"

#define INPUT_CHUNK 4096u
/* What the BEAM may send ahead of {event, written, ...}, bytes. */
#define SHOW_MAX (4u << 20)
/* How often the size is asked for where no SIGWINCH tells of it, ms. */
#define SIZE_POLL_MS 250
#define REQUEST_ID 1
#define EXIT_NO_MACHINE 3
/* To the guardian: the relay has put the terminal back, another way. */
#define EXIT_BEAM_GONE 4

struct attach {
	struct loop loop;
	struct port port;
	struct terminal terminal;
	struct loop_fd tty, signals;
	struct loop_timer sizes;
	struct buf show;
	unsigned int columns, rows;
	const char *path; /* in /proc of the BEAM, NULL from a shell */
	bool from_shell;
	bool open; /* the console is on the terminal */
	int status;
};

static void tty_watch(struct attach *a)
{
	uint32_t events = 0;

	if (a->from_shell && a->open && port_credit(&a->port))
		events |= EPOLLIN;
	if (buf_len(&a->show))
		events |= EPOLLOUT;
	loop_watch(&a->loop, &a->tty, events);
}

static void tty_write(struct attach *a)
{
	size_t written = 0;
	ei_x_buff x;

	while (buf_len(&a->show)) {
		ssize_t n = write(a->terminal.fd, buf_data(&a->show),
				  buf_len(&a->show));

		if (n <= 0)
			break;
		buf_consume(&a->show, (size_t)n);
		written += (size_t)n;
	}
	if (!written)
		return;
	term_event(&x, "written");
	ei_x_encode_ulong(&x, written);
	port_send_term(&a->port, &x);
}

static void tty_read(struct attach *a)
{
	uint64_t credit = port_credit(&a->port);
	uint8_t chunk[INPUT_CHUNK];
	ssize_t n;

	if (!credit)
		return;
	n = read(a->terminal.fd, chunk,
		 credit < sizeof(chunk) ? credit : sizeof(chunk));
	if (n > 0)
		port_send_data(&a->port, chunk, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		loop_stop(&a->loop);
}

static void tty_ready(struct loop_fd *entry, uint32_t events)
{
	struct attach *a = container_of(entry, struct attach, tty);

	if (events & (EPOLLHUP | EPOLLERR)) {
		loop_stop(&a->loop);
		return;
	}
	if (events & EPOLLOUT)
		tty_write(a);
	if (events & EPOLLIN)
		tty_read(a);
	tty_watch(a);
}

static void tell_size(struct attach *a)
{
	unsigned int columns, rows;
	ei_x_buff x;

	if (terminal_size(&a->terminal, &columns, &rows) ||
	    (columns == a->columns && rows == a->rows))
		return;
	a->columns = columns;
	a->rows = rows;
	term_event(&x, "resize");
	ei_x_encode_tuple_header(&x, 2);
	ei_x_encode_ulong(&x, columns);
	ei_x_encode_ulong(&x, rows);
	port_send_term(&a->port, &x);
}

static void sizes_expired(struct loop_timer *timer)
{
	struct attach *a = container_of(timer, struct attach, sizes);

	tell_size(a);
	loop_timer_set(&a->loop, &a->sizes, SIZE_POLL_MS, sizes_expired);
}

static void signals_ready(struct loop_fd *entry, uint32_t events)
{
	struct attach *a = container_of(entry, struct attach, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(entry->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		tell_size(a);
	else
		loop_stop(&a->loop);
}

/* The console goes onto the terminal from now on. */
static void attach_open(struct attach *a)
{
	int err = terminal_raw(&a->terminal);

	if (err)
		die("terminal: %s", strerror(-err));
	a->open = true;
	tell_size(a);
	/* Not our controlling terminal: its signals go elsewhere. */
	if (!a->from_shell)
		loop_timer_set(&a->loop, &a->sizes, SIZE_POLL_MS,
			       sizes_expired);
	tty_watch(a);
}

/* The answer: {reply, Id, {ok | error, Text}} */
static void answered(struct attach *a, const char *term)
{
	char word[TERM_ATOM_MAX];
	struct term_reader r;
	size_t size = 0;
	char *text;

	term_open(&r, term);
	term_tuple(&r);
	term_atom(&r, word);
	term_u64(&r);
	term_tuple(&r);
	term_atom(&r, word);
	text = term_binary(&r, &size);
	if (r.err)
		die("an answer that is none");
	if (!strcmp(word, "ok")) {
		attach_open(a);
	} else {
		a->status = EXIT_FAILURE;
		if (!strcmp(text, "no_machine"))
			a->status = EXIT_NO_MACHINE;
		else
			fprintf(stderr, "evum: %s\n", text);
		loop_stop(&a->loop);
	}
	free(text);
}

static void port_term(struct port *port, const char *term, size_t len)
{
	struct attach *a = container_of(port, struct attach, port);

	(void)len;
	if (a->from_shell)
		answered(a, term);
	else
		/* {Id, leave, none}: answered by the end of this process. */
		loop_stop(&a->loop);
}

static void port_data(struct port *port, const uint8_t *bytes, size_t len)
{
	struct attach *a = container_of(port, struct attach, port);

	if (buf_append(&a->show, bytes, len))
		die("more to show than was agreed");
	tty_write(a);
	tty_watch(a);
}

static void port_writable(struct port *port)
{
	struct attach *a = container_of(port, struct attach, port);

	tty_watch(a);
}

static void port_closed(struct port *port)
{
	struct attach *a = container_of(port, struct attach, port);

	/* A BEAM that was killed leaves its shell's settings behind. */
	if (a->path && access(a->path, F_OK) < 0) {
		terminal_sane(&a->terminal);
		a->status = EXIT_BEAM_GONE;
	}
	loop_stop(&a->loop);
}

static const struct port_ops port_ops = {
	.term = port_term,
	.data = port_data,
	.writable = port_writable,
	.closed = port_closed,
};

/* An abstract name is anybody's to take: only this user's evum is believed. */
static int socket_open(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ucred peer;
	socklen_t size = sizeof(peer);
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path + 1, name, len);
	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				len)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	return peer.uid == getuid() ? fd : -EPERM;
}

static void request(struct attach *a, const char *op, const char *arg)
{
	ei_x_buff x;

	ei_x_new_with_version(&x);
	ei_x_encode_tuple_header(&x, 3);
	ei_x_encode_ulong(&x, REQUEST_ID);
	ei_x_encode_atom(&x, op);
	ei_x_encode_binary(&x, arg, (int)strlen(arg));
	port_send_term(&a->port, &x);
}

static int signals_open(struct attach *a)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	return loop_add(&a->loop, &a->signals, fd, EPOLLIN, signals_ready);
}

static int relay(struct attach *a, int in, int out, char **argv)
{
	int err = loop_init(&a->loop);

	buf_init(&a->show, SHOW_MAX);
	if (!err)
		err = signals_open(a);
	if (!err)
		err = port_init(&a->port, &a->loop, &port_ops, in, out);
	if (!err)
		err = loop_add(&a->loop, &a->tty, a->terminal.fd, 0, tty_ready);
	if (err)
		die("%s", strerror(-err));
	if (a->from_shell)
		request(a, argv[1], argv[3]);
	else
		attach_open(a);
	err = loop_run(&a->loop);
	tty_write(a);
	terminal_restore(&a->terminal);
	return err ? EXIT_FAILURE : a->status;
}

/* Wait for the relay, whatever comes, and put the terminal back. */
static int guard(const struct terminal *term, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_BEAM_GONE)
		terminal_restore(term);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

static pid_t guardian_relay;

static void pass_on(int sig)
{
	kill(guardian_relay, sig);
}

static int attach_run(struct attach *a, int in, int out, char **argv)
{
	struct sigaction action = {.sa_handler = pass_on};
	pid_t guardian = getpid();
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ||
		    getppid() != guardian)
			return EXIT_FAILURE;
		return relay(a, in, out, argv);
	}
	/* The end of either is to be seen by whoever is at the other end. */
	close(in);
	close(out);
	guardian_relay = pid;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	return guard(&a->terminal, pid);
}

int main(int argc, char **argv)
{
	static struct attach a = {.terminal.fd = -1};
	bool console = argc == 4 && !strcmp(argv[1], "console");
	bool run = argc >= 4 && !strcmp(argv[1], "run");
	int fd, out, err;

	log_init("evum_attach");
	/* A terminal that we are not in the foreground of must not stop us. */
	signal(SIGTTOU, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "tty")) {
		err = terminal_open(&a.terminal, argv[2]);
		if (err)
			die("%s: %s", argv[2], strerror(-err));
		a.path = argv[2];
		return attach_run(&a, STDIN_FILENO, STDOUT_FILENO, argv);
	}
	if (!console && !run)
		die("started by bin/evum and by evum:attach/1");
	a.from_shell = true;
	fd = socket_open(argv[2]);
	if (fd < 0)
		die("%s: %s", argv[2], strerror(-fd));
	/* One entry of the loop for each direction, as a pipe has. */
	out = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (out < 0)
		die("dup: %s", strerror(errno));
	if (run)
		return run_command(fd, out, argv + 3);
	err = terminal_open(&a.terminal, "/dev/tty");
	if (err)
		die("there is no terminal: %s", strerror(-err));
	return attach_run(&a, fd, out, argv);
}
