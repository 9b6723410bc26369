/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The guard (G0): is this packet a sync flow between members? Asked before anything of policy is read, and tight: it
 * says yes to nothing else. A gate keeps packets that are no sync flows away from the hash map.
 */
#ifndef HR_GUARD_H
#define HR_GUARD_H

/* Packets a second that joiners may send to one own address; what is beyond is judged by policy. */
#define HR_JOIN_PACKETS_PER_SECOND_MAX 1000

/* The hashes are mirrored by src/gate.rs. */
static __always_inline u64 hr_pair_hash(const struct hr_packet *p) {
    u64 pair = p->src_lo << 32 ^ p->dst_lo;

    if (p->v6)
        pair ^= p->src_hi ^ p->src_lo >> 32 ^ (p->dst_hi << 1 | p->dst_hi >> 63);
    return pair * 0x9e3779b97f4a7c15ULL;
}

static __always_inline u32 hr_guard_bit(u64 pair, u8 match, u8 protocol, u16 port) {
    u64 hash = (pair ^ ((u64)match << 24 | (u64)protocol << 16 | port)) * 0xc2b2ae3d27d4eb4fULL;

    return hash >> (64 - HR_GUARD_SHIFT);
}

static __always_inline u32 hr_far_byte(u32 fold) {
    return (fold * 0x9e3779b1U) >> (32 - HR_FAR_SHIFT);
}

/* An address in 32 bits: that of IPv4 is itself, as it lies in a packet. */
static __always_inline u32 hr_fold(u64 hi, u64 lo) {
    return bpf_htonl((u32)lo ^ (u32)(lo >> 32 ^ HR_MAPPED >> 32) ^ (u32)(hi ^ hi >> 32) * 0x85ebca6bU);
}

/* The device to which a tagged packet belongs: a VLAN on the device that saw it, if that is one that is known. */
static __always_inline u32 hr_guarded_device(const struct hr_packet *p) {
    struct hr_vlan_key key = {.parent = p->ifindex, .tags = p->vid | (u32)p->inner << 16};
    u32 *device;

    if (!p->vid)
        return p->ifindex;
    device = bpf_map_lookup_elem(&hr_vlan, &key);
    return device ? *device : 0;
}

__noinline int hr_guard_exact(const struct hr_packet *p, u16 port, u8 hook_match) {
    struct hr_guard_value *value;
    struct hr_guard_key key;

    if (!p)
        return 0;
    key = (struct hr_guard_key){
        .src_hi = p->src_hi,
        .src_lo = p->src_lo,
        .dst_hi = p->dst_hi,
        .dst_lo = p->dst_lo,
        .ifindex = hr_guarded_device(p),
        .port = port,
        .protocol = p->protocol,
        .hook_match = hook_match,
    };
    value = bpf_map_lookup_elem(&hr_guard, &key);
    return value && (!value->ttl || value->ttl == p->ttl);
}

/* Whether the far end may be one of which the guard or anti-spoofing knows. */
static __always_inline bool hr_far_known(const struct hr_gate *gate, const struct hr_packet *p, u8 hook) {
    u64 hi = hook == HR_INGRESS ? p->src_hi : p->dst_hi, lo = hook == HR_INGRESS ? p->src_lo : p->dst_lo;

    return gate->far[hr_far_byte(hr_fold(hi, lo))];
}

static __always_inline bool hr_guard_one(const struct hr_gate *gate, const struct hr_packet *p, u64 pair, u8 hook,
                                         u8 match, u16 port) {
    u32 bit = hr_guard_bit(pair, match, p->protocol, port);

    return gate->guard[bit >> 6] >> (bit & 63) & 1 && hr_guard_exact(p, port, hook << 4 | match);
}

/* Neighbour discovery, multicast listener discovery, IGMP: without these no address moves to another node. */
static __always_inline bool hr_link_support(const struct hr_packet *p) {
    u8 type = p->dport >> 8;

    if (p->frag)
        return false;
    if (!p->v6)
        return p->protocol == HR_IGMP && p->ttl == 1 && ((u32)p->dst_lo >> 28) == 0xe;
    if (p->protocol != HR_ICMP6)
        return false;
    if (type >= 133 && type <= 136)
        return p->ttl == 255;
    return p->ttl == 1 && ((type >= 130 && type <= 132) || type == 143);
}

static __always_inline bool hr_in_subnet(u64 hi, u64 lo, const struct hr_join_value *join) {
    return !((hi ^ join->subnet_hi) & join->mask_hi) && !((lo ^ join->subnet_lo) & join->mask_lo);
}

/* A node that wants to join, at the cluster port of an own address, from the cluster subnet. What we answer is not
 * counted. */
__noinline int hr_joiner(const struct hr_packet *p, u8 hook, bool probe) {
    bool in = hook == HR_INGRESS;
    struct hr_join_value *join;
    struct hr_join_key key;
    u64 now_s;

    if (!p)
        return false;
    key = (struct hr_join_key){
        .own_hi = in ? p->dst_hi : p->src_hi,
        .own_lo = in ? p->dst_lo : p->src_lo,
        .ifindex = hr_guarded_device(p),
    };
    join = bpf_map_lookup_elem(&hr_join, &key);
    if (!join || !hr_in_subnet(in ? p->src_hi : p->dst_hi, in ? p->src_lo : p->dst_lo, join))
        return false;
    if (!in || probe)
        return true;
    now_s = bpf_ktime_get_ns() / 1000000000ULL;
    if (join->window_s != now_s) {
        join->window_s = now_s;
        join->packets = 0;
    }
    return __sync_fetch_and_add(&join->packets, 1) < HR_JOIN_PACKETS_PER_SECOND_MAX;
}

/* Whether an entry is for this packet. */
static __always_inline bool hr_guarded(const struct hr_gate *gate, const struct hr_packet *p, u8 hook) {
    u64 pair = hr_pair_hash(p);

    if (hr_has_ports(p)) {
        if (hr_guard_one(gate, p, pair, hook, HR_MATCH_DST, p->dport))
            return true;
        /* The answers of a channel; a bare SYN from its port would open something else. */
        if (p->protocol == HR_TCP && !hr_bare_syn(p) && hr_guard_one(gate, p, pair, hook, HR_MATCH_SRC, p->sport))
            return true;
    } else if (p->protocol == (p->v6 ? HR_ICMP6 : HR_ICMP)) {
        if (hr_guard_one(gate, p, pair, hook, HR_MATCH_TYPE, p->dport >> 8))
            return true;
    }
    return hr_guard_one(gate, p, pair, hook, HR_MATCH_ANY, 0);
}

/* HR_GUARD, HR_JOIN, HR_LINK_SUPPORT, or HR_NONE: not for the guard to say. */
static __always_inline u32 hr_ask_guard(const struct hr_gate *gate, const struct hr_packet *p, u8 hook, bool probe) {
    if (hr_far_known(gate, p, hook) && hr_guarded(gate, p, hook))
        return HR_GUARD;
    if (p->protocol == HR_TCP)
        return HR_NONE;
    if (p->protocol == HR_UDP && gate->join_port && (hook == HR_INGRESS ? p->dport : p->sport) == gate->join_port &&
        !p->frag && hr_joiner(p, hook, probe))
        return HR_JOIN;
    return hr_link_support(p) ? HR_LINK_SUPPORT : HR_NONE;
}

__noinline int hr_lives_elsewhere(const struct hr_packet *p) {
    struct hr_addr_key key;
    u32 *home;

    if (!p)
        return 0;
    key = (struct hr_addr_key){.hi = p->src_hi, .lo = p->src_lo};
    home = bpf_map_lookup_elem(&hr_spoof, &key);
    return home && *home != hr_guarded_device(p);
}

/* A member's source address on an interface where that member does not live. */
static __always_inline bool hr_spoofed(const struct hr_gate *gate, const struct hr_packet *p) {
    return hr_far_known(gate, p, HR_INGRESS) && hr_lives_elsewhere(p);
}

#endif
