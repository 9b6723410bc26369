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

/* What must be kept, told or charged is for judge.h. */
#define HR_FLAGS_NOT_PLAIN (HR_FLAG_LOG | HR_FLAG_KEEP | HR_FLAG_LIMIT | HR_FLAG_TRIAL_LIMIT)

static __always_inline const struct iphdr *hr_plain_ip(const struct hr_frame *f) {
    return f->data + sizeof(struct ethhdr);
}

/* Behind a header of five words: TCP or UDP, whose ports lie in the same place. */
static __always_inline const void *hr_plain_transport(const struct hr_frame *f) {
    return hr_plain_ip(f) + 1;
}

/* Read when they are asked for: a look costs less than a place on the stack in between. */
static __always_inline u8 hr_plain_protocol(const struct hr_frame *f) {
    return *(const volatile u8 *)&hr_plain_ip(f)->protocol;
}

static __always_inline u8 hr_plain_flags(const struct hr_frame *f) {
    return ((const volatile u8 *)hr_plain_transport(f))[13];
}

/* Whether it is IPv4 without tags in it or options, and long enough for the headers. Words are read whole, for every
 * look counts. */
static __always_inline bool hr_plain_frame(const struct hr_frame *f) {
    const void *ip = hr_plain_ip(f);

    return hr_plain_transport(f) + sizeof(struct tcphdr) <= f->end &&
           (*(const u32 *)(ip - 2) & HR_PLAIN_IP4_MASK) == HR_PLAIN_IP4;
}

/* The protocol of what is no fragment, as bpf_htonl gives it; fragments have another number. */
static __always_inline u32 hr_plain_whole(const struct hr_frame *f) {
    const void *ip = hr_plain_ip(f);

    return *(const u32 *)(ip + offsetof(struct iphdr, frag_off)) & bpf_htonl(0x3fff00ff);
}

/* Whether the far end may be one of which the guard or anti-spoofing knows. */
static __always_inline bool hr_plain_far_known(const struct hr_frame *f) {
    const struct hr_gate *gate = HR_VALUE(HR_GATE);
    const struct iphdr *ip = hr_plain_ip(f);

    return *(u8 *)HR_BEHIND(gate->far, hr_far_byte(f->hook == HR_INGRESS ? ip->saddr : ip->daddr));
}

/* Whether the header is as it should be; `total`: bytes of the packet. */
static __always_inline bool hr_plain_tcp(const struct tcphdr *tcp, u32 total) {
    u32 header = tcp->doff * 4;

    return header >= sizeof(*tcp) && sizeof(struct iphdr) + header <= total && hr_sound_flags(((const u8 *)tcp)[13]);
}

/* Whether a datagram is as long as it says, and does not come from or go to where joiners call. */
static __always_inline bool hr_plain_udp(const struct udphdr *udp, u32 total) {
    const struct hr_gate *gate = HR_VALUE(HR_GATE);
    u32 length = bpf_ntohs(udp->len);

    if (length < sizeof(*udp) || sizeof(struct iphdr) + length > total)
        return false;
    return hr_wire_port(&udp->source) != gate->join_port && hr_wire_port(&udp->dest) != gate->join_port;
}

/* Whether every header is as it should be, and neither the guard nor anti-spoofing can have a say. */
static __always_inline bool hr_plain(const struct hr_frame *f) {
    u32 total, whole;

    if (HR_UNLIKELY(!hr_plain_frame(f)))
        return false;
    total = bpf_ntohs(hr_plain_ip(f)->tot_len);
    if (HR_UNLIKELY(sizeof(struct ethhdr) + total > (u64)(f->end - f->data) || hr_plain_far_known(f)))
        return false;
    whole = hr_plain_whole(f);
    if (HR_LIKELY(whole == bpf_htonl(HR_TCP)))
        return hr_plain_tcp(hr_plain_transport(f), total);
    return whole == bpf_htonl(HR_UDP) && hr_plain_udp(hr_plain_transport(f), total);
}

/* Whether the guard has nothing to say, which it knows of TCP by its addresses alone. */
static __always_inline bool hr_plainly_unguarded(const struct hr_frame *f) {
    return hr_plain_frame(f) && hr_plain_whole(f) == bpf_htonl(HR_TCP) && !hr_plain_far_known(f);
}

static __always_inline bool hr_plainly_opens(const struct hr_frame *f) {
    return hr_plain_protocol(f) == HR_TCP && (hr_plain_flags(f) & (HR_TCP_SYN | HR_TCP_ACK)) == HR_TCP_SYN;
}

/* Of TCP. */
static __always_inline bool hr_plainly_ends(const struct hr_frame *f) {
    return hr_plain_flags(f) & (HR_TCP_FIN | HR_TCP_RST);
}

static __always_inline struct hr_ends hr_plain_ends(const struct hr_frame *f, const struct hr_half *half) {
    const struct iphdr *ip = hr_plain_ip(f);

    return hr_ends_of_classes(half, hr_class4_wire(half, &ip->saddr), hr_class4_wire(half, &ip->daddr));
}

/* Classifies a packet between these ends, or one that goes the other way. */
static __always_inline void hr_plainly_classify(const struct hr_frame *f, const struct hr_half *half,
                                                const struct hr_ends *ends, bool reversed, struct hr_found *found) {
    const struct udphdr *udp = hr_plain_transport(f);
    struct hr_port port = {
        .wire = reversed ? &udp->source : &udp->dest,
        .protocol = &hr_plain_ip(f)->protocol,
    };

    hr_classify_ends(half, ends, reversed, &port, found);
}

/* What state asks of a packet. */
static __always_inline void hr_plain_packet(struct hr_packet *p, const struct hr_frame *f) {
    const struct udphdr *udp = hr_plain_transport(f);

    p->src_lo = bpf_ntohl(hr_plain_ip(f)->saddr);
    p->dst_lo = bpf_ntohl(hr_plain_ip(f)->daddr);
    p->protocol = hr_plain_protocol(f);
    p->flags = hr_plain_flags(f);
    p->sport = hr_wire_port(&udp->source);
    p->dport = hr_wire_port(&udp->dest);
}

/* HR_REPLY: leaving as the answer to an allowed inbound flow; hr_by_reverse without what is known here. */
static __always_inline u32 hr_plainly_replied(const struct hr_frame *f, const struct hr_half *half,
                                              const struct hr_ends *ends, const struct hr_packet *p,
                                              struct hr_found *found) {
    struct hr_found reversed = {};

    hr_plainly_classify(f, half, ends, true, &reversed);
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
                                            const struct hr_ends *ends, struct hr_found *found) {
    struct hr_flow4_key key = {};
    struct hr_packet p = {};
    struct hr_flow *flow;

    hr_plain_packet(&p, f);
    if (f->hook == HR_EGRESS && hr_plainly_replied(f, half, ends, &p, found))
        return HR_REPLY;
    hr_key4(&key, &p, hr_source_is_b(&p));
    flow = bpf_map_lookup_elem(&hr_flows4, &key);
    if (flow)
        return hr_plainly_established(f, generation, &p, flow, found);
    return hr_may_pick_up(&p, f->hook) ? HR_NONE : HR_DENIED;
}

/* Whether it passes and leaves nothing to remember. */
static __always_inline bool hr_plainly_allowed(const struct hr_frame *f, const struct hr_found *found) {
    return hr_allows(found) && hr_allows_trial(found) && !hr_either(found, HR_FLAGS_NOT_PLAIN) &&
           (f->hook == HR_INGRESS || (hr_plain_protocol(f) == HR_TCP && !hr_plainly_opens(f) && !hr_plainly_ends(f)));
}

/* What is found of a packet that is plain, and needs a reason. */
struct hr_plain {
    struct hr_half half;
    struct hr_ends ends;
    struct hr_found found;
};

/* Classifies; false: look closer. `live`: as of hr_live_word. */
static __always_inline bool hr_plainly_found(const struct hr_frame *f, __s64 live, struct hr_plain *plain) {
    u32 generation = live;

    if (HR_UNLIKELY(live <= 0 || !hr_plain(f)))
        return false;
    plain->half = hr_half_of(generation);
    plain->ends = hr_plain_ends(f, &plain->half);
    hr_plainly_classify(f, &plain->half, &plain->ends, false, &plain->found);
    return true;
}

/* Whether it opens a connection and is refused: nothing is kept, charged or known of it. */
static __always_inline bool hr_plainly_refused(const struct hr_frame *f, const struct hr_found *found) {
    return !hr_allows(found) && hr_plainly_opens(f);
}

/* The reason of what is neither allowed nor refused so simply; HR_NONE: look closer. Otherwise `found` says what has
 * decided. */
static __always_inline u32 hr_plainly_answered(const struct hr_frame *f, u32 generation, struct hr_plain *plain) {
    struct hr_found *found = &plain->found;

    if (hr_allows(found) || hr_either(found, HR_FLAGS_NOT_PLAIN))
        return HR_NONE;
    return hr_plainly_known(f, generation, &plain->half, &plain->ends, found);
}

/* Counts and returns the reason; HR_NONE: an event has to be told of what is refused. */
static __always_inline u32 hr_plainly_count(struct hr_frame *f, u32 generation, const struct hr_found *found,
                                            const u32 reason, const bool xdp) {
    u32 number = bpf_get_smp_processor_id();
    struct hr_cpu *cpu = hr_cpu_of(number);

    if (reason == HR_DENIED && HR_UNLIKELY(cpu->may_tell))
        return HR_NONE;
    hr_size(f, xdp);
    hr_count_rules(f, number, generation & 1, found);
    hr_count_reason(f, cpu, reason == HR_DENIED ? HR_UNTOLD : reason);
    return reason;
}

/* Judges and counts; HR_NONE: look closer. Floods and most of what passes end here early: their reason is known where
 * it is counted. */
static __always_inline u32 hr_plainly_judge(struct hr_frame *f, __s64 live, const bool xdp) {
    struct hr_plain plain = {};
    u32 reason;

    if (HR_UNLIKELY(!hr_plainly_found(f, live, &plain)))
        return HR_NONE;
    if (HR_LIKELY(hr_plainly_refused(f, &plain.found)))
        return hr_plainly_count(f, live, &plain.found, HR_DENIED, xdp);
    if (HR_LIKELY(hr_plainly_allowed(f, &plain.found)))
        return hr_plainly_count(f, live, &plain.found, HR_ALLOWED, xdp);
    reason = hr_plainly_answered(f, live, &plain);
    return reason ? hr_plainly_count(f, live, &plain.found, reason, xdp) : HR_NONE;
}

/* The reason without leaving anything behind, for probes. */
static __always_inline u32 hr_ask_plain(const struct hr_frame *f, u32 generation, struct hr_plain *plain) {
    if (!hr_plainly_found(f, generation, plain))
        return HR_NONE;
    if (hr_plainly_refused(f, &plain->found))
        return HR_DENIED;
    return hr_plainly_allowed(f, &plain->found) ? HR_ALLOWED : hr_plainly_answered(f, generation, plain);
}

#endif
