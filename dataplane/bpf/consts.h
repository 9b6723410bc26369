/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers of the wire and of the tables. */
#ifndef HR_CONSTS_H
#define HR_CONSTS_H

/* Ethernet types (IEEE 802) */
#define HR_ETH_IP4 0x0800
#define HR_ETH_IP6 0x86dd
#define HR_ETH_VLAN 0x8100
#define HR_ETH_QINQ 0x88a8

/* IP protocols and IPv6 next headers (IANA) */
#define HR_HOP_BY_HOP 0
#define HR_ICMP 1
#define HR_IGMP 2
#define HR_TCP 6
#define HR_UDP 17
#define HR_ROUTING 43
#define HR_FRAGMENT 44
#define HR_ICMP6 58
#define HR_DESTINATION 60
#define HR_SCTP 132
#define HR_MOBILITY 135
#define HR_HIP 139
#define HR_SHIM6 140
#define HR_TEST1 253
#define HR_TEST2 254

#define HR_TCP_FIN 0x01
#define HR_TCP_SYN 0x02
#define HR_TCP_RST 0x04
#define HR_TCP_ACK 0x10
/* The flags that are judged, and a bit for each set of them that can be, the sign for the empty one: one of SYN, RST
 * and ACK, and no FIN or RST beside SYN. */
#define HR_TCP_JUDGED (HR_TCP_FIN | HR_TCP_SYN | HR_TCP_RST | HR_TCP_ACK)
#define HR_TCP_SOUND 0x2c00ec00u

/* Where ephemeral ports begin: those of clients (the first of Linux's net.ipv4.ip_local_port_range). */
#define HR_EPHEMERAL_PORT_FIRST 32768

/* IPv6 extension headers walked before the transport header. */
#define HR_EXTENSIONS_MAX 6
#define HR_VLAN_TAGS_MAX 2
/* The number of no VLAN. */
#define HR_VLAN_UNKNOWN 0xffff
/* Offset of a quoted packet in the frame, in bytes: its longest IP header still ends below 0x400. */
#define HR_QUOTED_AT_MAX 0x3c0

/* An IPv4 address is kept as the IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2). */
#define HR_MAPPED 0x0000ffff00000000ULL

/* Hooks are counter indices. */
#define HR_INGRESS 0
#define HR_EGRESS 1
#define HR_HOOKS 2

/* How a guard entry matches the port; part of the guard's key. */
#define HR_MATCH_ANY 0
#define HR_MATCH_DST 1
#define HR_MATCH_SRC 2
#define HR_MATCH_TYPE 3

/* Trie entries and other indices of the image; see policy/src/image.rs. */
#define HR_ENTRY_BRANCH 0x80000000u
#define HR_ENTRY_SKIP 0x40000000u
#define HR_ENTRY_INDEX 0x3fffffffu
#define HR_INDEX_NONE 0xffffffffu
#define HR_VERDICT_ONLY 0x80000000u
#define HR_RULE_DEFAULT 0
#define HR_STEPS_V4_MAX 4
#define HR_STEPS_V6_MAX 28
#define HR_PORT_BLOCK 65536
#define HR_PORT_BLOCKS 5

/* The sign: it is asked most often. */
#define HR_FLAG_ALLOW 0x80000000u
#define HR_FLAG_LOG 2
#define HR_FLAG_KEEP 4
#define HR_FLAG_CUT 8
#define HR_FLAG_TRIAL_ALLOW 16
#define HR_FLAG_TRIAL_LOG 32
#define HR_FLAG_DECIDED 64
#define HR_FLAG_TRIAL_DECIDED 128
#define HR_FLAG_LIMIT 256
#define HR_FLAG_TRIAL_LIMIT 512
#define HR_FLAGS_ENFORCED (HR_FLAG_ALLOW | HR_FLAG_LOG | HR_FLAG_KEEP | HR_FLAG_CUT | HR_FLAG_DECIDED | HR_FLAG_LIMIT)
#define HR_FLAGS_TRIAL (HR_FLAG_TRIAL_ALLOW | HR_FLAG_TRIAL_LOG | HR_FLAG_TRIAL_DECIDED | HR_FLAG_TRIAL_LIMIT)
#define HR_FLAGS_DECIDED (HR_FLAG_DECIDED | HR_FLAG_TRIAL_DECIDED)
/* A verdict's word of limits has that of the enforced rule in its low half, that of the trial's in its high one. */
#define HR_LIMIT_TRIAL_SHIFT 16
#define HR_LIMIT_BYTES 64
/* Where the four buckets begin in an element of the table of limits: each is an interval and a burst. */
#define HR_LIMIT_RULE 2
#define HR_LIMIT_SOURCE 6
#define HR_LAYERS 2
#define HR_PART_WORDS 4
#define HR_SIDE_WORDS (HR_PART_WORDS * HR_LAYERS)
#define HR_CLASS_WORDS (HR_SIDE_WORDS * 2)

/* The guard's gates: bytes of the first, bits of the second; each 2 to the power of so many. */
#define HR_FAR_SHIFT 14
#define HR_GUARD_SHIFT 16

/* State is timed in ticks of 64 jiffies, so that 32 bits last for years. */
#define HR_TICK_SHIFT 6

/* Which way most packets go: the compiler lays it out without jumps. */
#define HR_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define HR_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
