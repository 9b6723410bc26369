/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Most packets in a straight line: TCP and UDP of IPv4 without tags, options or fragments, which the guard does not
 * know and which classification alone can judge. It says what judge.h would say, or HR_NONE: judge.h looks closer.
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

static __always_inline bool hr_plain_udp(const struct hr_packet *p, const struct udphdr *udp) {
    u32 length = bpf_ntohs(udp->len);

    return !length || (length >= sizeof(*udp) && length <= p->payload);
}

/* The addresses and the protocol of a plain packet that is not cut short. Words are read whole, for every look counts.
 */
static __always_inline bool hr_plain_addresses(struct hr_packet *p, const struct hr_frame *f) {
    struct iphdr *ip = f->data + sizeof(struct ethhdr);
    u32 fragment_ttl_protocol;

    if ((void *)(ip + 1) + sizeof(struct tcphdr) > f->end || f->vid ||
        (*(u32 *)((void *)ip - 2) & HR_PLAIN_IP4_MASK) != HR_PLAIN_IP4)
        return false;
    fragment_ttl_protocol = *(u32 *)&ip->frag_off;
    if (fragment_ttl_protocol & HR_PLAIN_FRAGMENT)
        return false;
    p->protocol = bpf_ntohl(fragment_ttl_protocol);
    p->src_lo = HR_MAPPED | bpf_ntohl(ip->saddr);
    p->dst_lo = HR_MAPPED | bpf_ntohl(ip->daddr);
    return true;
}

/* True: every header is as it should be. Fills what the others here read. */
static __always_inline bool hr_parse_plain(struct hr_packet *p, const struct hr_frame *f) {
    struct iphdr *ip = f->data + sizeof(struct ethhdr);
    struct tcphdr *tcp = (void *)(ip + 1);
    u32 total;

    if (!hr_plain_addresses(p, f))
        return false;
    total = bpf_ntohs(ip->tot_len);
    if (total < HR_PLAIN_BYTES_MIN || (void *)ip + total > f->end)
        return false;
    p->payload = total - sizeof(*ip);
    p->sport = bpf_ntohs(tcp->source);
    p->dport = bpf_ntohs(tcp->dest);
    if (p->protocol == HR_TCP) {
        hr_judge_tcp(p, tcp);
        return !p->problem;
    }
    return p->protocol == HR_UDP && hr_plain_udp(p, (void *)tcp);
}

/* Whether the guard has nothing to say, which it knows of TCP by its addresses alone. */
static __always_inline bool hr_plainly_unguarded(const struct hr_frame *f) {
    const struct hr_gate *gate = HR_VALUE(HR_GATE);
    struct hr_packet p = {};

    return hr_plain_addresses(&p, f) && p.protocol == HR_TCP && !hr_far_known(gate, &p, f->hook);
}

/* Whether neither the guard nor anti-spoofing can have a say. */
static __always_inline bool hr_plainly_for_policy(const struct hr_frame *f, const struct hr_packet *p) {
    const struct hr_gate *gate = HR_VALUE(HR_GATE);

    if (hr_far_known(gate, p, f->hook))
        return false;
    return p->protocol == HR_TCP || (p->sport != gate->join_port && p->dport != gate->join_port);
}

/* A denied packet that opens a connection, when this CPU has told enough in this tick: nothing is left to say. */
static __always_inline bool hr_plainly_denied(const struct hr_packet *p, struct hr_cpu *cpu, bool probe) {
    return p->protocol == HR_TCP && hr_bare_syn(p) && !probe && hr_told_enough(cpu);
}

/* Whether an allowed packet leaves nothing to remember. */
static __always_inline bool hr_plainly_allowed(const struct hr_frame *f, const struct hr_packet *p) {
    return f->hook == HR_INGRESS || (p->protocol == HR_TCP && !hr_bare_syn(p));
}

/* Field by field, or the compiler would keep the packet in memory from the start. */
static __always_inline void hr_plain_case(struct hr_case *c, const struct hr_frame *f, u32 generation,
                                          const struct hr_packet *p) {
    __builtin_memset(c, 0, sizeof(*c));
    c->p.src_lo = p->src_lo;
    c->p.dst_lo = p->dst_lo;
    c->p.ifindex = f->ifindex;
    c->p.sport = p->sport;
    c->p.dport = p->dport;
    c->p.protocol = p->protocol;
    c->p.flags = p->flags;
    c->way.slot = generation & 1;
    c->way.generation = generation;
    c->way.hook = f->hook;
    c->way.probe = f->probe;
}

static __always_inline void hr_plain_found(struct hr_case *c, const struct hr_found *found) {
    c->found.in.flags = found->in.flags;
    c->found.in.rule = found->in.rule;
    c->found.in.trial = found->in.trial;
    c->found.out.flags = found->out.flags;
    c->found.out.rule = found->out.rule;
    c->found.out.trial = found->out.trial;
}

/* What state says of a refused packet, and telling of it if that is the end. */
static __always_inline u32 hr_plainly_refused(const struct hr_frame *f, struct hr_case *c) {
    u32 reason = hr_ask_state(&c->way, &c->p, &c->found);

    if (!reason)
        reason = HR_DENIED;
    if (!f->probe && reason >= HR_DROP_FIRST)
        hr_tell(&c->p, &c->way, &c->found, reason, f->len);
    return reason;
}

static __always_inline void hr_plainly_count(const struct hr_frame *f, u32 cpu, u32 generation,
                                             const struct hr_found *found, u32 reason) {
    if (f->probe)
        return;
    hr_count_rules(f, cpu, generation & 1, found);
    hr_count_reason(f, hr_cpu_of(cpu), reason);
}

/* HR_NONE: look closer. What is refused goes into the case; until then everything stays in registers. */
static __always_inline u32 hr_judge_plain(const struct hr_frame *f, u32 generation, struct hr_case *c) {
    struct hr_half half = hr_half_of(generation);
    struct hr_found found = {};
    struct hr_packet p = {};
    u32 reason, cpu;

    if (!generation || !hr_parse_plain(&p, f) || !hr_plainly_for_policy(f, &p))
        return HR_NONE;
    hr_classify_inline(&half, &p, false, &found);
    if (hr_either(&found, HR_FLAGS_NOT_PLAIN))
        return HR_NONE;
    cpu = bpf_get_smp_processor_id();
    if (hr_allows(&found)) {
        if (!hr_allows_trial(&found) || !hr_plainly_allowed(f, &p))
            return HR_NONE;
        reason = HR_ALLOWED;
    } else if (hr_plainly_denied(&p, hr_cpu_of(cpu), f->probe)) {
        reason = HR_DENIED;
    } else {
        hr_plain_case(c, f, generation, &p);
        hr_plain_found(c, &found);
        reason = hr_plainly_refused(f, c);
        hr_plainly_count(f, cpu, generation, &c->found, reason);
        return reason;
    }
    hr_plainly_count(f, cpu, generation, &found, reason);
    if (f->probe)
        hr_plain_found(c, &found);
    return reason;
}

#endif
