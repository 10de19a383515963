#include "internal.h"

#include <stdlib.h>

/// Gives back the registry references that other threads, or destructors, were done with.
static void drain(rlua_state *state, lua_State *L) {
    pthread_mutex_lock(&state->lock);
    size_t count = atomic_load(&state->forgotten_count);
    for (size_t i = 0; i < count; i++) luaL_unref(L, LUA_REGISTRYINDEX, state->forgotten[i]);
    atomic_store(&state->forgotten_count, 0);
    pthread_mutex_unlock(&state->lock);
}

void rlua_forget(rlua_state *state, int reference) {
    pthread_mutex_lock(&state->lock);
    size_t count = atomic_load(&state->forgotten_count);
    if (count == state->forgotten_size) {
        state->forgotten_size = count ? 2 * count : 64;
        state->forgotten = rlua_reallocate(state->forgotten, state->forgotten_size * sizeof *state->forgotten);
    }
    state->forgotten[count] = reference;
    atomic_store(&state->forgotten_count, count + 1);
    pthread_mutex_unlock(&state->lock);
}

void rlua_collect_now(rlua_state *state, lua_State *L) {
    lua_gc(L, LUA_GCCOLLECT);
    state->boxes_left = state->boxes;
    state->library.collected(state->library.context);
}

/// Lua's collector takes a box for a few bytes and falls behind where scripts make many; what they hold is ten times
/// larger.
static bool has_many_boxes(const rlua_state *state) {
    return state->boxes > 10000 && state->boxes > 2 * state->boxes_left;
}

// MARK: - From Lua

int rlua_answer(lua_State *L, const rlua_row *row) {
    rlua_state *state = row->state;
    if (state->is_closing) return luaL_error(L, "Lua has ended");
    if (state->is_reclaiming) return luaL_error(L, "the library is in the middle of a call, and waits for memory");
    if (atomic_load_explicit(&state->forgotten_count, memory_order_relaxed)) drain(state, L);
    state->reraising = false;
    rlua_mark mark = rlua_arena_mark(state);
    int count = lua_gettop(L);
    rlua_frame frame = {
        .arguments = rlua_values(state, (size_t)count), .count = (size_t)count, .in_coroutine = L != state->main};
    for (int i = 0; i < count; i++) rlua_read(state, L, i + 1, row->reading, &frame.arguments[i]);

    lua_State *caller = state->running;
    state->running = L;
    rlua_code code = row->body(row->context, &frame);
    state->running = caller;

    // No frame of Swift is left: from here on Lua may raise.
    if (code == RLUA_RAISED) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, frame.error);
        luaL_unref(L, LUA_REGISTRYINDEX, frame.error);
        rlua_arena_reset(state, mark);
        state->reraising = true;
        return lua_error(L);
    }
    if (code == RLUA_OK && lua_checkstack(L, (int)frame.result_count + 4 * RLUA_DEPTH)) {
        for (size_t i = 0; i < frame.result_count; i++) rlua_push(state, L, &frame.results[i]);
        rlua_arena_reset(state, mark);
        if (frame.collect || has_many_boxes(state)) rlua_collect_now(state, L);
        return (int)frame.result_count;
    }
    rlua_push_location(L);
    if (code == RLUA_OK) {
        lua_pushliteral(L, "calls nest too deep");
    } else {
        lua_pushlstring(L, frame.message.string.bytes, frame.message.string.length);
    }
    lua_concat(L, 2);
    rlua_arena_reset(state, mark);
    return lua_error(L);
}

static int call_row(lua_State *L) { return rlua_answer(L, lua_touserdata(L, lua_upvalueindex(1))); }

void rlua_push_row(lua_State *L, const rlua_row *row) {
    lua_pushlightuserdata(L, (void *)row);
    lua_pushcclosure(L, call_row, 1);
}

// MARK: - To Lua

typedef struct {
    rlua_state *state;
    int function;
    rlua_value *arguments;
    size_t count;
} request;

static int call_protected(lua_State *L) {
    request *request = lua_touserdata(L, 1);
    luaL_checkstack(L, (int)request->count + 4 * RLUA_DEPTH, "too many arguments");
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, request->function);
    for (size_t i = 0; i < request->count; i++) rlua_push(request->state, L, &request->arguments[i]);
    lua_call(L, (int)request->count, LUA_MULTRET);
    return lua_gettop(L);
}

static rlua_value text(const char *bytes, size_t length) {
    rlua_value value = {.kind = RLUA_STRING};
    value.string.bytes = bytes;
    value.string.length = length;
    return value;
}

void rlua_begin(rlua_state *state, rlua_outcome *outcome) {
    *outcome = (rlua_outcome){.code = RLUA_OK, .top = state->running ? lua_gettop(state->running) : 0};
    rlua_mark mark = rlua_arena_mark(state);
    outcome->block = mark.block;
    outcome->used = mark.used;
    outcome->owned = mark.owned;
}

void rlua_call(
    rlua_state *state, int function, rlua_value *arguments, size_t count, int wanted, rlua_outcome *outcome) {
    lua_State *L = state->running;
    if (!L || !lua_checkstack(L, 16)) {
        static const char ended[] = "Lua has ended", deep[] = "calls nest too deep";
        outcome->code = RLUA_FAILED;
        outcome->message = L ? text(deep, sizeof deep - 1) : text(ended, sizeof ended - 1);
        return;
    }
    request request = {state, function, arguments, count};
    lua_pushlightuserdata(L, state);
    lua_pushcclosure(L, rlua_handler, 1);
    int base = lua_gettop(L);
    lua_pushcfunction(L, call_protected);
    lua_pushlightuserdata(L, &request);
    state->reraising = false;
    int status = lua_pcall(L, 1, wanted, base);
    state->running = L;
    if (status != LUA_OK) {
        outcome->code = RLUA_RAISED;
        outcome->error = luaL_ref(L, LUA_REGISTRYINDEX);
        return;
    }
    outcome->count = (size_t)(lua_gettop(L) - base);
    outcome->results = rlua_values(state, outcome->count);
    if (!lua_checkstack(L, 16)) outcome->count = 0;
    for (size_t i = 0; i < outcome->count; i++)
        rlua_read(state, L, base + 1 + (int)i, RLUA_BY_VALUE, &outcome->results[i]);
}

void rlua_done(rlua_state *state, rlua_outcome *outcome) {
    if (state->running) lua_settop(state->running, outcome->top);
    rlua_arena_reset(state, (rlua_mark){outcome->block, outcome->used, outcome->owned});
}

static rlua_value copy_text(rlua_state *state, lua_State *L) {
    size_t length;
    const char *bytes = lua_tolstring(L, -1, &length);
    char *copy = rlua_text(state, length);
    for (size_t i = 0; i < length; i++) copy[i] = bytes[i];
    lua_pop(L, 1);
    return text(copy, length);
}

/// describe(error, internal): an error object in words, a table by what it holds.
static int describe(lua_State *L) {
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "an error without a message");
    } else if (lua_istable(L, 1) && lua_getfield(L, 2, "show") == LUA_TFUNCTION) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 1);
    } else {
        luaL_tolstring(L, 1, NULL);
    }
    return 1;
}

rlua_value rlua_error_text(rlua_state *state, int error) {
    lua_State *L = state->running;
    // A string is taken as it is: an interrupt would stop any call.
    if (lua_rawgeti(L, LUA_REGISTRYINDEX, error) == LUA_TSTRING) return copy_text(state, L);
    lua_pushcfunction(L, describe);
    lua_insert(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->roots[RLUA_INTERNAL]);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
        lua_pop(L, 1);
        lua_pushliteral(L, "an error that cannot be put into words");
    }
    return copy_text(state, L);
}

rlua_value rlua_traceback(rlua_state *state) {
    lua_rawgeti(state->running, LUA_REGISTRYINDEX, state->traceback);
    return copy_text(state, state->running);
}

int rlua_load(rlua_state *state, const char *bytes, size_t length, const char *name, rlua_value *message) {
    lua_State *L = state->running;
    if (luaL_loadbufferx(L, bytes, length, name, "t") != LUA_OK) {
        *message = copy_text(state, L);
        return 0;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->roots[RLUA_INTERNAL]);
    luaL_getsubtable(L, -1, "programs");
    lua_pushboolean(L, true);
    lua_setfield(L, -2, name);
    lua_pop(L, 2);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

void rlua_set_global(rlua_state *state, const char *name, rlua_value *value) {
    lua_State *L = state->main;
    lua_pushglobaltable(L);
    rlua_push(state, L, value);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void rlua_each_local(
    rlua_state *state, int class_id, void *context, void (*body)(void *context, const char *name, void *object)) {
    lua_State *L = state->running;
    lua_Debug frame;
    for (int level = 0; L && lua_checkstack(L, 4) && lua_getstack(L, level, &frame); level++) {
        const char *name;
        for (int i = 1; (name = lua_getlocal(L, &frame, i)); i++) {
            const rlua_box *box = rlua_box_at(state, L, lua_gettop(L));
            if (box && box->object && box->class_id == class_id && *name != '(') body(context, name, box->object);
            lua_pop(L, 1);
        }
    }
}
