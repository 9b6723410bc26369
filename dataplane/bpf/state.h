/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * State is asked last, and only for a packet that classification refuses (or lets pass only because a policy observes).
 * What arrives makes no entry but for rules that keep their flows (ADR 0016), and for flows that a limit counts, as
 * many as it admits; so a flood cannot fill the table.
 */
#ifndef HR_STATE_H
#define HR_STATE_H

/* What the state functions need to know of the packet's way. */
struct hr_way {
    u32 generation;
    u8 hook;
    u8 probe;    /* make and change nothing */
    u8 observed; /* classification allows, but a policy in observe mode would not */
    u8 begins;   /* a connection or flow that a limit counts */
    u8 fresh;    /* the first packet of a flow that is remembered because a limit counts it */
    u8 over;     /* of this flow: a limit that only observes has had no room for it */
};

/* A packet, its way and what is found of it: what judge.h has on the stack. */
struct hr_case {
    struct hr_packet p;
    struct hr_way way;
    struct hr_found found;
};

static __always_inline u32 hr_tick(void) {
    return bpf_jiffies64() >> HR_TICK_SHIFT;
}

/* Port words of a flow's key; those of ICMP are its identifier. */
static __always_inline u16 hr_key_port(const struct hr_packet *p, u16 port) {
    return p->protocol == HR_ICMP || p->protocol == HR_ICMP6 ? p->echo_id : port;
}

static __always_inline u32 hr_key_protocol(const struct hr_packet *p) {
    return (u32)p->question << 8 | p->protocol;
}

/* Whether the source is the b of the canonical order. */
static __always_inline bool hr_source_is_b(const struct hr_packet *p) {
    if (p->src_hi != p->dst_hi)
        return p->src_hi > p->dst_hi;
    if (p->src_lo != p->dst_lo)
        return p->src_lo > p->dst_lo;
    return p->sport > p->dport;
}

static __always_inline void hr_key4(struct hr_flow4_key *key, const struct hr_packet *p, bool b) {
    u16 sport = hr_key_port(p, p->sport), dport = hr_key_port(p, p->dport);

    key->a = b ? p->dst_lo : p->src_lo;
    key->b = b ? p->src_lo : p->dst_lo;
    key->a_port = b ? dport : sport;
    key->b_port = b ? sport : dport;
    key->protocol = hr_key_protocol(p);
}

static __always_inline void hr_key6(struct hr_flow6_key *key, const struct hr_packet *p, bool b) {
    u16 sport = hr_key_port(p, p->sport), dport = hr_key_port(p, p->dport);

    key->a_hi = b ? p->dst_hi : p->src_hi;
    key->a_lo = b ? p->dst_lo : p->src_lo;
    key->b_hi = b ? p->src_hi : p->dst_hi;
    key->b_lo = b ? p->src_lo : p->dst_lo;
    key->a_port = b ? dport : sport;
    key->b_port = b ? sport : dport;
    key->protocol = hr_key_protocol(p);
}

static __noinline struct hr_flow *hr_flow_find(const struct hr_packet *p) {
    bool b = hr_source_is_b(p);

    if (p->v6) {
        struct hr_flow6_key key = {};

        hr_key6(&key, p, b);
        return bpf_map_lookup_elem(&hr_flows6, &key);
    } else {
        struct hr_flow4_key key = {};

        hr_key4(&key, p, b);
        return bpf_map_lookup_elem(&hr_flows4, &key);
    }
}

/* Stores an entry, or with NULL removes it. */
static __noinline int hr_flow_store(const struct hr_packet *p, const struct hr_flow *flow) {
    bool b = hr_source_is_b(p);

    if (p->v6) {
        struct hr_flow6_key key = {};

        hr_key6(&key, p, b);
        return flow ? bpf_map_update_elem(&hr_flows6, &key, flow, BPF_ANY) : bpf_map_delete_elem(&hr_flows6, &key);
    } else {
        struct hr_flow4_key key = {};

        hr_key4(&key, p, b);
        return flow ? bpf_map_update_elem(&hr_flows4, &key, flow, BPF_ANY) : bpf_map_delete_elem(&hr_flows4, &key);
    }
}

/* Whether what was seen at that tick is not older than so many ticks. Another processor may have seen it later than
 * this one has read the clock. */
static __always_inline bool hr_recent(u32 seen, u32 tick, u32 limit) {
    return (__s32)(tick - seen) <= (__s32)limit;
}

static __always_inline bool hr_alive(const struct hr_flow *flow, const struct hr_packet *p, u32 tick) {
    const struct hr_timeouts *t = HR_VALUE(HR_TIMEOUTS);
    u32 limit;

    if (p->protocol == HR_TCP)
        limit = flow->closing ? t->tcp_closing : flow->answered ? t->tcp : t->tcp_opening;
    else if (p->protocol == HR_UDP)
        limit = flow->answered ? t->udp : t->udp_opening;
    else
        limit = t->other;
    return hr_recent(flow->seen, tick, limit);
}

/* From the port of a service to one of a client, as Linux gives them. */
static __always_inline bool hr_to_client(const struct hr_packet *p) {
    return p->sport < HR_EPHEMERAL_PORT_FIRST && p->dport >= HR_EPHEMERAL_PORT_FIRST;
}

/* Whether a refused packet passes in mid-flow if its reversed tuple may (5c). Only what looks like the answer to a
 * connection that was opened from here: what comes to a service has to be allowed itself, or a policy that says who
 * comes in, and nothing of what goes out, would not end what it refuses (G19, ADR 0021). */
static __always_inline bool hr_may_pick_up(const struct hr_packet *p, u8 hook) {
    const struct hr_timeouts *t = HR_VALUE(HR_TIMEOUTS);

    return hook == HR_INGRESS && p->protocol == HR_TCP && !(p->flags & HR_TCP_SYN) && hr_to_client(p) && t->pickup;
}

/* Whether a refused packet leaves as the answer to what the reversed tuple allows (5a). A service that no rule speaks
 * of, and that only the default action allows, answers from the port of a service: what leaves from the port of a
 * client, or has no ports, would be something that is opened from here (ADR 0021). ICMP says which are answers. */
static __always_inline bool hr_may_reply(const struct hr_packet *p, const struct hr_found *reversed) {
    if (reversed->in.rule != HR_RULE_DEFAULT)
        return true;
    if (hr_has_ports(p))
        return p->sport < HR_EPHEMERAL_PORT_FIRST;
    return p->protocol == HR_ICMP || p->protocol == HR_ICMP6;
}

/* Whether it is told by its flags or its ports that it goes from a service to a client. */
static __always_inline bool hr_looks_like_answer(const struct hr_packet *p) {
    if (p->protocol == HR_TCP && p->flags & HR_TCP_SYN)
        return !hr_bare_syn(p);
    return hr_has_ports(p) && hr_to_client(p);
}

static __always_inline void hr_note(struct hr_flow *flow, const struct hr_packet *p, bool answers, u32 tick) {
    /* Stores only what changes: entries are shared by CPUs. */
    if (flow->seen != tick)
        flow->seen = tick;
    if (answers && !flow->answered)
        flow->answered = 1;
    if (p->protocol == HR_TCP && p->flags & (HR_TCP_FIN | HR_TCP_RST) && !flow->closing)
        flow->closing = 1;
}

/* G19: an entry that an older revision allowed is judged again, by its opening tuple. What decides on that now is in
 * `now`: the entry's own rules are numbers of another image. */
static __always_inline u32 hr_regenerate(const struct hr_way *way, const struct hr_packet *p, struct hr_flow *flow,
                                         bool answers, struct hr_found *now) {
    hr_classify(way->generation, p, answers, now);
    if (hr_allows(now)) {
        if (!way->probe) {
            flow->in_rule = now->in.rule;
            flow->out_rule = now->out.rule;
            flow->keep = hr_keeps(now);
            flow->generation = way->generation;
        }
        return HR_ESTABLISHED;
    }
    if (flow->keep && !hr_either(now, HR_FLAG_CUT))
        return HR_KEPT;
    return HR_TIGHTENED;
}

/* What an entry says of a refused packet; HR_NONE: there is none that speaks for it. */
__noinline u32 hr_by_entry(const struct hr_way *way, const struct hr_packet *p, struct hr_found *found) {
    u32 tick = hr_tick(), reason = HR_ESTABLISHED;
    struct hr_found now = {};
    struct hr_flow *flow;
    bool answers;

    if (!way || !p || !found)
        return HR_NONE;
    flow = hr_flow_find(p);
    if (!flow || flow->mute || !hr_alive(flow, p, tick))
        return HR_NONE;
    answers = flow->opener_is_b != hr_source_is_b(p);
    /* Of a kept flow both directions pass; otherwise an entry speaks for answers only. */
    if (answers ? !hr_can_answer(p) : !flow->keep)
        return HR_NONE;
    now.in.rule = flow->in_rule;
    now.out.rule = flow->out_rule;
    if (flow->generation != way->generation)
        reason = hr_regenerate(way, p, flow, answers, &now);
    if (reason == HR_TIGHTENED) {
        if (!way->probe)
            hr_flow_store(p, NULL);
        return reason;
    }
    if (!answers)
        reason = HR_KEPT;
    found->in.rule = now.in.rule;
    found->out.rule = now.out.rule;
    if (!way->probe)
        hr_note(flow, p, answers, tick);
    return reason;
}

static __always_inline bool hr_enough(const struct hr_way *way, const struct hr_found *found) {
    return way->observed ? hr_allows(found) && hr_allows_trial(found) : hr_allows(found);
}

/* 5a: leaving as the answer to an allowed inbound flow. 5c: picked up mid-flow. Both need no state, for the reversed
 * tuple says yes to the next packet too; only a rule that keeps its flows wants an entry. */
__noinline u32 hr_by_reverse(const struct hr_way *way, const struct hr_packet *p, struct hr_found *found) {
    struct hr_found reversed = {};

    if (!way || !p || !found)
        return HR_NONE;
    hr_classify(way->generation, p, true, &reversed);
    if (!hr_enough(way, &reversed) || (way->hook == HR_EGRESS && !hr_may_reply(p, &reversed)))
        return HR_NONE;
    found->in.rule = reversed.in.rule;
    found->out.rule = reversed.out.rule;
    if (way->hook == HR_EGRESS)
        return HR_REPLY;
    if (!way->probe && hr_keeps(&reversed)) {
        struct hr_flow flow = {
            .generation = way->generation,
            .seen = hr_tick(),
            .in_rule = reversed.in.rule,
            .out_rule = reversed.out.rule,
            .opener_is_b = !hr_source_is_b(p),
            .keep = 1,
            .answered = 1,
            .closing = !!(p->flags & (HR_TCP_FIN | HR_TCP_RST)),
        };

        hr_flow_store(p, &flow);
    }
    return HR_PICKED_UP;
}

/* The reason for which a refused packet passes after all, HR_TIGHTENED, or HR_NONE. */
static __always_inline u32 hr_ask_state(const struct hr_way *way, const struct hr_packet *p, struct hr_found *found) {
    u32 reason;

    /* What opens a connection is no part of one: a flood of it is refused without a look-up. */
    if (p->protocol == HR_TCP && hr_bare_syn(p))
        return HR_NONE;
    if (way->hook == HR_EGRESS && hr_can_answer(p)) {
        reason = hr_by_reverse(way, p, found);
        if (reason)
            return reason;
    }
    reason = hr_by_entry(way, p, found);
    if (reason)
        return reason;
    if (hr_may_pick_up(p, way->hook))
        return hr_by_reverse(way, p, found);
    return HR_NONE;
}

/* Whether a packet that classification allows opens something that an entry must remember. */
static __always_inline bool hr_opens(const struct hr_packet *p, u8 hook, bool keep) {
    if (p->frag == HR_FRAG_LATER)
        return false;
    if (p->protocol == HR_ICMP || p->protocol == HR_ICMP6)
        return p->question && !p->answer && (keep || hook == HR_EGRESS);
    if (keep)
        return p->protocol != HR_TCP || !(p->flags & HR_TCP_RST);
    return hook == HR_EGRESS && (p->protocol != HR_TCP || hr_bare_syn(p));
}

/* What an entry is for. */
enum hr_purpose {
    HR_FOR_NOTHING,
    HR_FOR_COUNTING, /* so that a limit of new connections counts the flow once: speaks for nobody */
    HR_FOR_ANSWERS,
    HR_FOR_BOTH_WAYS,
    HR_FOR_BOTH_WAYS_BACK, /* the packet is an answer in it */
};

/* Apart from hr_remember, for the stack is short. */
__noinline u32 hr_purpose_of(const struct hr_way *way, const struct hr_packet *p, const struct hr_found *found) {
    struct hr_found reversed = {};

    if (!way || !p || !found)
        return HR_FOR_NOTHING;
    hr_classify(way->generation, p, true, &reversed);
    if (hr_keeps(found)) {
        if (!hr_looks_like_answer(p))
            return HR_FOR_BOTH_WAYS;
        /* Who has opened it decides on what ends it (G19). */
        if (hr_allows(&reversed) && hr_keeps(&reversed))
            return HR_FOR_BOTH_WAYS_BACK;
        if (p->protocol == HR_TCP)
            return HR_FOR_NOTHING;
    }
    /* Otherwise what arrives never makes an entry that would let something pass. */
    if (way->hook == HR_INGRESS)
        return way->fresh ? HR_FOR_COUNTING : HR_FOR_NOTHING;
    if (!hr_allows(&reversed) || !hr_allows_trial(&reversed))
        return HR_FOR_ANSWERS;
    /* The answers pass without an entry; but those of UDP must not be taken for new flows. */
    if (way->fresh || (p->protocol != HR_TCP && hr_counts_flows(way->generation, &reversed)))
        return HR_FOR_COUNTING;
    return HR_FOR_NOTHING;
}

/* Whether an entry that is there does for this purpose. */
static __always_inline bool hr_does_for(const struct hr_flow *flow, const struct hr_packet *p, u32 purpose) {
    if (purpose == HR_FOR_COUNTING)
        return true;
    return !flow->mute && flow->keep >= (purpose >= HR_FOR_BOTH_WAYS) &&
           (flow->keep || flow->opener_is_b == hr_source_is_b(p)) && !(flow->closing && hr_bare_syn(p));
}

/* 5b and 5d: the entry of an opening packet. */
__noinline int hr_remember(const struct hr_way *way, const struct hr_packet *p, const struct hr_found *found,
                           u32 purpose) {
    bool keep = purpose >= HR_FOR_BOTH_WAYS, back = purpose == HR_FOR_BOTH_WAYS_BACK;
    u32 tick = hr_tick();
    struct hr_flow *flow;

    if (!way || !p || !found || purpose == HR_FOR_NOTHING)
        return 0;
    flow = hr_flow_find(p);
    if (flow && hr_alive(flow, p, tick) && hr_does_for(flow, p, purpose)) {
        bool answers = flow->opener_is_b != hr_source_is_b(p);

        /* An entry that lets answers pass lives by those whom it is for. */
        if (purpose == HR_FOR_COUNTING && !flow->mute)
            return 0;
        if (flow->generation != way->generation && !answers) {
            flow->generation = way->generation;
            flow->in_rule = found->in.rule;
            flow->out_rule = found->out.rule;
            flow->keep = keep;
        }
        hr_note(flow, p, answers, tick);
    } else {
        struct hr_flow fresh = {
            /* What it finds is of the packet; the next one asks for the rules of the opening tuple. */
            .generation = back ? 0 : way->generation,
            .seen = tick,
            .in_rule = found->in.rule,
            .out_rule = found->out.rule,
            .opener_is_b = hr_source_is_b(p) != back,
            .keep = keep,
            .answered = back,
            .mute = purpose == HR_FOR_COUNTING,
            .over = way->over,
        };

        hr_flow_store(p, &fresh);
    }
    return 0;
}

/* Whether it ends a connection. What answers is noted where state is asked; this is of the opener. */
static __always_inline bool hr_ends(const struct hr_packet *p) {
    return p->protocol == HR_TCP && p->flags & (HR_TCP_FIN | HR_TCP_RST);
}

/* Notes the end of a connection that is remembered. */
__noinline int hr_note_end(const struct hr_packet *p) {
    u32 tick = hr_tick();
    struct hr_flow *flow;

    if (!p)
        return 0;
    flow = hr_flow_find(p);
    if (flow && hr_alive(flow, p, tick))
        hr_note(flow, p, false, tick);
    return 0;
}

#endif
