/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration that evum_init reads. It belongs to a program that is
 * built for the guest, so its one file is taken in here.
 */
#include "../init/config.c" /* NOLINT(bugprone-suspicious-include) */

#include "unit.h"

void init_fail(const char *step, const char *what)
{
	fprintf(stderr, "init_fail: %s %s\n", step, what);
	abort();
}

static struct config config;

static int same(const char *value, const char *wanted)
{
	return value && !strcmp(value, wanted);
}

static int parse(const char *text, size_t len)
{
	memset(&config, 0, sizeof(config));
	memcpy(config.text, text, len);
	return config_parse(&config, len);
}

#define PARSE(literal) parse(literal, sizeof(literal) - 1)

static void whole(void)
{
	CHECK(PARSE("hostname=r1\0init=/bin/sh\0init=\0init=a=b\0") == 0);
	CHECK(!strcmp(config.hostname, "r1"));
	CHECK(config.argc == 3);
	CHECK(same(config.argv[0], "/bin/sh"));
	CHECK(same(config.argv[1], ""));
	CHECK(same(config.argv[2], "a=b"));
	CHECK(config.argv[3] == NULL);
}

static void image(void)
{
	CHECK(PARSE("image=squashfs\0room=4096\0files=\0disk=\0"
		    "share=ro:/a\0share=rw:/b c\0init=x\0instead=y\0") == 0);
	CHECK(same(config.image, "squashfs") && same(config.room, "4096"));
	CHECK(config.files && config.disk && same(config.instead, "y"));
	CHECK(config.n_shares == 2);
	CHECK(same(config.shares[0].target, "/a") &&
	      !config.shares[0].writable);
	CHECK(same(config.shares[1].target, "/b c"));
	CHECK(config.shares[1].writable);
	CHECK(PARSE("share=/a\0init=x\0") == -EINVAL);
	CHECK(PARSE("share=ro:a\0init=x\0") == -EINVAL);
}

static void addresses(void)
{
	CHECK(PARSE("init=x\0") == 0 && !config.n_interfaces);
	CHECK(PARSE("interface=virtio-uml.100,eth0,02:00:0a:fF:00:01\0"
		    "interface=vec1,wan,02:00:00:00:00:02\0init=x\0") == 0);
	CHECK(config.n_interfaces == 2);
	CHECK(same(config.interfaces[0].born, "virtio-uml.100"));
	CHECK(same(config.interfaces[0].name, "eth0"));
	CHECK(!memcmp(config.interfaces[0].mac, "\2\0\x0a\xff\0\1", 6));
	CHECK(same(config.interfaces[1].name, "wan"));
	CHECK(PARSE("interface=\0init=x\0") == -EINVAL);
	CHECK(PARSE("interface=vec0,eth0\0init=x\0") == -EINVAL);
	CHECK(PARSE("interface=vec0,,02:00:00:00:00:01\0init=x\0") == -EINVAL);
	CHECK(PARSE("interface=,eth0,02:00:00:00:00:01\0init=x\0") == -EINVAL);
	CHECK(PARSE("interface=a,eth0,02:00:00:00:00\0init=x\0") == -EINVAL);
	CHECK(PARSE("interface=a,eth0,02:00:00:00:00:xx\0init=x\0") == -EINVAL);
	CHECK(PARSE("interface=a,sixteen-bytes-it,02:00:00:00:00:01\0"
		    "init=x\0") == -EINVAL);
}

static void broken(void)
{
	CHECK(PARSE("") == -EINVAL);
	CHECK(PARSE("init=/bin/sh") == -EINVAL); /* cut off */
	CHECK(PARSE("init\0") == -EINVAL);
	CHECK(PARSE("colour=red\0init=x\0") == -EINVAL);
	CHECK(PARSE("hostname=r1\0") == -EINVAL); /* nothing to run */
	CHECK(PARSE("\0init=x\0") == -EINVAL);
}

static void limits(void)
{
	static char text[INIT_CONFIG_MAX];
	size_t len = 0;

	for (int i = 0; i <= INIT_ARGS_MAX; i++) {
		memcpy(text + len, "init=x", 7);
		len += 7;
	}
	CHECK(parse(text, len - 7) == 0);
	CHECK(config.argc == INIT_ARGS_MAX);
	CHECK(parse(text, len) == -EINVAL);
	len = 0;
	for (int i = 0; i <= INIT_SHARES_MAX; i++) {
		memcpy(text + len, "share=ro:/x", 12);
		len += 12;
	}
	memcpy(text + len, "init=x", 7);
	CHECK(parse(text, len + 7) == -EINVAL);
	CHECK(parse(text + 12, len - 5) == 0);
	CHECK(config.n_shares == INIT_SHARES_MAX);
	len = 0;
	for (int i = 0; i <= INIT_INTERFACES_MAX; i++) {
		memcpy(text + len, "interface=a,b,02:00:00:00:00:01", 32);
		len += 32;
	}
	memcpy(text + len, "init=x", 7);
	CHECK(parse(text, len + 7) == -EINVAL);
	CHECK(parse(text + 32, len - 25) == 0);
	CHECK(config.n_interfaces == INIT_INTERFACES_MAX);
	memset(text, 'h', sizeof(text));
	memcpy(text, "hostname=", 9);
	text[9 + 65] = '\0';
	CHECK(parse(text, 9 + 66) == -EINVAL);
}

int main(void)
{
	RUN(whole);
	RUN(image);
	RUN(addresses);
	RUN(broken);
	RUN(limits);
	UNIT_DONE();
}
