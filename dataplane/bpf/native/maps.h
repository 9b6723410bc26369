/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps as plain memory. Every element and every entry is an allocation of its own, exactly as large as its value, so
 * that the sanitizer sees what reads or writes beside it.
 */
#ifndef HR_NATIVE_MAPS_H
#define HR_NATIVE_MAPS_H

#define HR_HASH_BUCKETS 256
/* Sets of maps among which the programs can be moved, so that many policies may be loaded at once. */
#define HR_WORLDS_MAX 16

struct hr_entry {
    struct hr_entry *next;
    u8 *value;
    u8 key[];
};

/* What a map holds in one world. */
struct hr_storage {
    u32 value_bytes;
    u32 entries_max;
    u32 entries;
    u8 **elements; /* of an array */
    struct hr_entry **buckets;
};

/* A map as its declaration says. */
struct hr_map {
    const char *name;
    void *handle;
    u32 type;
    u32 key_bytes;
    u32 value_bytes;
    u32 entries_max;
};

/* An array or a hash map that programs use; in the list in native.c. */
#define HR_MAP(map)                                                                                                    \
    {                                                                                                                  \
#map, &map, sizeof(*map.type) / sizeof(int), sizeof(*map.key), sizeof(*map.value),                             \
            sizeof(*map.max_entries) / sizeof(int)                                                                     \
    }

/* A ring buffer that programs use; in the same list. */
#define HR_RING(map)                                                                                                   \
    { #map, &map, BPF_MAP_TYPE_RINGBUF, 0, 0, 0 }

static const struct hr_map hr_maps[];
static const u32 hr_maps_count;
#define HR_MAPS_MAX 64
static struct hr_storage hr_storages[HR_WORLDS_MAX][HR_MAPS_MAX];
static u32 hr_world;

static bool hr_is_hash(const struct hr_map *map) {
    return map->type == BPF_MAP_TYPE_HASH || map->type == BPF_MAP_TYPE_LRU_HASH;
}

static void *hr_allocate(size_t bytes) {
    void *memory = calloc(1, bytes);

    if (!memory)
        hr_fault("there is no memory for %zu bytes", bytes);
    return memory;
}

static u32 hr_hash(const struct hr_map *map, const u8 *key) {
    u32 i, hash = 2166136261u;

    for (i = 0; i < map->key_bytes; i++)
        hash = (hash ^ key[i]) * 16777619u;
    return hash % HR_HASH_BUCKETS;
}

/* Forgets every entry, and sets every element to 0. */
static void hr_clear(const struct hr_map *map, struct hr_storage *storage) {
    u32 i;

    for (i = 0; storage->elements && i < storage->entries_max; i++)
        memset(storage->elements[i], 0, storage->value_bytes);
    for (i = 0; hr_is_hash(map) && storage->entries && i < HR_HASH_BUCKETS; i++) {
        while (storage->buckets[i]) {
            struct hr_entry *gone = storage->buckets[i];

            storage->buckets[i] = gone->next;
            free(gone->value);
            free(gone);
            storage->entries--;
        }
    }
}

/* Makes a map anew, empty, in the world at hand. */
static void hr_make(const struct hr_map *map, u32 value_bytes, u32 entries_max) {
    struct hr_storage *storage = &hr_storages[hr_world][map - hr_maps];
    u32 i;

    if (map->type == BPF_MAP_TYPE_RINGBUF)
        return;
    hr_clear(map, storage);
    for (i = 0; storage->elements && i < storage->entries_max; i++)
        free(storage->elements[i]);
    free(storage->elements);
    free(storage->buckets);
    *storage = (struct hr_storage){.value_bytes = value_bytes, .entries_max = entries_max};
    if (hr_is_hash(map)) {
        storage->buckets = hr_allocate(HR_HASH_BUCKETS * sizeof(*storage->buckets));
        return;
    }
    storage->elements = hr_allocate(entries_max * sizeof(*storage->elements));
    for (i = 0; i < entries_max; i++)
        storage->elements[i] = hr_allocate(value_bytes);
}

/* The storage of a map in the world at hand; made as declared if nobody has said otherwise. */
static struct hr_storage *hr_storage_of(const struct hr_map *map) {
    struct hr_storage *storage = &hr_storages[hr_world][map - hr_maps];

    if (!storage->elements && !storage->buckets)
        hr_make(map, map->value_bytes, map->entries_max);
    return storage;
}

static const struct hr_map *hr_map_of(const void *handle) {
    u32 i;

    for (i = 0; i < hr_maps_count; i++) {
        if (hr_maps[i].handle == handle)
            return &hr_maps[i];
    }
    hr_fault("a program uses a map that is not in the list of bpf/native/native.c: add HR_MAP(its name)");
}

static struct hr_entry **hr_place(const struct hr_map *map, struct hr_storage *storage, const void *key) {
    struct hr_entry **place = &storage->buckets[hr_hash(map, key)];

    while (*place && memcmp((*place)->key, key, map->key_bytes))
        place = &(*place)->next;
    return place;
}

void *bpf_map_lookup_elem(void *handle, const void *key) {
    const struct hr_map *map = hr_map_of(handle);
    struct hr_storage *storage = hr_storage_of(map);
    struct hr_entry *entry;
    u32 index;

    if (hr_is_hash(map)) {
        entry = *hr_place(map, storage, key);
        return entry ? entry->value : NULL;
    }
    memcpy(&index, key, sizeof(index));
    /* One processor runs programs here; what is per processor has one element a key. */
    return index < storage->entries_max ? storage->elements[index] : NULL;
}

static void hr_remove(struct hr_storage *storage, struct hr_entry **place) {
    struct hr_entry *gone = *place;

    *place = gone->next;
    free(gone->value);
    free(gone);
    storage->entries--;
}

/* Of a full map that forgets, some entry gives way. */
static void hr_evict(struct hr_storage *storage, u32 bucket) {
    while (!storage->buckets[bucket])
        bucket = (bucket + 1) % HR_HASH_BUCKETS;
    hr_remove(storage, &storage->buckets[bucket]);
}

long bpf_map_update_elem(void *handle, const void *key, const void *value, __u64 flags) {
    const struct hr_map *map = hr_map_of(handle);
    struct hr_storage *storage = hr_storage_of(map);
    struct hr_entry *entry, **place;

    (void)flags;
    if (!hr_is_hash(map))
        hr_fault("the map %s is an array: it is stored into, not updated", map->name);
    place = hr_place(map, storage, key);
    if (*place) {
        memcpy((*place)->value, value, storage->value_bytes);
        return 0;
    }
    if (storage->entries == storage->entries_max) {
        if (map->type != BPF_MAP_TYPE_LRU_HASH)
            return -E2BIG;
        hr_evict(storage, hr_hash(map, key));
    }
    entry = hr_allocate(sizeof(*entry) + map->key_bytes);
    entry->value = hr_allocate(storage->value_bytes);
    memcpy(entry->key, key, map->key_bytes);
    memcpy(entry->value, value, storage->value_bytes);
    place = &storage->buckets[hr_hash(map, key)];
    entry->next = *place;
    *place = entry;
    storage->entries++;
    return 0;
}

long bpf_map_delete_elem(void *handle, const void *key) {
    const struct hr_map *map = hr_map_of(handle);
    struct hr_storage *storage = hr_storage_of(map);
    struct hr_entry **place = hr_place(map, storage, key);

    if (!*place)
        return -ENOENT;
    hr_remove(storage, place);
    return 0;
}

/* Nobody reads events here; that each is written inside of what was reserved is what counts. */
void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags) {
    (void)flags;
    if (hr_map_of(ring)->type != BPF_MAP_TYPE_RINGBUF)
        hr_fault("the map %s is no ring buffer", hr_map_of(ring)->name);
    return hr_allocate(size);
}

void bpf_ringbuf_submit(void *data, __u64 flags) {
    (void)flags;
    free(data);
}

#endif
