/* SPDX-License-Identifier: Apache-2.0 */
#include "bridges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "net.h"
#include "port_pcap.h"
#include "port_tap.h"
#include "port_vxlan.h"
#include "vxlan.h"

int bridges_tap(struct net *net, uint64_t id, struct term_reader *r,
		ei_x_buff *x)
{
	struct tap_config config = {.mtu = 0};
	uint32_t port = 0;
	char *name;

	(void)id;
	term_tuple(r);
	name = term_binary(r, NULL);
	config.mtu = (uint32_t)term_u64(r);
	if (!r->err) {
		const char *step;
		int err;

		config.name = name;
		err = tap_open(net, &config, &port, &step);
		net_put_port(x, step, err, port);
	}
	free(name);
	return r->err;
}

int bridges_pcap(struct net *net, uint64_t id, struct term_reader *r,
		 ei_x_buff *x)
{
	struct wire_config config = {.name = NULL};
	char *name, *filter, *text = NULL;
	uint32_t port = 0;

	(void)id;
	term_tuple(r);
	name = term_binary(r, NULL);
	filter = term_binary(r, NULL);
	if (!r->err) {
		const char *step;
		int err;

		config.name = name;
		config.filter = filter;
		err = wire_open(net, &config, &port, &step, &text);
		if (text)
			filter_put_error(x, text);
		else
			net_put_port(x, step, err, port);
	}
	free(text);
	free(filter);
	free(name);
	return r->err;
}

static int read_remotes(struct vxlan_config *config, struct term_reader *r)
{
	int n = term_list(r), err = 0;

	if (r->err || n < 1 || n > (int)REMOTES_MAX)
		return r->err = -EBADMSG;
	config->n_remotes = (uint32_t)n;
	for (int i = 0; i < n && !err && !r->err; i++) {
		err = address_decode(&config->remotes[i], r);
		if (!err && config->remotes[i].any.sa_family !=
				    config->local.any.sa_family)
			err = -EAFNOSUPPORT;
	}
	term_list_end(r);
	return err;
}

int bridges_vxlan(struct net *net, uint64_t id, struct term_reader *r,
		  ei_x_buff *x)
{
	struct vxlan_config config = {.n_remotes = 0};
	uint32_t port = 0;
	int err, err_remotes;

	(void)id;
	term_tuple(r);
	config.vni = (uint32_t)term_u64(r);
	err = address_decode(&config.local, r);
	err_remotes = read_remotes(&config, r);
	if (r->err || config.vni > VXLAN_VNI_MAX)
		return -EBADMSG;
	err = err ? err : err_remotes;
	if (!err)
		err = vxlan_open(net, &config, &port);
	net_put_port(x, "local", err, port);
	return 0;
}
