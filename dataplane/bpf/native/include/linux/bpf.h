/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's header, but for the two contexts: in these a pointer is as wide as on this machine, so that the programs
 * compile unchanged. Only the fields that programs read are here, and what the helpers of the shim need.
 */
#ifndef HR_NATIVE_LINUX_BPF_H
#define HR_NATIVE_LINUX_BPF_H

#define xdp_md hr_kernel_xdp_md
#define __sk_buff hr_kernel_sk_buff
#include_next <linux/bpf.h>
#undef xdp_md
#undef __sk_buff

/* A frame as it came, all of it. */
struct hr_whole {
    const __u8 *bytes;
    __u32 size;
    void *linear; /* what was allocated for the part that programs see */
};

struct xdp_md {
    __u64 data;
    __u64 data_end;
    __u32 ingress_ifindex;
    struct hr_whole whole;
};

struct __sk_buff {
    __u32 ingress_ifindex;
    __u64 data;
    __u64 data_end;
    __u32 len;
    __u32 ifindex;
    __u32 gso_segs;
    __u32 vlan_present;
    __u32 vlan_proto;
    __u32 vlan_tci;
    struct hr_whole whole;
};

#endif
