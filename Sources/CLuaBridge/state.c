#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// The state that a signal stops.
static _Atomic(rlua_state *) interruptible;

/// Lua's own heap. Tensor memory is not allocated here; running out of this cannot be survived, so nothing else has to
/// be ready for an error of memory.
static void *allocate(void *context, void *block, size_t old_size, size_t size) {
    (void)context, (void)old_size;
    if (size) return rlua_reallocate(block, size);
    free(block);
    return NULL;
}

static int panic(lua_State *L) {
    const char *message = lua_tostring(L, -1);
    fprintf(stderr, "riffle: an error outside a protected call: %s\n", message ? message : "?");
    return 0;
}

static int new_table(lua_State *L) {
    lua_newtable(L);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

rlua_state *rlua_open(rlua_library library) {
    rlua_state *state = rlua_reallocate(NULL, sizeof *state);
    *state = (rlua_state){.library = library};
    pthread_mutex_init(&state->lock, NULL);
    lua_State *L = lua_newstate(allocate, NULL);
    if (!L) abort();
    state->main = state->running = L;
    lua_atpanic(L, panic);
    luaL_openlibs(L);

    state->roots[RLUA_RIFFLE] = new_table(L);
    state->roots[RLUA_INTERNAL] = new_table(L);
    state->list_metatable = new_table(L);
    state->table_metatable = new_table(L);
    lua_pushliteral(L, "");
    state->traceback = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    state->faces = luaL_ref(L, LUA_REGISTRYINDEX);

    lua_rawgeti(L, LUA_REGISTRYINDEX, state->roots[RLUA_INTERNAL]);
    lua_pushcfunction(L, rlua_fail);
    lua_setfield(L, -2, "fail");
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->list_metatable);
    lua_setfield(L, -2, "list_metatable");
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->table_metatable);
    lua_setfield(L, -2, "table_metatable");
    lua_pop(L, 1);
    rlua_open_scopes(state);
    rlua_open_coroutines(state);
    return state;
}

void rlua_close(rlua_state *state) {
    if (!state->main) return;
    state->scope_count = 0;
    state->is_closing = true;
    lua_close(state->main);
    state->main = state->running = NULL;
}

void rlua_destroy(rlua_state *state) {
    rlua_close(state);
    rlua_state *self = state;
    atomic_compare_exchange_strong(&interruptible, &self, NULL);
    rlua_arena_destroy(state);
    for (rlua_row *row = state->rows, *next; row; row = next) {
        next = row->next;
        free(row);
    }
    for (int i = 0; i < state->class_count; i++) free(state->classes[i]);
    free(state->classes);
    free(state->scopes);
    free(state->scope_lines);
    free(state->forgotten);
    pthread_mutex_destroy(&state->lock);
    free(state);
}

void rlua_reclaim(rlua_state *state) {
    if (!state->running || state->is_reclaiming) return;
    state->is_reclaiming = true;
    rlua_collect_now(state, state->running);
    state->is_reclaiming = false;
}

int rlua_root_reference(rlua_state *state, rlua_root root) { return state->roots[root]; }

rlua_row *rlua_row_new(rlua_state *state, rlua_body body, void *context, rlua_reading reading) {
    rlua_row *row = rlua_reallocate(NULL, sizeof *row);
    *row = (rlua_row){state, body, context, reading, state->rows};
    return state->rows = row;
}

void rlua_define(rlua_state *state, rlua_root root, const char *path, const rlua_row *row) {
    lua_State *L = state->main;
    int top = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->roots[root]);
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        lua_pushlstring(L, path, (size_t)(dot - path));
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, -5);
        }
    }
    lua_pushstring(L, path);
    rlua_push_row(L, row);
    lua_rawset(L, -3);
    lua_settop(L, top);
}

// MARK: - Interrupts

/// From an interrupt until it has been answered.
static atomic_bool interrupted;

enum { STOPPED = LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT };

/// Raises in the user's code alone: what the prelude does at the end of a scope has to be done.
static void stop(lua_State *L, lua_Debug *record) {
    if (!atomic_load(&interrupted)) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    lua_getinfo(L, "Sl", record);
    if (rlua_is_users(record)) rlua_raise(L, "interrupted", 11);
}

void rlua_interruptible(rlua_state *state) { atomic_store(&interruptible, state); }

void rlua_interrupt(void) {
    rlua_state *state = atomic_load(&interruptible);
    if (!state || !state->main) return;
    atomic_store(&interrupted, true);
    // lua_sethook is made for this: it may be called at any moment.
    lua_sethook(state->main, stop, STOPPED, 1);
    lua_State *running = state->running;
    if (running && running != state->main) lua_sethook(running, stop, STOPPED, 1);
}

void rlua_pass_interrupt(lua_State *from, lua_State *to) {
    if (lua_gethook(from) == stop && atomic_load(&interrupted)) lua_sethook(to, stop, STOPPED, 1);
}

void rlua_resume(rlua_state *state) {
    atomic_store(&interrupted, false);
    lua_sethook(state->main, NULL, 0, 0);
    if (state->running != state->main) lua_sethook(state->running, NULL, 0, 0);
}
