/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why a packet passed or was dropped. The numbers are counter indices, are in the API and in the manual, and never
 * change their meaning. Below HR_DROP_FIRST the packet passes. The Rust side is src/reason.rs; a test compares the two.
 */
#ifndef HR_REASONS_H
#define HR_REASONS_H

enum hr_reason {
    HR_NONE = 0,              /* not judged */
    HR_NOT_IP = 1,            /* ARP and whatever else is not IP */
    HR_GUARD = 2,             /* a sync flow between members */
    HR_JOIN = 3,              /* the cluster port, from or to a joiner of the cluster subnet */
    HR_LINK_SUPPORT = 4,      /* neighbour discovery, multicast listeners, IGMP */
    HR_DISARMED = 5,          /* `hedgerow disarm` is in force */
    HR_NO_POLICY = 6,         /* no revision has ever been activated here */
    HR_ALLOWED = 7,           /* both directions allow */
    HR_OBSERVED = 8,          /* passes only because a policy is in observe mode */
    HR_REPLY = 9,             /* leaves as the answer to an allowed inbound flow */
    HR_ESTABLISHED = 10,      /* answer to a flow that this node opened or forwarded */
    HR_PICKED_UP = 11,        /* mid-flow segment like an answer, whose reversed tuple is allowed */
    HR_KEPT = 12,             /* flow of a rule with `existingFlows: keep` */
    HR_QUOTED = 13,           /* ICMP error about a flow that may pass */
    HR_FRAGMENT_FOLLOWS = 14, /* later fragment of a first one that passed, and as such allowed by policy */

    HR_DROP_FIRST = 32,
    HR_DENIED = 32,            /* a direction denies */
    HR_TIGHTENED = 33,         /* established flow that the live revision no longer allows */
    HR_SPOOFED = 34,           /* a member's address on an interface where it does not live */
    HR_TRUNCATED = 35,         /* a header ends behind the frame */
    HR_BAD_HEADER = 36,        /* version or header length that cannot be */
    HR_BAD_LENGTH = 37,        /* a length field that contradicts the frame or another one */
    HR_BAD_TCP_FLAGS = 38,     /* SYN+FIN, SYN+RST, or none of SYN, ACK and RST */
    HR_TINY_FRAGMENT = 39,     /* first fragment without the whole transport header */
    HR_FRAGMENT_OVERLAP = 40,  /* later fragment that would overwrite the first */
    HR_FRAGMENT_UNKNOWN = 41,  /* later fragment whose first was not seen, or was dropped */
    HR_FRAGMENT_DENIED = 42,   /* later fragment of a datagram of which another first fragment was dropped */
    HR_EXTENSION_CHAIN = 43,   /* more IPv6 extension headers than are walked, or one out of place */
    HR_UNKNOWN_EXTENSION = 44, /* IPv6 extension header that is not known */
    HR_ROUTING_HEADER = 45,    /* IPv6 routing header of type 0 (RFC 5095) */
    HR_VLAN_DEPTH = 46,        /* more than two VLAN tags */
    HR_RATE_LIMITED = 47,      /* over the limit of the rule that allows it */
    HR_UNTOLD = 63,            /* no reason: counts what is HR_DENIED and could not be told of */
    HR_REASONS = 64,
};

#endif
