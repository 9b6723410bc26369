/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp")
int hr_empty(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_DROP;
}
char hr_license[] SEC("license") = "Dual BSD/GPL";
