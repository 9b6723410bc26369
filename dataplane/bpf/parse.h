/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to a struct hr_packet. Parsing drops nothing by itself: what cannot be right is noted as p->problem and
 * judged after the guard. Mirrored by src/userspace/frame.rs; the evasion corpus runs through both.
 */
#ifndef HR_PARSE_H
#define HR_PARSE_H

struct hr_vlan_tag {
    __be16 tci;
    __be16 type;
};

struct hr_ports {
    __be16 source;
    __be16 dest;
};

/* Questions and their answers: RFC 792, RFC 950; RFC 4443, RFC 4620. */
static __always_inline void hr_icmp_pair(struct hr_packet *p, u8 type) {
    if (p->v6) {
        if (type == 128 || type == 129 || type == 139 || type == 140) {
            p->answer = type == 129 || type == 140;
            p->question = type < 130 ? 128 : 139;
        }
    } else if (type == 8 || type == 0) {
        p->answer = type == 0;
        p->question = 8;
    } else if (type >= 13 && type <= 18) {
        p->answer = !(type & 1);
        p->question = type - p->answer;
    }
}

static __always_inline bool hr_sound_flags(u8 flags) {
    return (__s32)(HR_TCP_SOUND << (flags & HR_TCP_JUDGED)) < 0;
}

/* What is judged of a TCP header beside its ports. */
static __always_inline void hr_judge_tcp(struct hr_packet *p, const struct tcphdr *tcp) {
    u32 header = tcp->doff * 4;

    p->flags = ((u8 *)tcp)[13];
    if (header < sizeof(*tcp))
        p->problem = HR_BAD_HEADER;
    else if (header > p->payload)
        p->problem = p->frag ? HR_TINY_FRAGMENT : HR_BAD_LENGTH;
    else if (!hr_sound_flags(p->flags))
        p->problem = HR_BAD_TCP_FLAGS;
}

static __always_inline void hr_parse_tcp(struct hr_packet *p, void *data, void *end) {
    struct tcphdr *tcp = hr_bytes(data, end, p->at, sizeof(*tcp));

    if (!tcp) {
        p->problem = HR_TRUNCATED;
        return;
    }
    p->sport = bpf_ntohs(tcp->source);
    p->dport = bpf_ntohs(tcp->dest);
    hr_judge_tcp(p, tcp);
}

static __always_inline void hr_parse_udp(struct hr_packet *p, void *data, void *end) {
    struct udphdr *udp = hr_bytes(data, end, p->at, sizeof(*udp));
    u32 length;

    if (!udp) {
        p->problem = HR_TRUNCATED;
        return;
    }
    p->sport = bpf_ntohs(udp->source);
    p->dport = bpf_ntohs(udp->dest);
    length = bpf_ntohs(udp->len);
    /* Of a first fragment the length is that of the whole datagram; 0 is a jumbogram (RFC 2675) or a large segment. */
    if (length && (length < sizeof(*udp) || (!p->frag && length > p->payload)))
        p->problem = HR_BAD_LENGTH;
}

static __always_inline void hr_parse_icmp(struct hr_packet *p, void *data, void *end) {
    u8 *icmp = hr_bytes(data, end, p->at, 8);

    if (!icmp) {
        p->problem = HR_TRUNCATED;
        return;
    }
    p->dport = (u16)icmp[0] << 8 | icmp[1];
    hr_icmp_pair(p, icmp[0]);
    if (p->question)
        p->echo_id = (u16)icmp[4] << 8 | icmp[5];
}

static __always_inline void hr_parse_sctp(struct hr_packet *p, void *data, void *end) {
    struct hr_ports *sctp = hr_bytes(data, end, p->at, 12);

    if (!sctp) {
        p->problem = HR_TRUNCATED;
        return;
    }
    p->sport = bpf_ntohs(sctp->source);
    p->dport = bpf_ntohs(sctp->dest);
}

/* Least payload that holds what is judged of the transport header (RFC 1858: no first fragment may be smaller). */
static __always_inline u32 hr_transport_min(const struct hr_packet *p) {
    if (p->protocol == HR_TCP)
        return 20;
    if (p->protocol == HR_UDP || p->protocol == (p->v6 ? HR_ICMP6 : HR_ICMP))
        return 8;
    return p->protocol == HR_SCTP ? 12 : 0;
}

static __always_inline void hr_parse_transport(struct hr_packet *p, void *data, void *end) {
    if (p->frag == HR_FRAG_LATER) {
        /* RFC 1858, 3.2: a fragment at offset 1 can only be there to rewrite the flags. */
        if (p->protocol == HR_TCP && p->frag_edge == 8)
            p->problem = HR_FRAGMENT_OVERLAP;
        return;
    }
    /* The ICMP of the other family means nothing here, and would be judged by the wrong types. */
    if (p->protocol == (p->v6 ? HR_ICMP : HR_ICMP6)) {
        p->problem = HR_BAD_HEADER;
        return;
    }
    if (p->payload < hr_transport_min(p)) {
        p->problem = p->frag ? HR_TINY_FRAGMENT : HR_BAD_LENGTH;
        return;
    }
    if (p->protocol == HR_TCP)
        hr_parse_tcp(p, data, end);
    else if (p->protocol == HR_UDP)
        hr_parse_udp(p, data, end);
    else if (p->protocol == (p->v6 ? HR_ICMP6 : HR_ICMP))
        hr_parse_icmp(p, data, end);
    else if (p->protocol == HR_SCTP)
        hr_parse_sctp(p, data, end);
}

/* Bytes from the IP header, which p->at says, to the end of the frame. */
static __always_inline u32 hr_seen_len(const struct hr_frame *f, const struct hr_packet *p) {
    return f->len > p->at ? f->len - p->at : 0;
}

/* The frame is shorter than its packet: it may have more buffers. */
static __always_inline u32 hr_look_closer(struct hr_frame *f, const struct hr_packet *p) {
    if (f->lazy)
        f->len = bpf_xdp_get_buff_len(f->ctx);
    return hr_seen_len(f, p);
}

static __always_inline void hr_parse_ip4(struct hr_packet *p, struct hr_frame *f, void *data, void *end) {
    struct iphdr *ip = hr_bytes(data, end, p->at, sizeof(*ip));
    u32 header, total, offset, seen = hr_seen_len(f, p);

    if (!ip) {
        p->problem = HR_TRUNCATED;
        return;
    }
    p->src_lo = HR_MAPPED | bpf_ntohl(ip->saddr);
    p->dst_lo = HR_MAPPED | bpf_ntohl(ip->daddr);
    p->protocol = ip->protocol;
    p->ttl = ip->ttl;
    header = ip->ihl * 4;
    total = bpf_ntohs(ip->tot_len);
    if (ip->version != 4 || header < sizeof(*ip)) {
        p->problem = HR_BAD_HEADER;
        return;
    }
    /* A segment too large for the field says 0 (BIG TCP). */
    if (!total && seen > 0xffff)
        total = seen;
    if (total > seen)
        seen = hr_look_closer(f, p);
    if (total < header || total > seen) {
        p->problem = HR_BAD_LENGTH;
        return;
    }
    p->payload = total - header;
    p->at += header;
    offset = bpf_ntohs(ip->frag_off);
    if (offset & 0x3fff) {
        p->frag = offset & 0x1fff ? HR_FRAG_LATER : HR_FRAG_FIRST;
        p->frag_edge = p->frag == HR_FRAG_FIRST ? p->payload : (offset & 0x1fff) << 3;
        p->frag_id = bpf_ntohs(ip->id);
        if ((offset & 0x1fff) * 8 + p->payload > 0xffff)
            p->problem = HR_BAD_LENGTH;
        if (p->problem)
            return;
    }
    hr_parse_transport(p, data, end);
}

/* Reads one extension header at p->at. True: p->protocol is the next header and p->at behind it. False: it ends here.
 */
static __always_inline bool hr_extension(struct hr_packet *p, void *data, void *end, bool first) {
    u8 *header;
    u32 length;

    if (p->protocol != HR_HOP_BY_HOP && p->protocol != HR_DESTINATION && p->protocol != HR_ROUTING &&
        p->protocol != HR_FRAGMENT)
        return false;
    /* RFC 8200, 4.1: hop-by-hop options come first or not at all. */
    if (p->protocol == HR_HOP_BY_HOP && !first) {
        p->problem = HR_EXTENSION_CHAIN;
        return false;
    }
    header = hr_bytes(data, end, p->at, 8);
    if (!header) {
        p->problem = HR_TRUNCATED;
        return false;
    }
    length = 8;
    if (p->protocol == HR_FRAGMENT) {
        u32 offset = ((u32)header[2] << 8 | header[3]) & 0xfff8;
        bool more = header[3] & 1;

        if (p->frag) {
            p->problem = HR_EXTENSION_CHAIN;
            return false;
        }
        /* RFC 6946: offset 0 and nothing to follow is a whole packet. */
        if (offset || more) {
            if (offset + p->payload > 0xffff + 8) {
                p->problem = HR_BAD_LENGTH;
                return false;
            }
            /* What is behind this header is what a later fragment can overwrite, further extension headers too. */
            p->frag = offset ? HR_FRAG_LATER : HR_FRAG_FIRST;
            p->frag_edge = offset ? offset : p->payload - 8;
            p->frag_id = (u32)header[4] << 24 | (u32)header[5] << 16 | (u32)header[6] << 8 | header[7];
        }
    } else {
        if (p->protocol == HR_ROUTING && header[2] == 0) {
            p->problem = HR_ROUTING_HEADER;
            return false;
        }
        length += (u32)header[1] * 8;
    }
    if (length > p->payload || p->at + length > 0x3e0) {
        p->problem = length > p->payload ? HR_BAD_LENGTH : HR_EXTENSION_CHAIN;
        return false;
    }
    p->protocol = header[0];
    p->at += length;
    p->payload -= length;
    return p->frag != HR_FRAG_LATER;
}

static __always_inline bool hr_unknown_extension(u8 next) {
    return next == HR_MOBILITY || next == HR_HIP || next == HR_SHIM6 || next == HR_TEST1 || next == HR_TEST2;
}

static __noinline int hr_walk_extensions(struct hr_packet *p, void *data, void *end) {
    bool more = true;
    int i;

    for (i = 0; i < HR_EXTENSIONS_MAX && more; i++)
        more = hr_extension(p, data, end, i == 0);
    if (p->problem || p->frag == HR_FRAG_LATER)
        return 0;
    if (p->protocol == HR_HOP_BY_HOP || p->protocol == HR_DESTINATION || p->protocol == HR_ROUTING ||
        p->protocol == HR_FRAGMENT)
        p->problem = HR_EXTENSION_CHAIN;
    else if (hr_unknown_extension(p->protocol))
        p->problem = HR_UNKNOWN_EXTENSION;
    return 0;
}

static __always_inline bool hr_is_extension(u8 next) {
    return next == HR_HOP_BY_HOP || next == HR_DESTINATION || next == HR_ROUTING || next == HR_FRAGMENT ||
           hr_unknown_extension(next);
}

static __always_inline void hr_addresses6(struct hr_packet *p, const struct ipv6hdr *ip) {
    p->src_hi = (u64)bpf_ntohl(ip->saddr.s6_addr32[0]) << 32 | bpf_ntohl(ip->saddr.s6_addr32[1]);
    p->src_lo = (u64)bpf_ntohl(ip->saddr.s6_addr32[2]) << 32 | bpf_ntohl(ip->saddr.s6_addr32[3]);
    p->dst_hi = (u64)bpf_ntohl(ip->daddr.s6_addr32[0]) << 32 | bpf_ntohl(ip->daddr.s6_addr32[1]);
    p->dst_lo = (u64)bpf_ntohl(ip->daddr.s6_addr32[2]) << 32 | bpf_ntohl(ip->daddr.s6_addr32[3]);
}

static __always_inline bool hr_mapped(u64 hi, u64 lo) {
    return !hi && lo >> 32 == HR_MAPPED >> 32;
}

static __always_inline void hr_parse_ip6(struct hr_packet *p, struct hr_frame *f, void *data, void *end) {
    struct ipv6hdr *ip = hr_bytes(data, end, p->at, sizeof(*ip));
    u32 payload, seen = hr_seen_len(f, p);

    p->v6 = 1;
    if (!ip) {
        p->problem = HR_TRUNCATED;
        return;
    }
    hr_addresses6(p, ip);
    p->protocol = ip->nexthdr;
    p->ttl = ip->hop_limit;
    payload = bpf_ntohs(ip->payload_len);
    /* RFC 4942, 2.2: a mapped address on the wire pretends to be one of IPv4. */
    if (ip->version != 6 || hr_mapped(p->src_hi, p->src_lo) || hr_mapped(p->dst_hi, p->dst_lo)) {
        p->problem = HR_BAD_HEADER;
        return;
    }
    /* A jumbogram or a segment too large for the field says 0 (RFC 2675, BIG TCP). */
    if (!payload && seen > 0xffff + sizeof(*ip))
        payload = seen - sizeof(*ip);
    if (payload + sizeof(*ip) > seen)
        seen = hr_look_closer(f, p);
    if (payload + sizeof(*ip) > seen) {
        p->problem = HR_BAD_LENGTH;
        return;
    }
    p->payload = payload;
    p->at += sizeof(*ip);
    if (hr_is_extension(p->protocol)) {
        hr_walk_extensions(p, data, end);
        if (p->problem)
            return;
    }
    hr_parse_transport(p, data, end);
}

/* A tag of VLAN 0 only carries a priority. */
static __always_inline void hr_note_tag(struct hr_packet *p, u16 vid) {
    if (!p->vid)
        p->vid = vid;
    else if (!p->inner)
        p->inner = vid;
    else if (vid)
        p->vid = HR_VLAN_UNKNOWN;
}

/* True: an IP packet, or something that claims to be one. */
static __always_inline bool hr_parse(struct hr_packet *p, struct hr_frame *f) {
    void *data = f->data, *end = f->end;
    struct ethhdr *eth = data;
    u16 type;
    int i;

    if ((void *)(eth + 1) > end)
        return false;
    type = bpf_ntohs(eth->h_proto);
    p->at = sizeof(*eth);
#pragma unroll
    for (i = 0; i < HR_VLAN_TAGS_MAX; i++) {
        if (type == HR_ETH_VLAN || type == HR_ETH_QINQ) {
            struct hr_vlan_tag *tag = hr_bytes(data, end, p->at, sizeof(*tag));

            if (!tag) {
                p->problem = HR_TRUNCATED;
                return true;
            }
            hr_note_tag(p, bpf_ntohs(tag->tci) & 0xfff);
            type = bpf_ntohs(tag->type);
            p->at += sizeof(*tag);
        }
    }
    if (type == HR_ETH_IP4) {
        hr_parse_ip4(p, f, data, end);
        return true;
    }
    if (type == HR_ETH_IP6) {
        hr_parse_ip6(p, f, data, end);
        return true;
    }
    if (type == HR_ETH_VLAN || type == HR_ETH_QINQ) {
        p->problem = HR_VLAN_DEPTH;
        return true;
    }
    return false;
}

#endif
