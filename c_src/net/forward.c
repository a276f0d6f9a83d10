/* SPDX-License-Identifier: Apache-2.0 */
#include "forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "net.h"

/* Until evum_switch says what it wants. */
#define INITIAL_STATIONS 16
#define INITIAL_AGEING_MS 1000

#define MAC_SIZE 6
#define MAC_MASK (((uint64_t)1 << 48) - 1)
/* IEEE 802: the lowest bit of the first byte marks a group. */
#define MAC_GROUP ((uint64_t)1 << 40)
/* IEEE 802.1Q, 8.6.3: sixteen addresses that are not passed on by bridges. */
#define MAC_RESERVED ((uint64_t)0x0180c2000000)
#define MAC_RESERVED_MASK (MAC_MASK & ~(uint64_t)0xf)

/* What is known of a frame, from its head and the cache. */
struct flow {
	struct net_port *port;
	station_key from, to;
	struct station *source, *destination; /* or NULL */
	bool anonymous; /* of no station that could be learned */
	uint16_t tci;	/* 0: the port has no VLANs */
	uint32_t hooks; /* that match */
};

static uint64_t mac_at(const uint8_t *bytes)
{
	uint64_t mac = 0;

	for (int i = 0; i < MAC_SIZE; i++)
		mac = mac << 8 | bytes[i];
	return mac;
}

int forward_init(struct forward *forward)
{
	*forward = (struct forward){.relay = true};
	forward->doubts = calloc(FORWARD_DOUBTS, sizeof(*forward->doubts));
	if (!forward->doubts)
		return -ENOMEM;
	return stations_init(&forward->stations, INITIAL_STATIONS,
			     INITIAL_AGEING_MS);
}

static void forget_floods(struct forward *forward)
{
	for (int i = 0; i < VLANS; i++) {
		free(forward->floods[i]);
		forward->floods[i] = NULL;
	}
}

void forward_free(struct forward *forward)
{
	forget_floods(forward);
	stations_free(&forward->stations);
	hooks_free(&forward->hooks);
	free(forward->doubts);
}

int forward_configure(struct forward *forward, bool relay, uint32_t stations,
		      uint32_t ageing_ms)
{
	int err = stations_init(&forward->stations, stations, ageing_ms);

	if (err)
		return err;
	forget_floods(forward);
	forward->relay = relay;
	return 0;
}

void forward_flush(struct forward *forward)
{
	stations_flush(&forward->stations);
	forget_floods(forward);
}

void forward_port_up(struct forward *forward)
{
	forward->ups++;
	forget_floods(forward);
}

bool forward_is_waiting(const struct forward *forward,
			const struct net_port *port)
{
	return port->last_up > forward->answered;
}

static uint64_t *doubt(struct forward *forward, station_key key)
{
	return &forward->doubts[stations_hash(&forward->stations, key) %
				FORWARD_DOUBTS];
}

static uint64_t *sender(struct forward *forward, struct net_port *port,
			station_key key)
{
	/* Of all its VLANs; and the table's slots use the low bits. */
	return &port->senders[stations_hash(&forward->stations,
					    key & MAC_MASK) >>
				      24 &
			      (FORWARD_SENDERS - 1)];
}

/*
 * The VLAN that it is of, where its port has such. False where that is none of
 * the port's, or where the port has gone.
 */
__attribute__((noinline)) static bool
classify(struct net *net, struct flow *flow, const struct frame *frame)
{
	struct net_port *port = flow->port;
	bool has_tag;

	if (!vlan_admit(&port->policy->vlans, frame, &flow->tci, &has_tag)) {
		port->counters[NETPORT_RX_VLAN]++;
		return false;
	}
	net_begin_forms(net, frame, flow->tci, has_tag);
	return port->id;
}

/* As it goes up, and hooks look at it. */
static const struct frame *without_tag(struct net *net, const struct flow *flow,
				       const struct frame *frame)
{
	return flow->tci ? vlan_form(net->forms, false) : frame;
}

static void look_up(struct net *net, struct flow *flow,
		    const struct frame *frame)
{
	struct stations *stations = &net->forward.stations;
	uint32_t now = (uint32_t)net->loop.now_ms;
	uint64_t to = mac_at(frame->bytes);
	uint64_t from = mac_at(frame->bytes + MAC_SIZE);
	station_key vlan = flow->tci & VLAN_ID;

	flow->from = vlan << 48 | from;
	flow->to = vlan << 48 | to;
	flow->anonymous = !from || from & MAC_GROUP;
	flow->source = flow->destination = NULL;
	if (!flow->anonymous)
		flow->source = stations_find(stations, flow->from, now);
	if (!(to & MAC_GROUP))
		flow->destination = stations_find(stations, flow->to, now);
}

static bool source_is_known(const struct flow *flow)
{
	return flow->anonymous ||
	       (flow->source && flow->source->port == flow->port->id);
}

/* Send it up, and remember that it is on its way. */
static void go_up(struct net *net, const struct flow *flow,
		  const struct frame *frame)
{
	struct forward *forward = &net->forward;
	struct frames_up up = {.port = flow->port->id,
			       .vlan = flow->tci,
			       .age = UP_NO_AGE,
			       .hooks = flow->hooks};
	bool news = !source_is_known(flow);

	if (!news)
		up.flags = UP_SOURCE_KNOWN;
	if (flow->destination && flow->destination->port != STATION_UNKNOWN)
		up.age = (uint32_t)net->loop.now_ms - flow->destination->seen;
	net_frame_up(net, &up, without_tag(net, flow, frame));
	flow->port->last_up = forward->sent;
	*sender(forward, flow->port, flow->from) = forward->sent;
	if (news) {
		*doubt(forward, flow->from) = forward->sent;
		stations_forget(&forward->stations, flow->from);
	}
}

/* For observers. They get none where there is no credit. */
static void copy_up(struct net *net, const struct flow *flow,
		    const struct frame *frame, bool may_go_up)
{
	struct frames_up up = {.port = flow->port->id,
			       .vlan = flow->tci,
			       .flags = UP_COPY,
			       .hooks = flow->hooks};

	if (may_go_up)
		net_frame_up(net, &up, without_tag(net, flow, frame));
	else
		net_count(net, NET_COPIES_MISSED);
}

static bool storm_has_room(const struct net *net, struct net_port *port)
{
	return storm_admits(&port->storm, net->forward.storm_limit,
			    net->loop.now_ms);
}

bool forward_may_flood(struct net *net, struct net_port *port)
{
	if (!net->forward.storm_limit)
		return true;
	if (!storm_has_room(net, port)) {
		port->counters[NETPORT_RX_STORM]++;
		return false;
	}
	storm_count(&port->storm);
	return true;
}

/* May a frame to a group go on? It is not counted yet: it may have to wait. */
static bool group_is_admitted(const struct net *net, const struct flow *flow)
{
	enum netport_counter reason;

	if (net->forward.no_reserved &&
	    (flow->to & MAC_RESERVED_MASK) == MAC_RESERVED)
		reason = NETPORT_RX_RESERVED;
	else if (net->forward.storm_limit && !storm_has_room(net, flow->port))
		reason = NETPORT_RX_STORM;
	else
		return true;
	flow->port->counters[reason]++;
	return false;
}

static bool may_pass(const struct net_port *in, const struct net_port *out)
{
	return !(in->isolated && out->isolated) &&
	       !(in->blocked && block_has(in->blocked, out->id));
}

static void send_to(struct net *net, const struct flow *flow,
		    struct net_port *out, const struct frame *frame)
{
	if (flow->tci)
		policy_send(out, net->forms);
	else
		netport_send(out, frame);
}

static void send_flood(struct net *net, const struct flow *flow,
		       const struct flood *flood, const struct frame *frame)
{
	for (uint32_t i = 0; i < flood->n; i++) {
		struct net_port *out;

		if (flood->ports[i] == flow->port->id)
			continue;
		out = net_port_by_id(net, flood->ports[i]);
		if (out && may_pass(flow->port, out))
			send_to(net, flow, out, frame);
	}
}

static void send_one(struct net *net, const struct flow *flow,
		     struct net_port *out, const struct frame *frame)
{
	if (may_pass(flow->port, out))
		send_to(net, flow, out, frame);
	else
		flow->port->counters[NETPORT_RX_ISOLATED]++;
}

/* The cached decision: which flood or port it is for; false without one. */
static bool decided(struct net *net, const struct flow *flow,
		    const struct flood **flood, struct net_port **out)
{
	*flood = NULL;
	*out = NULL;
	if (flow->to & MAC_GROUP ||
	    (flow->destination && flow->destination->port == STATION_UNKNOWN)) {
		*flood = net->forward.floods[flow->tci & VLAN_ID];
		return *flood;
	}
	if (flow->destination)
		*out = net_port_by_id(net, flow->destination->port);
	return *out;
}

enum forward_verdict forward_frame(struct net *net, struct net_port *port,
				   const struct frame *frame, bool may_go_up)
{
	struct forward *forward = &net->forward;
	struct flow flow = {.port = port};
	const struct flood *flood;
	struct net_port *out;

	if (policy_has_vlans(port->policy) && !classify(net, &flow, frame))
		return FORWARD_TAKEN;
	look_up(net, &flow, frame);
	if (flow.to & MAC_GROUP && !group_is_admitted(net, &flow))
		return FORWARD_TAKEN;
	if (forward->hooks.used)
		flow.hooks = hooks_match(&forward->hooks, port->id,
					 without_tag(net, &flow, frame));
	port->missed = forward->relay || !source_is_known(&flow) ||
		       !decided(net, &flow, &flood, &out);
	if (!port->missed && flow.hooks) {
		flow.hooks = hooks_match_out(&forward->hooks, flow.hooks,
					     port->id, out ? out->id : 0);
		port->missed = flow.hooks & ~forward->hooks.observers;
	}
	if (port->missed) {
		port->wait_for = 0;
		if (!may_go_up)
			return FORWARD_WAIT;
		if (flow.to & MAC_GROUP && forward->storm_limit)
			storm_count(&port->storm);
		go_up(net, &flow, frame);
		return FORWARD_TAKEN;
	}
	if (forward_is_waiting(forward, port)) {
		port->wait_for = *sender(forward, port, flow.from);
		if (port->wait_for > forward->answered)
			return FORWARD_WAIT;
	}
	if (flow.source)
		flow.source->seen = (uint32_t)net->loop.now_ms;
	if (flood && forward->storm_limit && !forward_may_flood(net, port))
		return FORWARD_TAKEN;
	if (flow.hooks)
		copy_up(net, &flow, frame, may_go_up);
	if (flood)
		send_flood(net, &flow, flood, frame);
	else if (out != port)
		send_one(net, &flow, out, frame);
	return FORWARD_TAKEN;
}

static void put_station(struct net *net, const struct frames_down *down)
{
	struct forward *forward = &net->forward;
	uint32_t seen = down->seen;
	struct station *known;

	if (!down->station ||
	    *doubt(forward, down->station) > forward->answering)
		return;
	known = stations_find(&forward->stations, down->station,
			      (uint32_t)net->loop.now_ms);
	/* Seen here meanwhile, which evum_switch cannot know yet. */
	if (known && known->port == down->port &&
	    (int32_t)(known->seen - seen) > 0)
		seen = known->seen;
	stations_put(&forward->stations, down->station, down->port, seen,
		     down->flags & DOWN_STATIC);
}

static void put_flood(struct forward *forward, const struct frames_down *down)
{
	struct flood *flood;

	if (down->vlan >= VLANS || down->ups != forward->ups)
		return;
	flood = malloc(sizeof(*flood) + down->n_ports * sizeof(uint32_t));
	if (!flood)
		return;
	flood->n = down->n_ports;
	for (uint32_t i = 0; i < down->n_ports; i++)
		flood->ports[i] = frames_port(down, i);
	free(forward->floods[down->vlan]);
	forward->floods[down->vlan] = flood;
}

void forward_record(struct net *net, const struct frames_down *down)
{
	switch (down->op) {
	case DOWN_STATION:
		put_station(net, down);
		break;
	case DOWN_FORGET:
		stations_forget(&net->forward.stations, down->station);
		break;
	case DOWN_FLOOD:
		put_flood(&net->forward, down);
		break;
	case DOWN_ANSWERS:
		net->forward.answering += down->bytes;
		port_grant(&net->beam, down->bytes);
		break;
	default:
		break;
	}
}
