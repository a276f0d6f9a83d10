/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - a command that an evum carries out, with this process's input and
 * output: what the command `evum` does where a node is needed.
 *
 * The request is {1, run, Words}, each word with a NUL behind it, the working
 * directory first. Data towards C is for stdout, {event, stderr, Bytes} for
 * stderr, {event, written, Bytes} tells what of both was written; data from C
 * is from stdin, as far as there is credit for it, and {event, eof, 0} its end.
 * {reply, 1, {exit, Status}} ends it. There is no more here: what the words
 * mean, src/evum_cli.erl knows.
 */
#ifndef EVUM_RUN_H
#define EVUM_RUN_H

/* The evum is at in and out. Returns the status to end with. */
int run_command(int in, int out, char **words);

#endif
