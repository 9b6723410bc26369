/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Most packets in a straight line (ADR 0022): TCP and UDP of IPv4 without tags, options or fragments, which the guard
 * does not know and of which nothing has to be remembered or told. It says what judge.h would say, or HR_NONE: judge.h
 * looks closer.
 */
#ifndef HR_PLAIN_H
#define HR_PLAIN_H

/* The type of the frame, version and header length: IPv4 with a header of five words. */
#define HR_PLAIN_IP4 bpf_htonl(HR_ETH_IP4 << 16 | 0x4500)
#define HR_PLAIN_IP4_MASK bpf_htonl(0xffffff00)
/* In the third word of the header: an offset, or more to follow. */
#define HR_PLAIN_FRAGMENT bpf_htonl(0x3fff0000)
/* An IPv4 and a TCP header: shorter packets are looked at closer. */
#define HR_PLAIN_BYTES_MIN 40

/* What must be kept, told or charged is for judge.h. */
#define HR_FLAGS_NOT_PLAIN (HR_FLAG_LOG | HR_FLAG_KEEP | HR_FLAG_LIMIT | HR_FLAG_TRIAL_LIMIT)

/* The addresses and the protocol of a plain packet that is not cut short. Words are read whole, for every look counts.
 */
static __always_inline bool hr_plain_addresses(struct hr_packet *p, const struct hr_frame *f) {
    struct iphdr *ip = f->data + sizeof(struct ethhdr);
    u32 fragment_ttl_protocol;

    if ((void *)(ip + 1) + sizeof(struct tcphdr) > f->end || f->vid ||
        (*(u32 *)((void *)ip - 2) & HR_PLAIN_IP4_MASK) != HR_PLAIN_IP4)
        return false;
    fragment_ttl_protocol = *(u32 *)((void *)ip + offsetof(struct iphdr, frag_off));
    if (fragment_ttl_protocol & HR_PLAIN_FRAGMENT)
        return false;
    p->protocol = bpf_ntohl(fragment_ttl_protocol);
    p->src_lo = HR_MAPPED | bpf_ntohl(ip->saddr);
    p->dst_lo = HR_MAPPED | bpf_ntohl(ip->daddr);
    return true;
}

/* A port. The barrier keeps the compiler from leaving out the cut: Linux 6.1 does not know that what was swapped is
 * small. */
static __always_inline u16 hr_plain_port(u16 port) {
    u32 swapped = bpf_ntohs(port);

    barrier_var(swapped);
    return swapped;
}

/* The ports lie in the same place in both. Read when they are asked for, or they would be in the way of the rest. */
static __always_inline void hr_plain_ports(struct hr_packet *p, const struct hr_frame *f) {
    const struct udphdr *udp = f->data + sizeof(struct ethhdr) + sizeof(struct iphdr);

    p->sport = hr_plain_port(udp->source);
    p->dport = hr_plain_port(udp->dest);
}

/* Whether a datagram is as long as it says, and does not come from or go to where joiners call. */
static __always_inline bool hr_plain_udp(struct hr_packet *p, const struct hr_frame *f, const struct udphdr *udp) {
    const struct hr_gate *gate = HR_VALUE(HR_GATE);
    u32 length = bpf_ntohs(udp->len);

    if (length && (length < sizeof(*udp) || length > p->payload))
        return false;
    hr_plain_ports(p, f);
    return p->sport != gate->join_port && p->dport != gate->join_port;
}

/* Whether every header is as it should be, and neither the guard nor anti-spoofing can have a say. Fills what the
 * others here read. */
static __always_inline bool hr_parse_plain(struct hr_packet *p, const struct hr_frame *f) {
    struct iphdr *ip = f->data + sizeof(struct ethhdr);
    struct tcphdr *tcp = (void *)(ip + 1);
    u32 total;

    if (!hr_plain_addresses(p, f))
        return false;
    total = bpf_ntohs(ip->tot_len);
    if (total < HR_PLAIN_BYTES_MIN || sizeof(struct ethhdr) + total > (u64)(f->end - f->data) ||
        hr_far_known(HR_VALUE(HR_GATE), p, f->hook))
        return false;
    p->payload = total - sizeof(*ip);
    if (p->protocol != HR_TCP)
        return p->protocol == HR_UDP && hr_plain_udp(p, f, (void *)tcp);
    hr_judge_tcp(p, tcp);
    return !p->problem;
}

/* Whether the guard has nothing to say, which it knows of TCP by its addresses alone. */
static __always_inline bool hr_plainly_unguarded(const struct hr_frame *f) {
    struct hr_packet p = {};

    return hr_plain_addresses(&p, f) && p.protocol == HR_TCP && !hr_far_known(HR_VALUE(HR_GATE), &p, f->hook);
}

/* Whether an allowed packet leaves nothing to remember. */
static __always_inline bool hr_plainly_allowed(const struct hr_frame *f, const struct hr_packet *p) {
    return f->hook == HR_INGRESS || (p->protocol == HR_TCP && !hr_bare_syn(p));
}

/* HR_REPLY: leaving as the answer to an allowed inbound flow; hr_by_reverse without what is known here. */
static __always_inline u32 hr_plainly_replied(const struct hr_half *half, const struct hr_ends *ends,
                                              const struct hr_packet *p, struct hr_found *found) {
    struct hr_found reversed = {};

    hr_classify_ends(half, ends, true, hr_port_at(half, p, true), &reversed);
    if (!hr_allows(&reversed) || !hr_may_reply(p, &reversed))
        return HR_NONE;
    found->in.rule = reversed.in.rule;
    found->out.rule = reversed.out.rule;
    return HR_REPLY;
}

/* HR_ESTABLISHED: the answer in a flow that this generation allowed. */
static __always_inline u32 hr_plainly_established(const struct hr_frame *f, u32 generation, const struct hr_packet *p,
                                                  struct hr_flow *flow, struct hr_found *found) {
    u32 tick = hr_tick();

    if (flow->generation != generation || flow->mute || flow->opener_is_b == hr_source_is_b(p) ||
        !hr_alive(flow, p, tick))
        return HR_NONE;
    found->in.rule = flow->in_rule;
    found->out.rule = flow->out_rule;
    if (!f->probe)
        hr_note(flow, p, true, tick);
    return HR_ESTABLISHED;
}

/* What state says of a refused packet that opens no connection. HR_DENIED: nothing. */
static __always_inline u32 hr_plainly_known(const struct hr_frame *f, u32 generation, const struct hr_half *half,
                                            const struct hr_ends *ends, const struct hr_packet *p,
                                            struct hr_found *found) {
    struct hr_flow4_key key = {};
    struct hr_flow *flow;

    if (f->hook == HR_EGRESS && hr_plainly_replied(half, ends, p, found))
        return HR_REPLY;
    hr_key4(&key, p, hr_source_is_b(p));
    flow = bpf_map_lookup_elem(&hr_flows4, &key);
    if (flow)
        return hr_plainly_established(f, generation, p, flow, found);
    return hr_may_pick_up(p, f->hook) ? HR_NONE : HR_DENIED;
}

/* The reason of a packet that is classified. HR_NONE: look closer, also where an event has to be told. */
static __always_inline u32 hr_plain_reason(const struct hr_frame *f, u32 generation, const struct hr_half *half,
                                           const struct hr_ends *ends, const struct hr_packet *p, struct hr_cpu *cpu,
                                           struct hr_found *found) {
    u32 reason = HR_DENIED;

    if (hr_allows(found))
        return hr_allows_trial(found) && hr_plainly_allowed(f, p) ? HR_ALLOWED : HR_NONE;
    if (!hr_bare_syn(p))
        reason = hr_plainly_known(f, generation, half, ends, p, found);
    if (reason == HR_DENIED && !f->probe && !hr_told_enough(cpu))
        return HR_NONE;
    return reason;
}

/* The reason; HR_NONE: look closer. Otherwise `found` says what has decided, and `cpu` is the number of this one. */
static __always_inline u32 hr_judge_plain(const struct hr_frame *f, u32 generation, struct hr_found *found, u32 *cpu) {
    struct hr_half half = hr_half_of(generation);
    struct hr_packet p = {};
    struct hr_ends ends;

    if (!generation || !hr_parse_plain(&p, f))
        return HR_NONE;
    ends = hr_ends_of(&half, &p);
    hr_plain_ports(&p, f);
    hr_classify_ends(&half, &ends, false, hr_port_at(&half, &p, false), found);
    if (hr_either(found, HR_FLAGS_NOT_PLAIN))
        return HR_NONE;
    *cpu = bpf_get_smp_processor_id();
    return hr_plain_reason(f, generation, &half, &ends, &p, hr_cpu_of(*cpu), found);
}

#endif
