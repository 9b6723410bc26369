/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of a packet, and the cursor that reads it. */
#ifndef HR_PACKET_H
#define HR_PACKET_H

#define HR_FRAG_NONE 0
#define HR_FRAG_FIRST 1
#define HR_FRAG_LATER 2

struct hr_packet {
    u64 src_hi, src_lo;
    u64 dst_hi, dst_lo;
    u32 ifindex;
    u32 frag_id;
    u32 payload; /* bytes behind the IP headers, by the length fields */
    u16 sport;
    u16 dport; /* ICMP: type << 8 | code */
    u16 echo_id;
    u16 vid;       /* outermost tag that names a VLAN; 0: none; HR_VLAN_UNKNOWN: there are more than two */
    u16 inner;     /* the one behind it */
    u16 frag_edge; /* byte of the datagram where a first fragment ends, its IPv6 extension headers included, or where a
                      later one begins */
    u16 at;        /* offset of the transport header in the frame */
    u8 protocol;
    u8 ttl;
    u8 flags; /* of TCP */
    u8 v6 : 1;
    u8 answer : 1; /* ICMP: an answer */
    u8 frag : 2;
    u8 question; /* ICMP type of the question this one is or answers; 0: neither */
    u8 problem;  /* reason to drop, should nothing before have let it pass */
};

/* Bytes from `at` on, or NULL if the frame ends before `size` of them. The mask is written out, for the compiler knows
 * that `at` is small and would drop it; the verifier of Linux 6.1 forgets that on branches that are never taken. */
static __always_inline void *hr_bytes(void *data, void *end, u32 at, u32 size) {
    void *p;

    if (!__builtin_constant_p(at))
        HR_MASK(at, 0x3ff);
    p = data + at;
    if (p + size > end)
        return NULL;
    return p;
}

static __always_inline bool hr_has_ports(const struct hr_packet *p) {
    return p->protocol == HR_TCP || p->protocol == HR_UDP || p->protocol == HR_SCTP;
}

static __always_inline bool hr_bare_syn(const struct hr_packet *p) {
    return (p->flags & (HR_TCP_SYN | HR_TCP_ACK)) == HR_TCP_SYN;
}

/* Whether this can be the answer to a packet of the reversed tuple. */
static __always_inline bool hr_can_answer(const struct hr_packet *p) {
    if (p->protocol == HR_TCP)
        return !hr_bare_syn(p);
    if (p->protocol == (p->v6 ? HR_ICMP6 : HR_ICMP))
        return p->answer;
    return true;
}

#endif
