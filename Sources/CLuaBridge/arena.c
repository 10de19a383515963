#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 * 1024 };

void *rlua_reallocate(void *block, size_t bytes) {
    void *result = realloc(block, bytes);
    if (!result) {
        fprintf(stderr, "riffle: the system has no more memory (%zu bytes for Lua)\n", bytes);
        abort();
    }
    return result;
}

static void *take(rlua_state *state, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    rlua_block *block = state->arena.block;
    while (!block || block->size - block->used < bytes) {
        // The blocks after the current one are empty: use the next where it is large enough, else put one before it.
        rlua_block *next = block ? block->next : NULL;
        if (!next || next->size < bytes) {
            size_t size = bytes > BLOCK ? bytes : BLOCK;
            rlua_block *fresh = rlua_reallocate(NULL, sizeof *fresh + size);
            *fresh = (rlua_block){.previous = block, .next = next, .size = size};
            if (block) block->next = fresh;
            if (next) next->previous = fresh;
            next = fresh;
        }
        next->used = 0;
        state->arena.block = block = next;
    }
    void *result = block->bytes + block->used;
    block->used += bytes;
    return result;
}

rlua_value *rlua_values(rlua_state *state, size_t count) {
    return take(state, (count ? count : 1) * sizeof(rlua_value));
}
char *rlua_text(rlua_state *state, size_t length) { return take(state, length + 1); }

rlua_mark rlua_arena_mark(const rlua_state *state) {
    rlua_block *block = state->arena.block;
    return (rlua_mark){block, block ? block->used : 0, state->arena.owned_count};
}

void rlua_arena_reset(rlua_state *state, rlua_mark mark) {
    rlua_arena *arena = &state->arena;
    while (arena->owned_count > mark.owned) {
        rlua_value *value = arena->owned[--arena->owned_count];
        if (value->kind == RLUA_OBJECT && value->object) state->library.release(value->object);
        if (value->kind == RLUA_REFERENCE && value->reference) rlua_forget(state, value->reference);
    }
    if (arena->block == mark.block) {
        if (mark.block) mark.block->used = mark.used;
        return;
    }
    rlua_block *first = mark.block;
    if (!first) {
        for (first = arena->block; first->previous;) first = first->previous;
        first->used = 0;
    } else {
        first->used = mark.used;
    }
    arena->block = first;
    // One large table should not stay for ever: keep a single spare block.
    if (first->next) {
        rlua_block *spare = first->next->size == BLOCK ? first->next : NULL;
        for (rlua_block *block = spare ? spare->next : first->next, *next; block; block = next) {
            next = block->next;
            free(block);
        }
        first->next = spare;
        if (spare) *spare = (rlua_block){.previous = first, .size = BLOCK};
    }
}

void rlua_own(rlua_state *state, rlua_value *value) {
    rlua_arena *arena = &state->arena;
    if (arena->owned_count == arena->owned_size) {
        arena->owned_size = arena->owned_size ? 2 * arena->owned_size : 64;
        arena->owned = rlua_reallocate(arena->owned, arena->owned_size * sizeof *arena->owned);
    }
    arena->owned[arena->owned_count++] = value;
}

void rlua_own_object(rlua_state *state, rlua_value *value, int class_id, void *object) {
    *value = (rlua_value){.kind = RLUA_OBJECT, .class_id = class_id, .object = object};
    rlua_own(state, value);
}

int rlua_take_reference(rlua_value *value) {
    int reference = value->reference;
    value->reference = 0;
    return reference;
}

void rlua_arena_destroy(rlua_state *state) {
    rlua_block *block = state->arena.block;
    while (block && block->next) block = block->next;
    while (block) {
        rlua_block *previous = block->previous;
        free(block);
        block = previous;
    }
    free(state->arena.owned);
    state->arena = (rlua_arena){0};
}
