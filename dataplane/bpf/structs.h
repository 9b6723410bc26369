/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What C and Rust both know: every struct here is in src/abi.rs too, and a test compares sizes and offsets with the
 * object's BTF. Addresses are 128-bit numbers in two halves in host order; ports are in host order.
 */
#ifndef HR_STRUCTS_H
#define HR_STRUCTS_H

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

/* The word that decides everything: userspace stores `generation` last; a packet reads both at once. */
struct hr_live {
    u32 generation; /* 0: no policy yet; the half in use is generation & 1 */
    u32 disarmed;   /* all ones: everything passes, counted as such; or 0 */
};

/* What userspace must find again after a restart, for each half; programs do not read it. */
struct hr_meta {
    u64 revision;
    u32 generation;
    u32 rules;     /* counters in use */
    u32 words[14]; /* length of each table, in the order of the image; the last one is not used */
    u8 digest[32];
};

/* 256 trie entries: the next byte of an address. */
struct hr_chunk {
    u32 entry[256];
};

struct hr_count {
    u64 packets;
    u64 bytes;
};

/*
 * Token buckets, each as the instant of the monotonic clock at which it is full again; what is past is full.
 * [0] is what is enforced, [1] what the trial takes, so that observing takes nothing from what is enforced.
 */
struct hr_bucket {
    u64 packets[2];
    u64 connections[2];
};

/* What a CPU counts, and what it may still tell; whole cache lines, for no other CPU writes here. */
struct hr_cpu {
    struct hr_count count[HR_HOOKS][HR_REASONS];
    u64 lost;     /* events that could not be told, but for those at HR_UNTOLD */
    u32 may_tell; /* events that it may still tell: userspace grants them anew when it has taken all there were */
    u32 pad[5];
    struct hr_bucket full; /* never written: what is remembered of a source begins as this, and the stack is short */
};

/*
 * Answers "could this be in the hash map", so that a packet that is no sync flow pays no hash look-up: first, for every
 * packet and so in bytes, which take fewer instructions, by the address of the far end (of a guard entry, or of a
 * member that could be spoofed), then by all that an entry matches.
 */
struct hr_gate {
    u8 far[1 << HR_FAR_SHIFT];
    u64 guard[1 << HR_GUARD_SHIFT >> 6];
    u32 join_port; /* 0: nobody may join */
    u32 pad;
};

/* A sync flow. */
struct hr_guard_key {
    u64 src_hi, src_lo;
    u64 dst_hi, dst_lo;
    u32 ifindex;
    u16 port; /* meaning by match; 0 for HR_MATCH_ANY */
    u8 protocol;
    u8 hook_match; /* hook << 4 | HR_MATCH_* */
};

struct hr_guard_value {
    u32 ttl; /* required time to live or hop limit; 0: any */
    u32 pad;
};

/* Own address on a cluster interface at which a joiner may call. */
struct hr_join_key {
    u64 own_hi, own_lo;
    u32 ifindex;
    u32 pad;
};

struct hr_join_value {
    u64 subnet_hi, subnet_lo;
    u64 mask_hi, mask_lo;
    u64 window_s; /* second of the current allowance */
    u64 packets;  /* admitted in that second */
};

struct hr_addr_key {
    u64 hi, lo;
};

/* Device that carries a VLAN of another attached device. */
struct hr_vlan_key {
    u32 parent;
    u32 tags; /* the outer one; above it, from bit 16 on, the inner one or 0 */
};

/* A flow in canonical order: a is the smaller (address, port). */
struct hr_flow4_key {
    u32 a, b;
    u16 a_port, b_port; /* ICMP: the identifier, twice */
    u32 protocol;       /* ICMP: question type << 8 | protocol */
};

struct hr_flow6_key {
    u64 a_hi, a_lo, b_hi, b_lo;
    u16 a_port, b_port;
    u32 protocol;
};

struct hr_flow {
    u32 generation;        /* that allowed it last */
    u32 seen;              /* tick */
    u32 in_rule, out_rule; /* that allowed the opening tuple */
    u8 opener_is_b;
    u8 keep; /* outlives a revision that no longer allows it */
    u8 answered;
    u8 closing; /* FIN or RST was seen */
    u8 mute;    /* only says that the flow is not new; lets nothing pass */
    u8 over;    /* still new to a limit that only observes */
    u8 pad[2];
};

/* The buckets of a rule, one for each half of the image. */
struct hr_buckets {
    struct hr_bucket half[2];
};

/* What one source may still send by one rule. The rule comes first: its limits are the same over revisions. */
struct hr_source_key {
    u64 id;
    u64 src_hi, src_lo;
};

/* Idle times after which an entry is no longer believed, in ticks. */
struct hr_timeouts {
    u32 tcp_opening, tcp, tcp_closing, udp_opening, udp, other, fragment;
    u32 pickup; /* not 0: mid-flow TCP segments may pass by their reversed tuple */
};

struct hr_fragment_key {
    u64 src_hi, src_lo, dst_hi, dst_lo;
    u32 id;
    u32 protocol;
    u32 device; /* of a sync flow, where its first fragment was; 0 and 0: judged by policy */
    u32 hook;
};

/* A first fragment: whether it passed, and what only it says of the datagram, as in struct hr_packet. */
struct hr_fragment {
    u32 seen;
    u16 end; /* byte of the datagram where it ends */
    u16 sport, dport;
    u16 echo_id;
    u8 protocol;
    u8 flags;
    u8 pass;
    u8 pad;
};

/* A packet worth telling of. Ports and addresses as in struct hr_packet. */
struct hr_event {
    u64 time_ns; /* monotonic clock */
    u64 src_hi, src_lo;
    u64 dst_hi, dst_lo;
    u32 ifindex;
    u32 bytes;
    u32 generation;
    u32 in_rule, out_rule;
    u16 sport, dport;
    u8 protocol;
    u8 v6;
    u8 hook;
    u8 reason;
    u8 tcp_flags;
    u8 logged; /* a rule asks for it; otherwise it was refused or observed */
    u8 pad[6];
};

/* A question to the probe programs, and their answer. */
struct hr_probe {
    u32 ifindex;
    u32 generation; /* whose half is read */
    u32 reason;
    u32 in_rule, out_rule;
    u32 pad;
    u64 jiffies, clock_ns; /* by hr_clock */
};

/* A tuple to classify in bulk, and the answer: for tests and measurements. */
struct hr_bulk {
    u64 src_hi, src_lo;
    u64 dst_hi, dst_lo;
    u16 dport;
    u8 protocol;
    u8 v6;
    u32 in_flags, out_flags;
    u32 in_rule, out_rule;
    u32 in_trial, out_trial;
    u32 pad;
};

#endif
