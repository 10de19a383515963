// Lua's own resume and wrap do not say which coroutine runs, and an interrupt would miss a coroutine that never calls
// the library.
#include "internal.h"

/// Runs a coroutine with the values on top of the stack; returns how many it gave, or -1 with its error on top.
static int run(rlua_state *state, lua_State *L, lua_State *co, int count) {
    if (!lua_checkstack(co, count)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, count);
    lua_State *caller = state->running;
    state->running = co;
    int results = 0, status = lua_resume(co, L, count, &results);
    state->running = caller;
    // An interrupt that came meanwhile concerns whoever waits for the coroutine, too.
    rlua_pass_interrupt(co, L);
    if (status == LUA_OK || status == LUA_YIELD) {
        if (!lua_checkstack(L, results + 1)) {
            lua_pop(co, results);
            lua_pushliteral(L, "too many results to resume");
            return -1;
        }
        lua_xmove(co, L, results);
        return results;
    }
    lua_xmove(co, L, 1);
    return -1;
}

/// coroutine.resume(co, ...)
static int resume(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    int results = run(lua_touserdata(L, lua_upvalueindex(1)), L, co, lua_gettop(L) - 1);
    int given = results < 0 ? 1 : results;
    lua_pushboolean(L, results >= 0);
    lua_insert(L, -given - 1);
    return given + 1;
}

/// What coroutine.wrap returns.
static int resume_wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(2));
    int results = run(lua_touserdata(L, lua_upvalueindex(1)), L, co, lua_gettop(L));
    if (results >= 0) return results;
    if (lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD) {
        // It failed: what it has to close is closed, and may replace the first error by another.
        lua_pushvalue(L, -1);
        lua_xmove(L, co, 1);
        lua_resetthread(co);
        lua_xmove(co, L, 1);
    }
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/// coroutine.wrap(fn)
static int wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, resume_wrapped, 2);
    return 1;
}

void rlua_open_coroutines(rlua_state *state) {
    lua_State *L = state->main;
    lua_getglobal(L, "coroutine");
    lua_pushlightuserdata(L, state);
    lua_pushcclosure(L, resume, 1);
    lua_setfield(L, -2, "resume");
    lua_pushlightuserdata(L, state);
    lua_pushcclosure(L, wrap, 1);
    lua_setfield(L, -2, "wrap");
    lua_pop(L, 1);
}
