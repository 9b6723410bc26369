/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors follow the flow that they quote, so that path-MTU discovery works through an enforced segment. The quoted
 * packet must have been sent by the one who is told of it.
 */
#ifndef HR_QUOTED_H
#define HR_QUOTED_H

static __always_inline bool hr_is_error(const struct hr_packet *p) {
    u8 type = p->dport >> 8;

    if (p->frag)
        return false;
    if (p->v6)
        return p->protocol == HR_ICMP6 && type >= 1 && type <= 4;
    return p->protocol == HR_ICMP && (type == 3 || type == 11 || type == 12);
}

static __always_inline bool hr_quoted_ports(struct hr_packet *q, void *data, void *end) {
    struct hr_ports *ports = hr_bytes(data, end, q->at, sizeof(*ports));
    u8 *icmp;

    if (hr_has_ports(q)) {
        if (!ports)
            return false;
        q->sport = bpf_ntohs(ports->source);
        q->dport = bpf_ntohs(ports->dest);
    } else if (q->protocol == (q->v6 ? HR_ICMP6 : HR_ICMP)) {
        icmp = hr_bytes(data, end, q->at, 8);
        if (!icmp)
            return false;
        q->dport = (u16)icmp[0] << 8 | icmp[1];
        hr_icmp_pair(q, icmp[0]);
        if (q->question)
            q->echo_id = (u16)icmp[4] << 8 | icmp[5];
        /* No error is about an error (RFC 1122, 3.2.2). */
        return !hr_is_error(q);
    }
    /* The ICMP of the other family is no packet that anybody has sent. */
    return q->protocol != (q->v6 ? HR_ICMP : HR_ICMP6);
}

/* Bytes of the transport header that are read. */
static __always_inline u32 hr_quoted_least(const struct hr_packet *q) {
    if (hr_has_ports(q))
        return sizeof(struct hr_ports);
    return q->protocol == (q->v6 ? HR_ICMP6 : HR_ICMP) ? 8 : 0;
}

static __always_inline bool hr_quoted_ip4(struct hr_packet *q, void *data, void *end) {
    struct iphdr *ip = hr_bytes(data, end, q->at, sizeof(*ip));

    if (!ip || ip->version != 4 || ip->ihl < 5 || bpf_ntohs(ip->frag_off) & 0x1fff)
        return false;
    q->src_lo = HR_MAPPED | bpf_ntohl(ip->saddr);
    q->dst_lo = HR_MAPPED | bpf_ntohl(ip->daddr);
    q->protocol = ip->protocol;
    q->at += ip->ihl * 4;
    return true;
}

static __always_inline bool hr_quoted_ip6(struct hr_packet *q, void *data, void *end) {
    struct ipv6hdr *ip = hr_bytes(data, end, q->at, sizeof(*ip));

    if (!ip || ip->version != 6)
        return false;
    q->v6 = 1;
    hr_addresses6(q, ip);
    q->protocol = ip->nexthdr;
    q->at += sizeof(*ip);
    if (q->protocol == HR_FRAGMENT) {
        u8 *fragment = hr_bytes(data, end, q->at, 8);

        if (!fragment || fragment[2] || fragment[3] & 0xf8)
            return false;
        q->protocol = fragment[0];
        q->at += 8;
    }
    return !hr_is_extension(q->protocol) && !hr_mapped(q->src_hi, q->src_lo) && !hr_mapped(q->dst_hi, q->dst_lo);
}

/* Fills q with the quoted packet. False: nothing that can be judged is quoted. */
static __noinline bool hr_quoted(const struct hr_packet *p, struct hr_packet *q, void *data, void *end) {
    /* hr_bytes cuts offsets: from further on, the quoted ports would be read from the head of this very frame. */
    if (p->at + 8 > HR_QUOTED_AT_MAX)
        return false;
    q->at = p->at + 8;
    if (!(p->v6 ? hr_quoted_ip6(q, data, end) : hr_quoted_ip4(q, data, end)))
        return false;
    if (q->src_hi != p->dst_hi || q->src_lo != p->dst_lo)
        return false;
    /* What lies in the padding behind the error is not quoted. */
    return hr_quoted_ports(q, data, end) && q->at + hr_quoted_least(q) <= p->at + p->payload;
}

/* Whether the quoted packet is a sync flow, which went the other way here. No time to live is known of it, so that of
 * channels that demand one no error passes. */
static __always_inline bool hr_quoted_sync(const struct hr_way *way, const struct hr_packet *p, struct hr_packet *q) {
    u8 hook = way->hook == HR_INGRESS ? HR_EGRESS : HR_INGRESS;
    const struct hr_gate *gate = HR_VALUE(HR_GATE);

    q->ifindex = p->ifindex;
    q->vid = p->vid;
    q->inner = p->inner;
    return hr_far_known(gate, q, hook) && hr_guarded(gate, q, hook);
}

/* Whether the quoted packet may pass: by itself, as an answer, or by an entry. The rules are those that say so; what
 * was found of the error itself is overwritten, for the stack is short. */
static __always_inline u32 hr_judge_quoted(const struct hr_way *way, const struct hr_packet *q,
                                           struct hr_found *found) {
    struct hr_flow *flow;

    if (!way || !q || !found)
        return HR_NONE;
    hr_classify(way->generation, q, false, found);
    if (!hr_enough(way, found)) {
        hr_classify(way->generation, q, true, found);
        if (!hr_can_answer(q) || !hr_enough(way, found)) {
            flow = hr_flow_find(q);
            if (!flow || !flow->keep || !hr_alive(flow, q, hr_tick()))
                return HR_NONE;
        }
    }
    return HR_QUOTED;
}

#endif
