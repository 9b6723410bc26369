/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs, unchanged, compiled for this machine: run without root, under the sanitizers and under the fuzzer. What
 * has to be listed by hand is below: each map and each program is one line.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../hedgerow.bpf.c"
#include "request.h"
#include "maps.h"
#include "programs.h"

/* clang-format off */
static const struct hr_map hr_maps[] = {
    HR_MAP(hr_live),
    HR_MAP(hr_meta),
    HR_MAP(hr_image_even),
    HR_MAP(hr_image_odd),
    HR_MAP(hr_chunks),
    HR_MAP(hr_rules),
    HR_MAP(hr_cpus),
    HR_MAP(hr_gate),
    HR_MAP(hr_guard),
    HR_MAP(hr_join),
    HR_MAP(hr_spoof),
    HR_MAP(hr_vlan),
    HR_MAP(hr_flows4),
    HR_MAP(hr_flows6),
    HR_MAP(hr_fragments),
    HR_MAP(hr_sync_fragments),
    HR_MAP(hr_timeouts),
    HR_MAP(hr_buckets),
    HR_MAP(hr_sources),
    HR_MAP(hr_judged),
    HR_MAP(hr_policy),
    HR_RING(hr_events),
    HR_MAP(hr_probe),
};
/* clang-format on */

static const struct hr_program hr_programs[] = {
    HR_XDP(hr_xdp),           HR_XDP(hr_xdp_frags),    HR_XDP(hr_ask_xdp),     HR_SKB(hr_ingress),    HR_SKB(hr_egress),
    HR_SKB(hr_guard_ingress), HR_SKB(hr_guard_egress), HR_SKB(hr_ask_ingress), HR_SKB(hr_ask_egress), HR_SKB(hr_clock),
};

static void *const hr_values[HR_VALUES] = {
    [HR_LIVE] = &hr_live,
    [HR_GATE] = &hr_gate,
    [HR_TIMEOUTS] = &hr_timeouts,
    [HR_CPUS] = &hr_cpus,
    [HR_RULES] = &hr_rules,
    [HR_BUCKETS] = &hr_buckets,
    [HR_IMAGE_EVEN] = &hr_image_even,
    [HR_IMAGE_ODD] = &hr_image_odd,
};

#define HR_COUNT(list) (sizeof(list) / sizeof(*(list)))
static const u32 hr_maps_count = HR_COUNT(hr_maps);
_Static_assert(HR_COUNT(hr_maps) <= HR_MAPS_MAX, "raise HR_MAPS_MAX");

static void hr_fault(const char *format, ...) {
    va_list values;

    va_start(values, format);
    fputs("native programs: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    abort();
}

static void *hr_value(enum hr_value value) {
    u32 zero = 0;

    return bpf_map_lookup_elem(hr_values[value], &zero);
}

static const struct hr_map *hr_named_map(const char *name) {
    u32 i;

    for (i = 0; i < hr_maps_count; i++) {
        if (!strcmp(hr_maps[i].name, name))
            return &hr_maps[i];
    }
    return NULL;
}

static const struct hr_program *hr_named_program(const char *name) {
    u32 i;

    for (i = 0; i < HR_COUNT(hr_programs); i++) {
        if (!strcmp(hr_programs[i].name, name))
            return &hr_programs[i];
    }
    hr_fault("there is no program %s in the list of bpf/native/native.c", name);
}

/* The bytes of an array's element from an offset on. */
static u8 *hr_span(const struct hr_map *map, u32 element, u32 offset, u32 bytes) {
    struct hr_storage *storage = hr_storage_of(map);

    if (!storage->elements || element >= storage->entries_max || offset > storage->value_bytes ||
        bytes > storage->value_bytes - offset)
        hr_fault("the map %s has no %u bytes at %u of element %u", map->name, bytes, offset, element);
    return storage->elements[element] + offset;
}

static void hr_update(const struct hr_map *map, const u8 *payload, u32 bytes) {
    if (bytes != map->key_bytes + hr_storage_of(map)->value_bytes)
        hr_fault("%u bytes are no key and value of the map %s", bytes, map->name);
    if (bpf_map_update_elem(map->handle, payload, payload + map->key_bytes, BPF_ANY))
        hr_fault("the map %s is full", map->name);
}

/*
 * Arguments of a run: interface, generation that a probe asks about, bytes that are linear (0: all), VLAN tag taken
 * off as in struct hr_arrival, segments.
 */
static struct hr_ran hr_run_request(const struct hr_request *r, const u8 *frame, u32 bytes) {
    struct hr_probe *probe = (void *)hr_span(hr_named_map("hr_probe"), 0, 0, sizeof(*probe));
    struct hr_arrival arrival = {
        .frame = frame,
        .bytes = bytes,
        .linear = r->argument[2] && r->argument[2] < bytes ? r->argument[2] : bytes,
        .ifindex = r->argument[0],
        .segments = r->argument[4],
        .vlan = r->argument[3],
    };
    struct hr_ran ran = {};

    *probe = (struct hr_probe){.ifindex = r->argument[0], .generation = r->argument[1]};
    ran.action = hr_run(hr_named_program(r->name), &arrival);
    ran.reason = probe->reason;
    ran.in_rule = probe->in_rule;
    ran.out_rule = probe->out_rule;
    return ran;
}

static void hr_set_clock(const struct hr_request *r) {
    hr_now_jiffies = (u64)r->argument[1] << 32 | r->argument[0];
    hr_now_ns = (u64)r->argument[3] << 32 | r->argument[2];
    hr_cpu = r->argument[4];
}

static void hr_set_settings(const u8 *payload, u32 bytes) {
    if (bytes != sizeof(hr_settings))
        hr_fault("%u bytes of settings were expected and %u came", (u32)sizeof(hr_settings), bytes);
    memcpy(hr_settings, payload, bytes);
}

/* Requests about a map. The answer of a reading. */
static const void *hr_map_request(const struct hr_request *r, const u8 *payload, u32 bytes, u32 *answer_bytes) {
    const struct hr_map *map = hr_named_map(r->name);

    if (!map)
        hr_fault("there is no map %s in the list of bpf/native/native.c: add HR_MAP(%s)", r->name, r->name);
    switch (r->ask) {
    case HR_ASK_MAKE:
        hr_make(map, r->argument[0] ? r->argument[0] : map->value_bytes, r->argument[1]);
        return NULL;
    case HR_ASK_CLEAR:
        hr_clear(map, hr_storage_of(map));
        return NULL;
    case HR_ASK_STORE:
        memcpy(hr_span(map, r->argument[0], r->argument[1], bytes), payload, bytes);
        return NULL;
    case HR_ASK_UPDATE:
        hr_update(map, payload, bytes);
        return NULL;
    case HR_ASK_READ:
        *answer_bytes = r->argument[2];
        return hr_span(map, r->argument[0], r->argument[1], r->argument[2]);
    }
    hr_fault("request %u is not known", r->ask);
}

const void *hr_native_request(const void *request, u32 bytes, u32 *answer_bytes) {
    static struct hr_ran ran;
    const u8 *payload = (const u8 *)request + sizeof(struct hr_request);
    struct hr_request r;

    if (bytes < sizeof(r))
        hr_fault("%u bytes are no request", bytes);
    memcpy(&r, request, sizeof(r));
    r.name[sizeof(r.name) - 1] = 0;
    bytes -= sizeof(r);
    *answer_bytes = 0;
    switch (r.ask) {
    case HR_ASK_SETTINGS:
        hr_set_settings(payload, bytes);
        return NULL;
    case HR_ASK_WORLD:
        if (r.argument[0] >= HR_WORLDS_MAX)
            hr_fault("there are %d worlds, and %u was asked for", HR_WORLDS_MAX, r.argument[0]);
        hr_world = r.argument[0];
        return NULL;
    case HR_ASK_CLOCK:
        hr_set_clock(&r);
        return NULL;
    case HR_ASK_RUN:
        ran = hr_run_request(&r, payload, bytes);
        *answer_bytes = sizeof(ran);
        return &ran;
    }
    return hr_map_request(&r, payload, bytes, answer_bytes);
}
