#include "internal.h"

#include <stdio.h>
#include <string.h>

/// How many levels of the stack are searched: lua_getstack walks from the top each time.
enum { LEVELS = 400 };

bool rlua_is_users(const lua_Debug *frame) {
    return frame->currentline > 0 && strncmp(frame->source, RLUA_PRELUDE, sizeof RLUA_PRELUDE - 1) != 0;
}

/// Finds the innermost line that the user wrote.
static bool find_user(lua_State *L, lua_Debug *frame) {
    for (int level = 0; level < LEVELS && lua_getstack(L, level, frame); level++) {
        lua_getinfo(L, "Sl", frame);
        if (rlua_is_users(frame)) return true;
    }
    return false;
}

void rlua_push_location(lua_State *L) {
    lua_Debug frame;
    if (find_user(L, &frame)) {
        lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
    } else {
        lua_pushliteral(L, "");
    }
}

void rlua_location(rlua_state *state, char *text, size_t size) {
    lua_Debug frame;
    *text = 0;
    if (state->running && find_user(state->running, &frame))
        snprintf(text, size, "%s:%d", frame.short_src, frame.currentline);
}

int rlua_line(lua_State *L) {
    lua_Debug frame;
    return find_user(L, &frame) ? frame.currentline : 0;
}

_Noreturn void rlua_raise(lua_State *L, const char *bytes, size_t length) {
    rlua_push_location(L);
    lua_pushlstring(L, bytes, length);
    lua_concat(L, 2);
    lua_error(L);
    __builtin_unreachable();
}

/// fail(message): what the prelude raises errors with.
int rlua_fail(lua_State *L) {
    size_t length;
    const char *message = luaL_tolstring(L, 1, &length);
    rlua_raise(L, message, length);
}

/// Whether a frame runs a program itself and no function of it: a chunk, or an entry of the session.
static bool is_program(const rlua_state *state, lua_State *L, lua_Debug *frame) {
    if (*frame->what == 'm') return true;
    lua_getinfo(L, "f", frame);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->roots[RLUA_INTERNAL]);
    lua_getfield(L, -1, "entry");
    bool same = lua_rawequal(L, -1, -3);
    lua_pop(L, 3);
    return same;
}

/// Keeps the lines of the user's code that led to an error, innermost first, and leaves the error alone.
int rlua_handler(lua_State *L) {
    rlua_state *state = lua_touserdata(L, lua_upvalueindex(1));
    if (state->reraising) {
        state->reraising = false;
        return 1;
    }
    enum { SHOWN = 12 };
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    lua_Debug frame;
    int lines = 0;
    for (int level = 0; level < LEVELS && lua_getstack(L, level, &frame); level++) {
        lua_getinfo(L, "Sln", &frame);
        if (!rlua_is_users(&frame) || ++lines > SHOWN) continue;
        if (is_program(state, L, &frame)) {
            lua_pushfstring(L, "  %s:%d\n", frame.short_src, frame.currentline);
        } else if (frame.name) {
            lua_pushfstring(L, "  %s:%d: in '%s'\n", frame.short_src, frame.currentline, frame.name);
        } else {
            lua_pushfstring(
                L, "  %s:%d: in a function from line %d\n", frame.short_src, frame.currentline, frame.linedefined);
        }
        luaL_addvalue(&buffer);
    }
    if (lines > SHOWN) luaL_addstring(&buffer, "  ...\n");
    luaL_pushresult(&buffer);
    lua_rawseti(L, LUA_REGISTRYINDEX, state->traceback);
    return 1;
}
